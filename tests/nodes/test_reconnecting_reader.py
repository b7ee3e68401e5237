"""Receiver, with sources that the test opens and breaks: the newest frame, losses, returns, ever longer pauses, its end."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator

import pytest

from flowmesh.errors import FlowmeshError
from flowmesh.nodes import reconnecting_reader
from flowmesh.nodes.reconnecting_reader import ReconnectingReader, StreamLostError, info

from .conftest import until


class Source:
    """What connects and gives what the test puts in: a frame, or an error to raise."""

    def __init__(self) -> None:
        self.there: queue.Queue[int | BaseException] = queue.Queue()
        self.reachable = True
        self.attempts = self.closed = 0

    def connect(self) -> Source:
        self.attempts += 1
        if not self.reachable:
            raise StreamLostError("it is off")
        return self

    def read(self) -> int:
        item = self.there.get(timeout=20)
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def receiving(source: Source, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReconnectingReader[int]]:
    monkeypatch.setattr(reconnecting_reader, "FIRST_PAUSE", 0.01)
    made: ReconnectingReader[int] = ReconnectingReader(
        "it", source.connect, logging.getLogger("flowmesh.node.it"), longest_pause=0.04
    )
    yield made
    source.there.put(StreamLostError("the test is over"))
    made.close()


def test_the_newest_frame_is_taken_and_what_was_missed_is_counted(
    source: Source, receiving: ReconnectingReader[int]
) -> None:
    for number in range(5):
        source.there.put(number)
    receiving.start()
    until(lambda: receiving.frames == 5)
    assert receiving.take(0) == 4
    assert receiving.take(0.01) is None
    assert info(receiving) == {"connected": True, "frames": 5, "missed": 4, "reconnects": 0}


def test_whoever_waits_is_woken(source: Source, receiving: ReconnectingReader[int]) -> None:
    receiving.start()
    threading.Timer(0.05, source.there.put, [7]).start()
    assert receiving.take(20) == 7


def test_a_connection_that_is_there_is_used_first(source: Source, receiving: ReconnectingReader[int]) -> None:
    source.there.put(1)
    receiving.start(source)
    assert receiving.take(20) == 1
    assert source.attempts == 0


def test_after_a_loss_it_connects_again_and_says_both(
    source: Source, receiving: ReconnectingReader[int], caplog: pytest.LogCaptureFixture
) -> None:
    receiving.start()
    for item in (1, StreamLostError("a cable"), 2, StreamLostError("a cable"), 3):
        source.there.put(item)
    until(lambda: receiving.frames == 3)
    assert (receiving.reconnects, source.attempts, source.closed, receiving.connected) == (2, 3, 2, True)
    assert "it: a cable; it is tried again in 0.01 s" in caplog.text
    assert "(reconnects: 2)" in caplog.text


def test_what_was_never_there_is_tried_ever_more_seldom_and_is_no_reconnect(
    source: Source, receiving: ReconnectingReader[int], caplog: pytest.LogCaptureFixture
) -> None:
    source.reachable = False
    receiving.start()
    until(lambda: source.attempts >= 5)
    source.reachable = True
    source.there.put(1)
    assert receiving.take(20) == 1
    pauses = [message.rsplit(" ", 2)[1] for message in caplog.messages if "tried again" in message]
    assert pauses[:5] == ["0.01", "0.02", "0.04", "0.04", "0.04"]
    assert receiving.reconnects == 0


def test_a_connection_without_a_frame_shortens_no_pause(source: Source, receiving: ReconnectingReader[int]) -> None:
    receiving.start()
    for _ in range(4):
        source.there.put(StreamLostError("nothing comes"))
    until(lambda: source.closed == 4)
    until(lambda: receiving._pause == 0.04)


def test_a_bug_in_the_reader_reaches_the_step(source: Source, receiving: ReconnectingReader[int]) -> None:
    source.there.put(ZeroDivisionError("oh"))
    receiving.start()
    with pytest.raises(FlowmeshError, match="it can't be read any more: ZeroDivisionError"):
        receiving.take(20)


def test_its_end_does_not_wait_for_a_pause(source: Source) -> None:
    source.reachable = False
    waiting: ReconnectingReader[int] = ReconnectingReader("it", source.connect, logging.getLogger("flowmesh.node.it"))
    waiting.start()
    until(lambda: source.attempts == 1)
    waiting.close()
    assert not waiting._thread.is_alive()


def test_what_was_never_started_can_be_closed(source: Source) -> None:
    ReconnectingReader("it", source.connect, logging.getLogger("flowmesh.node.it")).close()
