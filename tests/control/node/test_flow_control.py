"""An edge's window and intake: the producer never goes too far, and what is held back of credit never stops it for ever."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.control.node.flow_control import ReceiveWindow, SendWindow
from flowmesh.errors import ChunkError


def test_a_window_takes_as_many_as_its_depth() -> None:
    window = SendWindow(depth=3, slots=2)
    for number in (1, 2, 3):
        assert window.has_room(shared=False)
        assert number <= window.last
        window.record_sent(number, shared=False)
    assert not window.has_room(shared=False)
    assert window.last == 3
    assert window.receive_credit(2) == []
    assert window.last == 5


def test_slots_are_a_limit_of_their_own() -> None:
    window = SendWindow(depth=10, slots=2)
    for number, shared in enumerate((True, False, True), start=1):
        window.record_sent(number, shared)
    assert not window.has_room(shared=True)
    assert window.has_room(shared=False)
    assert window.receive_credit(1) == [1]
    assert window.has_room(shared=True)
    assert window.receive_credit(3) == [3]
    assert window.receive_credit(3) == []


def test_what_is_to_be_sent_again_takes_its_places_anew() -> None:
    window = SendWindow(depth=4, slots=2)
    for number, shared in enumerate((True, False, True, False), start=1):
        window.record_sent(number, shared)
    assert not window.has_room(shared=False)
    window.withdraw_beyond(2)
    assert (window.sent, window.lent) == (2, [1])
    for number, shared in ((3, True), (4, False)):
        assert window.has_room(shared)
        window.record_sent(number, shared)
    assert not window.has_room(shared=False)
    assert window.receive_credit(4) == [1, 3]


def test_what_is_to_be_sent_again_takes_its_bytes_anew() -> None:
    window = SendWindow(depth=9, slots=9, bytes=100)
    window.record_sent(1, False, 60)
    window.record_sent(2, False, 40)
    window.withdraw_beyond(1)
    assert not window.has_room(False, 41)
    assert window.has_room(False, 40)


def test_credit_is_cumulative_and_never_goes_back() -> None:
    window = SendWindow(depth=2, slots=2)
    for number in (1, 2):
        window.record_sent(number, shared=True)
    assert window.receive_credit(2) == [1, 2]
    assert window.receive_credit(1) == []
    assert window.taken == 2


def test_slots_come_back_in_any_order_in_which_they_were_lent() -> None:
    window = SendWindow(depth=9, slots=9)
    for number in (1, 4, 2):
        window.record_sent(number, shared=True)
    assert window.receive_credit(2) == [1, 2]
    assert window.receive_credit(4) == [4]


def test_credit_for_what_was_never_sent_is_refused() -> None:
    window = SendWindow(depth=2, slots=2)
    window.record_sent(1, shared=False)
    with pytest.raises(ChunkError, match="credit for chunk 2, but only 1 were sent"):
        window.receive_credit(2)
    assert window.taken == 0


def test_what_is_taken_back_frees_its_slot_once() -> None:
    window = SendWindow(depth=9, slots=2)
    window.record_sent(1, shared=True)
    window.record_sent(2, shared=False)
    assert window.withdraw(1)
    assert not window.withdraw(1)
    assert not window.withdraw(2)
    assert window.receive_credit(2) == []


@pytest.mark.parametrize(
    ("lossless", "number", "fits"),
    [(True, 4, True), (True, 5, False), (True, 3, False), (False, 9, True), (False, 3, False), (False, 1, False)],
)
def test_numbers_rise_and_on_a_lossless_edge_none_is_missing(lossless: bool, number: int, fits: bool) -> None:
    intake = ReceiveWindow(depth=8, lossless=lossless)
    for before in (1, 2, 3):
        intake.record_arrival(before)
    if fits:
        intake.record_arrival(number)
        assert intake.arrived == number
    else:
        with pytest.raises(ChunkError, match=f"chunk {number} came after chunk 3"):
            intake.record_arrival(number)
        assert intake.arrived == 3


def test_credit_comes_in_quarters_of_the_window_and_at_once_for_a_slot() -> None:
    intake = ReceiveWindow(depth=8, lossless=True)
    assert [intake.record_taken(number, shared=False) for number in (1, 2, 3)] == [0, 2, 0]
    assert intake.record_taken(4, shared=True) == 4
    assert [intake.record_taken(number, shared=False) for number in (5, 6)] == [0, 6]
    assert [ReceiveWindow(depth=1, lossless=False).record_taken(number, shared=False) for number in (1, 2)] == [1, 2]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 7, 8, 256])
def test_full_is_the_least_that_waits_when_the_producer_has_to(depth: int) -> None:
    window, intake = SendWindow(depth, slots=1), ReceiveWindow(depth, lossless=True)
    waiting = []
    for taken in range(1, 3 * depth):
        while window.has_room(shared=False):
            window.record_sent(window.sent + 1, shared=False)
        waiting.append(window.sent - intake.taken)
        window.receive_credit(intake.record_taken(taken, shared=False))
    assert min(waiting) == intake.full
    assert ReceiveWindow(depth, lossless=False).full == depth + 1


@given(
    depth=st.integers(1, 12), slots=st.integers(1, 5), acts=st.lists(st.sampled_from(["send", "slot", "take", "back"]))
)
def test_neither_end_is_ever_stuck(depth: int, slots: int, acts: list[str]) -> None:
    """Whatever was sent and taken in whatever order: once all is taken and all credit is back, there is room again."""
    window, intake = SendWindow(depth, slots), ReceiveWindow(depth, lossless=True)
    on_the_way: deque[tuple[int, bool]] = deque()
    credit: deque[int] = deque()
    freed: list[int] = []
    shared_ones: list[int] = []

    def act(what: str) -> None:
        shared = what == "slot"
        if what in ("send", "slot") and window.has_room(shared):
            number = window.sent + 1
            assert shared or number <= window.last
            window.record_sent(number, shared)
            on_the_way.append((number, shared))
            if shared:
                shared_ones.append(number)
        elif what == "take" and on_the_way:
            number, was_shared = on_the_way.popleft()
            intake.record_arrival(number)
            credit.append(intake.record_taken(number, was_shared))
        elif what == "back" and credit and (taken := credit.popleft()):
            freed.extend(window.receive_credit(taken))
        assert window.taken <= intake.taken <= intake.arrived <= window.sent <= window.taken + depth
        assert len(window.lent) <= slots

    for what in acts:
        act(what)
    while on_the_way or credit:
        act("take")
        act("back")
    assert window.has_room(shared=True)
    assert freed == shared_ones
