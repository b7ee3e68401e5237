"""The consumer's side: what a page says is settled, in the order of the steps, and where the next incarnation starts."""

from __future__ import annotations

import pytest

from flowmesh.control.recovery.checkpoint import Checkpoint, CommitTracker, InputCursor
from flowmesh.control.recovery.connection_id import ConnectionId, ResumePosition
from flowmesh.control.recovery.retransmit import RetransmitBuffer
from flowmesh.errors import ChunkError

HERE, ELSEWHERE = ConnectionId(1, 1, 1), ConnectionId(1, 1, 2)


def step(settling: CommitTracker, keeping: RetransmitBuffer[str], used: dict[int, int], emissions: int) -> Checkpoint:
    settling.step_began(min(used), used)
    for _ in range(emissions):
        keeping.keep("chunk")
        settling.chunk_emitted()
    return settling.step_finished({})


def node(
    page: Checkpoint, lossy: frozenset[int] = frozenset(), ordered: bool = False
) -> tuple[CommitTracker, RetransmitBuffer[str]]:
    keeping: RetransmitBuffer[str] = RetransmitBuffer([0], 99, page.next)
    return CommitTracker(page, keeping, lossy, ordered), keeping


def test_a_chunk_is_settled_when_all_that_its_step_emitted_is() -> None:
    settling, keeping = node(Checkpoint((0,)))
    assert step(settling, keeping, {0: 1}, 2).settled == (0,)
    keeping.consumer_settled(0, 1)
    assert settling.settle_steps() == Checkpoint((0,), next=1, highest=2, begun=True)
    keeping.consumer_settled(0, 2)
    assert settling.settle_steps() == Checkpoint((1,), next=3, highest=2, begun=True)


def test_a_step_that_runs_is_not_settled_although_its_emissions_are() -> None:
    settling, keeping = node(Checkpoint((0,)))
    settling.step_began(0, {0: 1})
    keeping.keep("chunk")
    keeping.consumer_settled(0, 1)
    assert settling.settle_steps().settled == (0,)
    assert settling.step_finished({}).settled == (1,)


def test_steps_settle_in_their_order_so_that_one_page_fits_all_inputs() -> None:
    settling, keeping = node(Checkpoint((0, 0)))
    step(settling, keeping, {0: 1}, 1)
    page = step(settling, keeping, {1: 1}, 0)
    assert (page.settled, page.next) == ((0, 0), 1)
    keeping.consumer_settled(0, 1)
    assert settling.settle_steps()[:2] == ((1, 1), 2)


def test_at_a_sink_the_end_of_the_step_settles() -> None:
    settling = CommitTracker(Checkpoint((0,)), RetransmitBuffer([], 1), frozenset(), ordered=False)
    settling.step_began(0, {0: 1})
    assert settling.step_finished({}).settled == (1,)


def test_a_drop_is_settled_at_once_but_not_beyond_a_gap() -> None:
    settling, keeping = node(Checkpoint((0,)))
    assert settling.chunk_dropped(0, 1, {}) == Checkpoint((1,))
    assert settling.chunk_dropped(0, 2, {7: (2, 0)}) == Checkpoint((2,), mark={7: (2, 0)})
    step(settling, keeping, {0: 3}, 1)
    page = settling.chunk_dropped(0, 4, {7: (4, 0)})
    assert (page.settled, page.mark) == ((2,), {7: (2, 0)})
    keeping.consumer_settled(0, 1)
    assert settling.settle_steps() == Checkpoint((4,), next=2, highest=1, mark={7: (4, 0)}, begun=True)


def test_what_comes_on_a_lossy_input_is_settled_when_it_is_taken() -> None:
    settling, _ = node(Checkpoint((0, 0)), lossy=frozenset({1}))
    assert settling.step_began(0, {0: 1, 1: 7}).settled == (0, 7)
    assert settling.chunk_dropped(1, 9, {}).settled == (0, 9)


def test_the_order_is_written_before_the_step_and_repeated() -> None:
    settling, keeping = node(Checkpoint((0, 0)), ordered=True)
    assert settling.step_began(1, {1: 1}).order == (1,)
    keeping.keep("chunk")
    settling.step_finished({})
    settling.step_began(0, {0: 1})
    page = settling.page
    assert page.order == (1, 0)
    again, keeping = node(page, ordered=True)
    again.step_began(1, {1: 1})
    assert again.page.order == (1, 0)
    keeping.keep("chunk")
    again.step_finished({})
    keeping.consumer_settled(0, 1)
    assert again.settle_steps().order == (0,)


def test_a_node_whose_end_is_settled_says_so() -> None:
    settling, _ = node(Checkpoint((0,)))
    settling.step_began(0, {0: 1})
    assert settling.inputs_closed().ended


def test_an_inlet_refuses_what_is_of_another_connection_and_reports_what_it_has() -> None:
    inlet = InputCursor(depth=8, lossless=True, settled=4)
    assert not inlet.chunk_arrived(HERE, 5)
    assert inlet.connected(HERE, 4) == ResumePosition(last=4, taken=4, settled=4)
    assert [inlet.chunk_arrived(HERE, number) for number in (5, 6, 7)] == [True] * 3
    assert [inlet.chunk_taken(5, shared=False), inlet.chunk_taken(6, shared=False)] == [5, 5]
    assert not inlet.chunk_arrived(ELSEWHERE, 8)
    with pytest.raises(ChunkError, match="chunk 9 came after chunk 7"):
        inlet.chunk_arrived(HERE, 9)
    assert inlet.connected(ELSEWHERE, 5) == ResumePosition(last=7, taken=6, settled=5)
