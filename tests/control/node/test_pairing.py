"""Joins that look for partners: exactly those that belong together meet, the others are told, and nothing waits for ever."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.control.node.pairing import AlignJoin, ZipJoin


class Item(NamedTuple):
    """What an input brings: its number or time, and which one of the input's it is."""

    at: int
    index: int


def zip_of(inputs: int) -> ZipJoin[int]:
    return ZipJoin(inputs, lambda place, number: number)


def align(tolerance: int, inputs: int = 2, depth: int = 1000) -> AlignJoin[int]:
    return AlignJoin(inputs, tolerance, lambda time: time, lambda place, waiting: waiting >= depth)


def put(join: Any, place: int, *items: Any) -> None:
    for item in items:
        assert join.put(place, item) is None


def steps(join: Any) -> list[tuple[Any, ...]]:
    """All steps that can be done, each as what it sees, in the order of the inputs."""
    found = []
    while (taken := join.take()) is not None:
        trigger, items = taken
        assert trigger == 0
        found.append(tuple(items[place] for place in sorted(items)))
    return found


# --- zip -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "pairs", "shed"),
    [
        ([1, 2, 3], [1, 2, 3], [1, 2, 3], []),
        ([1, 2, 3], [3], [3], [(0, 1), (0, 2)]),
        ([2, 4], [1, 2, 3], [2], [(1, 1), (1, 3)]),
        ([1, 1, 2], [1, 2, 2], [1, 2], [(0, 1)]),
        ([5, 5, 5], [5, 5], [5, 5], []),
        ([1], [2], [], [(0, 1)]),
    ],
)
def test_zip_pairs_the_ith_of_a_number_with_the_ith(
    first: list[int], second: list[int], pairs: list[int], shed: list[tuple[int, int]]
) -> None:
    join = zip_of(2)
    put(join, 0, *first)
    put(join, 1, *second)
    assert steps(join) == [(number, number) for number in pairs]
    assert sorted(join.shed()) == [(place, number, "unmatched") for place, number in shed]
    assert join.shed() == []


def test_zip_waits_until_another_input_is_beyond() -> None:
    join = zip_of(2)
    put(join, 0, 7, 7, 9)
    assert (steps(join), join.shed()) == ([], [])
    join.mark(1, 6)
    assert (steps(join), join.shed()) == ([], [])
    put(join, 1, 7)
    assert (steps(join), join.shed()) == ([(7, 7)], [])
    join.mark(1, 7)
    assert (steps(join), join.shed()) == ([], [(0, 7, "unmatched")])
    join.mark(1, 3)  # an older one says nothing new
    put(join, 1, 9)
    assert steps(join) == [(9, 9)]


def test_one_input_that_is_beyond_is_enough() -> None:
    join = zip_of(3)
    put(join, 0, 4)
    put(join, 1, 4)
    join.mark(2, 4)
    assert (steps(join), join.shed()) == ([], [(0, 4, "unmatched"), (1, 4, "unmatched")])


def test_zip_is_over_when_one_has_ended_and_is_empty() -> None:
    join = zip_of(2)
    put(join, 0, 1, 2)
    join.end(0)
    assert not join.over
    put(join, 1, 1, 2, 3)
    assert steps(join) == [(1, 1), (2, 2)]
    assert join.over
    assert (join.rest(), join.rest()) == ([(1, 3)], [])


class Stream(NamedTuple):
    """What an input will bring, in order: items and true marks."""

    events: list[tuple[str, Item]]

    @property
    def items(self) -> list[Item]:
        return [item for what, item in self.events if what == "put"]


@st.composite
def streams(draw: st.DrawFn, largest: int) -> Stream:
    numbers = sorted(draw(st.lists(st.integers(1, largest), max_size=12)))
    events: list[tuple[str, Item]] = []
    for index, number in enumerate(numbers):
        since = numbers[index - 1] if index else 0
        if since < number and draw(st.booleans()):
            events.append(("mark", Item(draw(st.integers(since, number - 1)), -1)))
        events.append(("put", Item(number, index)))
    return Stream([*events, ("mark", Item(largest, -1))])


class Trial:
    """A join that is given streams, in any order between them; what it does is kept."""

    def __init__(self, join: Any, given_: list[Stream]) -> None:
        self.join = join
        self.left = [list(stream.events) for stream in given_]
        self.steps: list[tuple[Item, ...]] = []
        self.shed: list[tuple[int, Item]] = []

    def bring(self, place: int) -> None:
        what, item = self.left[place].pop(0)
        if what == "put":
            put(self.join, place, item)
        else:
            self.join.mark(place, item.at)

    def take(self) -> None:
        self.steps += steps(self.join)
        dropped = self.join.shed()
        self.shed += [(place, item) for place, item, _ in dropped]
        assert {reason for *_, reason in dropped} <= {"unmatched", "unaligned"}

    def play(self, order: list[int], end: bool) -> None:
        """All that is left after the order is brought in the order of the inputs."""
        for place in order:
            if place < len(self.left) and self.left[place]:
                self.bring(place)
                self.take()
        for place, events in enumerate(self.left):
            while events:
                self.bring(place)
                self.take()
            if end:
                self.join.end(place)
                self.take()


Orders = st.lists(st.integers(0, 2), max_size=40)
Zipped = st.lists(streams(8), min_size=2, max_size=3)


def partners(given_: list[Stream]) -> list[tuple[Item, ...]]:
    """What a zip has to find."""
    counts = [Counter(item.at for item in stream.items) for stream in given_]
    least = {number: min(count[number] for count in counts) for number in counts[0]}
    firsts = [
        {number: [item for item in stream.items if item.at == number][:most] for number, most in least.items()}
        for stream in given_
    ]
    return [step for number in sorted(least) for step in zip(*(first[number] for first in firsts), strict=True)]


@given(Zipped, Orders, st.booleans())
def test_zip_finds_all_partners_in_order_and_nothing_is_lost(given_: list[Stream], order: list[int], end: bool) -> None:
    trial = Trial(ZipJoin(len(given_), lambda place, item: item.at), given_)
    trial.play(order, end)
    assert trial.steps == partners(given_)
    counted = [trial.join.waiting(place) for place in range(len(given_))]
    missing = trial.join.missing
    rest = trial.join.rest()
    assert counted == [sum(where == place for where, _ in rest) for place in range(len(given_))]
    assert missing == [place for place, count in enumerate(counted) if not count]
    if not end:
        assert rest == [], "the marks say that nothing more will come"
    gone = [*((place, item) for step in trial.steps for place, item in enumerate(step)), *trial.shed, *rest]
    assert sorted(gone) == sorted((place, item) for place, stream in enumerate(given_) for item in stream.items)
    for place in range(len(given_)):
        mine = [item for where, item in trial.shed if where == place]
        assert mine == sorted(mine)


@given(Zipped, Orders)
def test_zip_keeps_nothing_waiting_that_can_have_no_partner(given_: list[Stream], order: list[int]) -> None:
    trial = Trial(ZipJoin(len(given_), lambda place, item: item.at), given_)
    said = [0] * len(given_)
    for place in order:
        if place < len(given_) and trial.left[place]:
            what, item = trial.left[place][0]
            said[place] = max(said[place], item.at - (what == "put"))
            trial.bring(place)
            trial.take()
            heads = first_waiting(trial, given_)
            passed = [said[where] if head is None else head.at - 1 for where, head in enumerate(heads)]
            for where, head in enumerate(heads):
                assert head is None or all(at < head.at for other, at in enumerate(passed) if other != where)


def first_waiting(trial: Trial, given_: list[Stream]) -> list[Item | None]:
    gone = {(place, item) for step in trial.steps for place, item in enumerate(step)} | set(trial.shed)
    heads: list[Item | None] = []
    for place, stream in enumerate(given_):
        brought = len(stream.items) - sum(what == "put" for what, _ in trial.left[place])
        waiting = [item for item in stream.items[:brought] if (place, item) not in gone]
        heads.append(waiting[0] if waiting else None)
    return heads


def test_the_partner_of_what_zip_gives_up_goes_too() -> None:
    join = zip_of(2)
    put(join, 0, 1, 2)
    assert join.give_up(0) == 1
    put(join, 1, 1, 2)
    assert steps(join) == [(2, 2)]
    assert join.shed() == [(1, 1, "unmatched")]


# --- Align -----------------------------------------------------------------------------------------------------------


def test_align_takes_the_nearest_once_the_other_has_passed() -> None:
    join = align(20)
    put(join, 0, 0)
    put(join, 1, 5)
    assert steps(join) == []
    put(join, 1, 30)
    assert steps(join) == [(0, 5)]
    put(join, 0, 40)
    put(join, 1, 55)
    put(join, 0, 80)
    assert steps(join) == []
    put(join, 1, 200)
    assert steps(join) == [(40, 30)]
    assert join.shed() == [(0, 80, "unaligned"), (1, 55, "unaligned")]
    assert join.rest() == [(1, 200)]


def test_align_decides_by_marks_and_ends() -> None:
    join = align(10)
    put(join, 0, 100, 130)
    put(join, 1, 95)
    join.mark(1, 109)
    assert steps(join) == []
    put(join, 1, 110)  # another of the same time may follow, and of two that are equally near the later is taken
    assert steps(join) == []
    join.mark(1, 110)
    assert steps(join) == [(100, 95)]
    join.end(1)
    assert steps(join) == []
    assert join.shed() == [(0, 130, "unaligned"), (1, 110, "unaligned")]
    assert not join.over
    join.end(0)
    assert join.over


def test_an_item_can_be_the_partner_of_several_and_is_dropped_once() -> None:
    join = align(10)
    put(join, 0, 100, 105, 130)
    put(join, 1, 80, 103, 200)
    assert steps(join) == [(100, 103), (105, 103)]
    assert join.shed() == [(1, 80, "unaligned"), (0, 130, "unaligned")]
    assert join.rest() == [(1, 200)]


def test_what_is_older_than_any_reference_to_come_goes() -> None:
    join = align(10)
    put(join, 1, 5, 15, 25)
    join.mark(0, 30)
    assert steps(join) == []
    assert join.shed() == [(1, 5, "unaligned"), (1, 15, "unaligned")]
    join.end(0)
    assert steps(join) == []
    assert join.shed() == [(1, 25, "unaligned")]


def test_a_full_reference_is_decided_with_what_is_there() -> None:
    join = align(1000, depth=3)
    put(join, 0, 1, 2)
    put(join, 1, 2)
    assert steps(join) == []
    put(join, 0, 3)
    assert steps(join) == [(1, 2)]
    put(join, 0, 4)
    join.mark(1, 3)
    assert steps(join) == [(2, 2)]
    assert (join.shed(), join.rest()) == ([], [(0, 3), (0, 4)])


def test_without_a_reference_a_full_input_drops_its_oldest() -> None:
    join = align(1000, depth=3)
    put(join, 1, 1, 2, 3)
    assert steps(join) == []
    assert join.shed() == [(1, 1, "unaligned")]
    put(join, 0, 2)
    put(join, 1, 4)
    assert steps(join) == [(2, 2)]
    assert join.rest() == [(1, 3), (1, 4)]


def test_a_partner_that_was_used_takes_no_place_in_the_window() -> None:
    join = align(1000, depth=2)
    put(join, 0, 5)
    put(join, 1, 5, 6)
    assert steps(join) == [(5, 5)]
    assert join.shed() == []
    put(join, 1, 7)
    assert steps(join) == []
    assert join.shed() == [(1, 6, "unaligned")]


def test_align_gives_up_what_waits_rather_than_a_partner_that_was_used() -> None:
    join = align(10)
    put(join, 0, 5)
    put(join, 1, 5, 30)
    assert steps(join) == [(5, 5)]
    put(join, 1, 31)
    assert (join.waiting(1), join.give_up(1), join.waiting(1)) == (2, 30, 1)
    assert (join.shed(), join.rest()) == ([], [(1, 31)])


def nearest(item: Item, others: list[Item], tolerance: int) -> Item | None:
    """Of two that are equally near, the later."""
    near = min(others, key=lambda other: (abs(other.at - item.at), -other.index), default=None)
    return near if near is not None and abs(near.at - item.at) <= tolerance else None


@given(st.lists(streams(30), min_size=2, max_size=3), Orders, st.integers(0, 15), st.booleans())
def test_align_finds_the_nearest_of_all(given_: list[Stream], order: list[int], tolerance: int, end: bool) -> None:
    never = lambda place, waiting: False  # noqa: E731
    trial = Trial(AlignJoin(len(given_), tolerance, lambda item: item.at, never), given_)
    trial.play(order, end)
    for place in range(len(given_)):
        trial.join.end(place)
    trial.take()
    wanted = [(item, *(nearest(item, other.items, tolerance) for other in given_[1:])) for item in given_[0].items]
    assert trial.steps == [step for step in wanted if None not in step]
    assert trial.join.rest() == []
    used = {(place, item) for step in trial.steps for place, item in enumerate(step)}
    everything = sorted((place, item) for place, stream in enumerate(given_) for item in stream.items)
    assert sorted([*used, *trial.shed]) == everything


@given(st.lists(streams(30), min_size=2, max_size=3), Orders, st.integers(0, 40), st.integers(1, 4))
def test_align_never_leaves_an_input_full(given_: list[Stream], order: list[int], tolerance: int, depth: int) -> None:
    trial = Trial(AlignJoin(len(given_), tolerance, lambda item: item.at, lambda place, n: n >= depth), given_)
    for place in order:
        if place < len(given_) and trial.left[place]:
            trial.bring(place)
            trial.take()
            assert all(count < depth for count in waiting(trial, given_))
    trial.play([], end=False)
    used = {(place, item) for step in trial.steps for place, item in enumerate(step)}
    everything = sorted((place, item) for place, stream in enumerate(given_) for item in stream.items)
    counted = [trial.join.waiting(place) for place in range(len(given_))]
    rest = trial.join.rest()
    assert counted == [sum(where == place for where, _ in rest) for place in range(len(given_))]
    assert sorted([*used, *trial.shed, *rest]) == everything
    for step in trial.steps:
        assert all(abs(item.at - step[0].at) <= tolerance for item in step)


def waiting(trial: Trial, given_: list[Stream]) -> list[int]:
    """How many items of each input no step has had."""
    gone = {(place, item) for step in trial.steps for place, item in enumerate(step)} | set(trial.shed)
    counts = []
    for place, stream in enumerate(given_):
        brought = len(stream.items) - sum(what == "put" for what, _ in trial.left[place])
        counts.append(sum((place, item) not in gone for item in stream.items[:brought]))
    return counts
