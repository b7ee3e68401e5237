"""The backlog: in order, bounded in frames until they are encoded and in bytes until they are written."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest

from flowmesh.recording.backlog import Backlog, BacklogChunk, BacklogMark
from flowmesh.recording.encoding import EncodedRecord
from flowmesh.recording.schemas import ChunkStamp, StampRecord

from ..conftest import SCALE

SOON = 0.1  # seconds in which what is not held up has happened
DEADLINE = 20 * SCALE


def encoded(size: int = 10) -> EncodedRecord:
    return EncodedRecord(StampRecord("x", "other", "json"), bytes(size))


def chunk(number: int, *records: EncodedRecord | Future[EncodedRecord]) -> BacklogChunk:
    return BacklogChunk("node", number, ChunkStamp(number), list(records))


class Putting:
    """A put in a thread of its own."""

    def __init__(self, backlog: Backlog, item: Any) -> None:
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._put, args=(backlog, item))
        self._thread.start()

    def _put(self, backlog: Backlog, item: Any) -> None:
        backlog.put(item)
        self.done.set()

    def ends(self) -> bool:
        self._thread.join(DEADLINE)
        return self.done.is_set()


def test_items_come_in_their_order() -> None:
    backlog = Backlog()
    items = [chunk(1, encoded()), BacklogMark(5, "on"), chunk(2, encoded())]
    for item in items:
        backlog.put(item)
    assert backlog.take(0) == items
    assert backlog.take(0) == []


def test_frames_that_are_not_encoded_hold_up_and_encoded_ones_do_not() -> None:
    backlog = Backlog(most_frames=2)
    frames: list[Future[EncodedRecord]] = [Future() for _ in range(3)]
    backlog.put(chunk(1, frames[0]))
    backlog.put(chunk(2, frames[1]))
    third = Putting(backlog, chunk(3, frames[2]))
    assert not third.done.wait(SOON)
    frames[1].set_result(encoded())
    assert third.ends()


def test_a_frame_that_can_not_be_encoded_makes_room_too() -> None:
    backlog = Backlog(most_frames=1)
    frame: Future[EncodedRecord] = Future()
    backlog.put(chunk(1, frame))
    second = Putting(backlog, chunk(2, encoded()))
    assert not second.done.wait(SOON)
    frame.set_exception(ValueError())
    assert second.ends()


@pytest.mark.parametrize("later", [False, True])
def test_bytes_hold_up_until_they_are_written(later: bool) -> None:
    backlog = Backlog(most_bytes=5000)
    frame: Future[EncodedRecord] = Future()
    backlog.put(chunk(1, frame if later else encoded(5000)))
    if later:
        frame.set_result(encoded(5000))
    second = Putting(backlog, chunk(2, encoded()))
    assert not second.done.wait(SOON)
    items = backlog.take(0)
    assert len(items) == 1
    assert not second.done.wait(SOON)
    backlog.written(items)
    assert second.ends()
    backlog.written(backlog.take(0))
    assert backlog.bytes == 0


def test_closing_lets_go_who_waits_and_gives_out_the_rest() -> None:
    backlog = Backlog(most_bytes=100)
    backlog.put(chunk(1, encoded(200)))
    second = Putting(backlog, chunk(2, encoded()))
    assert not second.done.wait(SOON)
    backlog.close()
    assert second.ends()
    assert not backlog.is_done
    assert len(backlog.take(0)) == 1
    assert backlog.is_done
    assert backlog.take(DEADLINE) == []


def test_small_chunks_gather_and_wake_the_writer_when_there_are_many() -> None:
    backlog = Backlog()
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(len(backlog.take(DEADLINE))))
    thread.start()
    for number in range(1, 301):
        backlog.put(chunk(number, encoded()))
    thread.join(DEADLINE)
    taken.append(len(backlog.take(0)))
    assert sum(taken) == 300
