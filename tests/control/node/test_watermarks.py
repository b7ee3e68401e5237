"""How far a node is, as it tells those further down: never more than is true, and all that is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.control.node.watermarks import Cause, WatermarkTracker
from flowmesh.wire.packets import Origins

S, T, FORK = 0, 1, 2  # outputs: two sources', and one by whose numbers a zip pairs


def cause(index: int, number: int, *, sender: int = 9, origin: Origins | None = None, last: bool = True) -> Cause:
    """A chunk of some node's, made at 10 ns a number."""
    return Cause(index, sender, number, number * 10, origin or {}, last)


def from_s(index: int, number: int, *, last: bool = True, sender: int = 9) -> Cause:
    """A chunk that descends from this number of S."""
    return cause(index, 99, sender=sender, origin={S: (number, number * 10)}, last=last)


def test_a_cause_was_made_when_the_first_that_it_descends_from_was() -> None:
    assert cause(0, 7).made == 70
    assert cause(0, 7, origin={S: (3, 30), T: (2, 25)}).made == 25


@pytest.mark.parametrize(
    ("cause_", "origin"),
    [
        (cause(0, 7, sender=S), {S: (7, 70)}),
        (from_s(0, 3), {S: (3, 30)}),
        (from_s(0, 3, sender=FORK), {S: (3, 30), FORK: (99, 990)}),
        (cause(0, 8, sender=9, origin={S: (3, 30), FORK: (5, 50)}), {S: (3, 30), FORK: (5, 50)}),
    ],
    ids=["of a source", "of a step", "of a fork", "below a fork"],
)
def test_what_is_emitted_descends_from_what_caused_it(cause_: Cause, origin: Origins) -> None:
    assert WatermarkTracker({0: (S,)}, frozenset([FORK])).origin(cause_) == origin


def test_a_step_of_a_sources_chunk_has_done_its_number() -> None:
    progress = WatermarkTracker({0: (S,)}, frozenset())
    progress.step_completed([cause(0, 1, sender=S)])
    assert progress.next_watermark() == {S: (1, 10)}
    assert progress.next_watermark() == {}
    progress.step_completed([cause(0, 2, sender=S, last=False)])
    assert progress.next_watermark() == {S: (2, 20)}


def test_a_number_is_done_only_with_the_last_that_descends_from_it() -> None:
    progress = WatermarkTracker({0: (S,)}, frozenset())
    progress.step_completed([from_s(0, 5, last=False)])
    assert progress.next_watermark() == {S: (4, 49)}
    progress.step_completed([from_s(0, 5, last=False)])
    assert progress.next_watermark() == {}
    progress.step_completed([from_s(0, 5)])
    assert progress.next_watermark() == {S: (5, 50)}


def test_a_forks_own_number_is_done_with_its_chunk() -> None:
    progress = WatermarkTracker({0: (S, FORK)}, frozenset([FORK]))
    progress.step_completed([from_s(0, 5, last=False, sender=FORK)])
    assert progress.next_watermark() == {S: (4, 49), FORK: (99, 990)}


def test_the_least_of_the_inputs_counts() -> None:
    progress = WatermarkTracker({0: (S,), 1: (S, T)}, frozenset())
    progress.watermark_received(0, {S: (5, 50)})
    assert progress.next_watermark() == {}
    progress.watermark_received(1, {S: (3, 30), T: (8, 80)})
    assert progress.next_watermark() == {S: (3, 30), T: (8, 80)}
    progress.watermark_received(1, {S: (2, 20)})
    assert progress.next_watermark() == {}
    progress.watermark_received(1, {S: (9, 90)})
    assert progress.next_watermark() == {S: (5, 50), T: (8, 80)}, (
        "what was said before is said again: marks replace each other"
    )


def test_what_is_sampled_says_nothing() -> None:
    progress = WatermarkTracker({0: (S,)}, frozenset())
    progress.watermark_received(1, {S: (5, 50)})
    progress.step_completed([from_s(1, 5)])
    assert progress.next_watermark() == {}


def test_an_output_that_no_input_carries_is_not_passed_on() -> None:
    progress = WatermarkTracker({0: (S,)}, frozenset())
    progress.watermark_received(0, {T: (5, 50)})
    assert progress.next_watermark() == {}


@pytest.mark.parametrize(
    ("causes", "complete"),
    [
        ([from_s(0, 1), from_s(1, 1)], True),
        ([from_s(0, 1), from_s(1, 1, last=False)], False),
        ([from_s(0, 1)], False),
        ([cause(0, 1, sender=S, last=False), from_s(1, 1)], True),
    ],
    ids=["all last", "one not", "one of two inputs", "a source's chunk is all of its number"],
)
def test_a_last_emission_speaks_for_the_step_if_all_its_causes_were_last(causes: list[Cause], complete: bool) -> None:
    assert WatermarkTracker({0: (S,), 1: (S,)}, frozenset()).completes(causes) is complete


Chunks = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.booleans()), max_size=30)


@given(Chunks)
def test_what_is_said_is_true_and_as_much_as_can_be(chunks: list[tuple[int, int, bool]]) -> None:
    """Two inputs bring chunks whose numbers rise by 0, 1 or 2; after the last of a number none of it may follow."""
    progress = WatermarkTracker({0: (S,), 1: (S,)}, frozenset())
    at, done, said = [0, 0], [0, 0], 0
    for index, rise, last in chunks:
        at[index] = max(at[index] + rise, done[index] + 1)
        done[index] = at[index] if last else at[index] - 1
        progress.step_completed([from_s(index, at[index], last=last)])
        if news := progress.next_watermark():
            assert news[S][0] >= said
            said = news[S][0]
        assert said == min(done)
