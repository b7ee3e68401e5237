"""The producer's side: nothing is forgotten before all have settled it, nothing of another connection is believed."""

from __future__ import annotations

import pytest

from flowmesh.control.recovery.connection_id import ConnectionId, ResumePosition
from flowmesh.control.recovery.retransmit import LatestSender, ReliableSender, RetransmitBuffer
from flowmesh.errors import ChunkError

FIRST, SECOND = ConnectionId(1, 1, 1), ConnectionId(1, 2, 2)
EVERYTHING = ResumePosition(closed=True)


def edge_with(chunks: int, depth: int = 8, cap: int = 8) -> tuple[RetransmitBuffer[str], ReliableSender[str]]:
    keeping: RetransmitBuffer[str] = RetransmitBuffer([0], cap)
    edge = ReliableSender(0, keeping, depth, depth)
    for number in range(1, chunks + 1):
        assert keeping.keep(f"c{number}") == number
    edge.connected(FIRST)
    return keeping, edge


def send_all(edge: ReliableSender[str]) -> list[int]:
    numbers = []
    while (due := edge.next_due()) is not None:
        edge.sent(due[0])
        numbers.append(due[0])
    return numbers


def test_a_chunk_is_kept_until_every_lossless_edge_has_settled_it() -> None:
    keeping: RetransmitBuffer[str] = RetransmitBuffer([0, 2], cap=2)
    keeping.keep("a")
    keeping.keep("b")
    assert not keeping.has_room
    assert keeping.consumer_settled(0, 2) == []
    assert keeping.consumer_settled(2, 1) == [1]
    assert keeping.has_room
    assert (keeping.settled, list(keeping.kept), len(keeping)) == (1, [2], 1)
    assert keeping.consumer_closed(2) == [2]
    with pytest.raises(ChunkError, match="chunk 2 was forgotten before it was settled"):
        keeping.item(2)


def test_without_a_lossless_edge_all_is_settled_at_once() -> None:
    keeping: RetransmitBuffer[str] = RetransmitBuffer([], cap=1)
    assert [keeping.keep("a"), keeping.keep("b"), keeping.settled, len(keeping)] == [1, 2, 2, 0]


def test_nothing_is_sent_before_the_consumer_has_reported_and_then_what_it_lacks() -> None:
    keeping, edge = edge_with(chunks=4)
    assert edge.next_due() is None
    assert not edge.held_back
    assert edge.position_reported(FIRST, ResumePosition(last=2, taken=1, settled=1)) == [1]
    assert edge.held_back
    assert send_all(edge) == [3, 4]
    assert list(keeping.kept) == [2, 3, 4]


def test_the_window_holds_chunks_back_but_not_the_end() -> None:
    keeping, edge = edge_with(chunks=2, depth=2)
    keeping.keep("c3")
    assert keeping.keep_end("end") == 4
    edge.position_reported(FIRST, ResumePosition())
    assert send_all(edge) == [1, 2]
    assert edge.credit_received(FIRST, 1, 0) == []
    assert send_all(edge) == [3, 4]


def test_what_comes_on_another_connection_is_refused() -> None:
    _, edge = edge_with(chunks=2)
    assert edge.position_reported(SECOND, ResumePosition(settled=2)) == []
    assert edge.credit_received(FIRST, 1, 1) == []
    edge.position_reported(FIRST, ResumePosition())
    send_all(edge)
    edge.connected(SECOND)
    assert edge.credit_received(FIRST, 2, 2) == []
    assert edge.position_reported(SECOND, ResumePosition(last=1, taken=1, settled=1)) == [1]
    assert edge.credit_received(FIRST, 2, 2) == []
    assert send_all(edge) == [2]


def test_what_was_never_sent_can_not_be_settled() -> None:
    _, edge = edge_with(chunks=2)
    edge.position_reported(FIRST, ResumePosition())
    with pytest.raises(ChunkError, match="chunk 1 is settled, but only 0 were sent"):
        edge.credit_received(FIRST, 0, 1)


def test_a_new_incarnation_repeats_numbers_and_keeps_what_the_consumer_already_has() -> None:
    keeping: RetransmitBuffer[str] = RetransmitBuffer([0], cap=8, first=3)
    edge = ReliableSender(0, keeping, 8, 8)
    edge.connected(FIRST)
    edge.position_reported(FIRST, ResumePosition(last=5, taken=4, settled=3))
    assert [keeping.keep(item) for item in "cde"] == [3, 4, 5]
    assert (send_all(edge), list(keeping.kept)) == ([], [4, 5])
    keeping.keep("f")
    assert send_all(edge) == [6]


def test_a_closed_edge_takes_and_keeps_nothing_more() -> None:
    keeping, edge = edge_with(chunks=3)
    assert edge.position_reported(FIRST, EVERYTHING) == [1, 2, 3]
    keeping.keep("d")
    assert (edge.closed, edge.next_due(), edge.watermark_due(), len(keeping)) == (True, None, None, 0)
    assert edge.credit_received(FIRST, 9, 9) == []


def test_the_newest_mark_goes_once_a_connection_behind_its_chunks() -> None:
    keeping, edge = edge_with(chunks=1)
    keeping.watermark_passed({7: (1, 0)})
    keeping.watermark_passed({7: (2, 0)})
    assert edge.watermark_due() is None
    edge.position_reported(FIRST, ResumePosition())
    assert edge.watermark_due() is None
    send_all(edge)
    assert [edge.watermark_due(), edge.watermark_due()] == [{7: (2, 0)}, None]
    edge.connected(SECOND)
    edge.position_reported(SECOND, ResumePosition(last=1))
    assert edge.watermark_due() == {7: (2, 0)}


def test_without_a_connection_nothing_that_was_due_goes() -> None:
    _, edge = edge_with(chunks=1)
    edge.sent(1)
    assert edge.window is None


def test_a_sampled_edge_gives_its_newest_to_who_lacks_it() -> None:
    edge: LatestSender[str] = LatestSender()
    edge.connected(FIRST)
    assert [edge.replace_newest(1, "a"), edge.replace_newest(2, "b")] == [0, 1]
    edge.position_reported(SECOND, ResumePosition())
    assert edge.next_due() is None
    edge.position_reported(FIRST, ResumePosition())
    assert edge.next_due() == (2, "b")
    edge.sent(2)
    assert [edge.next_due(), edge.replace_newest(3, "c")] == [None, 0]
    edge.connected(SECOND)
    edge.position_reported(SECOND, ResumePosition())
    assert edge.next_due() == (3, "c")


def test_the_newest_sample_outlives_its_producer_and_is_not_given_anew() -> None:
    edge = LatestSender((5, "e"))
    assert [edge.replace_newest(4, "d"), edge.newest] == [0, (5, "e")]
    edge.replace_with_end(6, "end")
    edge.connected(FIRST)
    edge.position_reported(FIRST, ResumePosition())
    sent = []
    while (due := edge.next_due()) is not None:
        edge.sent(due[0])
        sent.append(due)
    assert sent == [(5, "e"), (6, "end")]
    edge.position_reported(FIRST, EVERYTHING)
    assert edge.closed
    assert edge.next_due() is None
