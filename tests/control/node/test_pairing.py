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
    return ZipJoin(inputs, lambda index, number: number)


def align(tolerance: int, inputs: int = 2, depth: int = 1000) -> AlignJoin[int]:
    return AlignJoin(inputs, tolerance, lambda time: time, lambda index, waiting: waiting >= depth)


def put(join: Any, index: int, *items: Any) -> None:
    for item in items:
        assert join.add_chunk(index, item) is None


def steps(join: Any) -> list[tuple[Any, ...]]:
    """All steps that can be done, each as what it sees, in the order of the inputs."""
    found = []
    while (taken := join.next_step()) is not None:
        trigger, items = taken
        assert trigger == 0
        found.append(tuple(items[index] for index in sorted(items)))
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
    assert sorted(join.drop_unpaired()) == [(index, number, "unmatched") for index, number in shed]
    assert join.drop_unpaired() == []


def test_zip_waits_until_another_input_is_beyond() -> None:
    join = zip_of(2)
    put(join, 0, 7, 7, 9)
    assert (steps(join), join.drop_unpaired()) == ([], [])
    join.watermark(1, 6)
    assert (steps(join), join.drop_unpaired()) == ([], [])
    put(join, 1, 7)
    assert (steps(join), join.drop_unpaired()) == ([(7, 7)], [])
    join.watermark(1, 7)
    assert (steps(join), join.drop_unpaired()) == ([], [(0, 7, "unmatched")])
    join.watermark(1, 3)  # an older one says nothing new
    put(join, 1, 9)
    assert steps(join) == [(9, 9)]


def test_one_input_that_is_beyond_is_enough() -> None:
    join = zip_of(3)
    put(join, 0, 4)
    put(join, 1, 4)
    join.watermark(2, 4)
    assert (steps(join), join.drop_unpaired()) == ([], [(0, 4, "unmatched"), (1, 4, "unmatched")])


def test_zip_is_over_when_one_has_ended_and_is_empty() -> None:
    join = zip_of(2)
    put(join, 0, 1, 2)
    join.end_input(0)
    assert not join.finished
    put(join, 1, 1, 2, 3)
    assert steps(join) == [(1, 1), (2, 2)]
    assert join.finished
    assert (join.drain_rest(), join.drain_rest()) == ([(1, 3)], [])


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

    def bring(self, index: int) -> None:
        what, item = self.left[index].pop(0)
        if what == "put":
            put(self.join, index, item)
        else:
            self.join.watermark(index, item.at)

    def take(self) -> None:
        self.steps += steps(self.join)
        dropped = self.join.drop_unpaired()
        self.shed += [(index, item) for index, item, _ in dropped]
        assert {reason for *_, reason in dropped} <= {"unmatched", "unaligned"}

    def play(self, order: list[int], end: bool) -> None:
        """All that is left after the order is brought in the order of the inputs."""
        for index in order:
            if index < len(self.left) and self.left[index]:
                self.bring(index)
                self.take()
        for index, events in enumerate(self.left):
            while events:
                self.bring(index)
                self.take()
            if end:
                self.join.end_input(index)
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
    trial = Trial(ZipJoin(len(given_), lambda index, item: item.at), given_)
    trial.play(order, end)
    assert trial.steps == partners(given_)
    counted = [trial.join.waiting(index) for index in range(len(given_))]
    missing = trial.join.missing
    rest = trial.join.drain_rest()
    assert counted == [sum(where == index for where, _ in rest) for index in range(len(given_))]
    assert missing == [index for index, count in enumerate(counted) if not count]
    if not end:
        assert rest == [], "the marks say that nothing more will come"
    gone = [*((index, item) for step in trial.steps for index, item in enumerate(step)), *trial.shed, *rest]
    assert sorted(gone) == sorted((index, item) for index, stream in enumerate(given_) for item in stream.items)
    for index in range(len(given_)):
        mine = [item for where, item in trial.shed if where == index]
        assert mine == sorted(mine)


@given(Zipped, Orders)
def test_zip_keeps_nothing_waiting_that_can_have_no_partner(given_: list[Stream], order: list[int]) -> None:
    trial = Trial(ZipJoin(len(given_), lambda index, item: item.at), given_)
    said = [0] * len(given_)
    for index in order:
        if index < len(given_) and trial.left[index]:
            what, item = trial.left[index][0]
            said[index] = max(said[index], item.at - (what == "put"))
            trial.bring(index)
            trial.take()
            heads = first_waiting(trial, given_)
            passed = [said[where] if head is None else head.at - 1 for where, head in enumerate(heads)]
            for where, head in enumerate(heads):
                assert head is None or all(at < head.at for other, at in enumerate(passed) if other != where)


def first_waiting(trial: Trial, given_: list[Stream]) -> list[Item | None]:
    gone = {(index, item) for step in trial.steps for index, item in enumerate(step)} | set(trial.shed)
    heads: list[Item | None] = []
    for index, stream in enumerate(given_):
        brought = len(stream.items) - sum(what == "put" for what, _ in trial.left[index])
        waiting = [item for item in stream.items[:brought] if (index, item) not in gone]
        heads.append(waiting[0] if waiting else None)
    return heads


def test_the_partner_of_what_zip_gives_up_goes_too() -> None:
    join = zip_of(2)
    put(join, 0, 1, 2)
    assert join.give_up(0) == 1
    put(join, 1, 1, 2)
    assert steps(join) == [(2, 2)]
    assert join.drop_unpaired() == [(1, 1, "unmatched")]


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
    assert join.drop_unpaired() == [(0, 80, "unaligned"), (1, 55, "unaligned")]
    assert join.drain_rest() == [(1, 200)]


def test_align_decides_by_marks_and_ends() -> None:
    join = align(10)
    put(join, 0, 100, 130)
    put(join, 1, 95)
    join.watermark(1, 109)
    assert steps(join) == []
    put(join, 1, 110)  # another of the same time may follow, and of two that are equally near the later is taken
    assert steps(join) == []
    join.watermark(1, 110)
    assert steps(join) == [(100, 95)]
    join.end_input(1)
    assert steps(join) == []
    assert join.drop_unpaired() == [(0, 130, "unaligned"), (1, 110, "unaligned")]
    assert not join.finished
    join.end_input(0)
    assert join.finished


def test_an_item_can_be_the_partner_of_several_and_is_dropped_once() -> None:
    join = align(10)
    put(join, 0, 100, 105, 130)
    put(join, 1, 80, 103, 200)
    assert steps(join) == [(100, 103), (105, 103)]
    assert join.drop_unpaired() == [(1, 80, "unaligned"), (0, 130, "unaligned")]
    assert join.drain_rest() == [(1, 200)]


def test_what_is_older_than_any_reference_to_come_goes() -> None:
    join = align(10)
    put(join, 1, 5, 15, 25)
    join.watermark(0, 30)
    assert steps(join) == []
    assert join.drop_unpaired() == [(1, 5, "unaligned"), (1, 15, "unaligned")]
    join.end_input(0)
    assert steps(join) == []
    assert join.drop_unpaired() == [(1, 25, "unaligned")]


def test_a_full_reference_is_decided_with_what_is_there() -> None:
    join = align(1000, depth=3)
    put(join, 0, 1, 2)
    put(join, 1, 2)
    assert steps(join) == []
    put(join, 0, 3)
    assert steps(join) == [(1, 2)]
    put(join, 0, 4)
    join.watermark(1, 3)
    assert steps(join) == [(2, 2)]
    assert (join.drop_unpaired(), join.drain_rest()) == ([], [(0, 3), (0, 4)])


def test_without_a_reference_a_full_input_drops_its_oldest() -> None:
    join = align(1000, depth=3)
    put(join, 1, 1, 2, 3)
    assert steps(join) == []
    assert join.drop_unpaired() == [(1, 1, "unaligned")]
    put(join, 0, 2)
    put(join, 1, 4)
    assert steps(join) == [(2, 2)]
    assert join.drain_rest() == [(1, 3), (1, 4)]


def test_a_partner_that_was_used_takes_no_place_in_the_window() -> None:
    join = align(1000, depth=2)
    put(join, 0, 5)
    put(join, 1, 5, 6)
    assert steps(join) == [(5, 5)]
    assert join.drop_unpaired() == []
    put(join, 1, 7)
    assert steps(join) == []
    assert join.drop_unpaired() == [(1, 6, "unaligned")]


def test_align_gives_up_what_waits_rather_than_a_partner_that_was_used() -> None:
    join = align(10)
    put(join, 0, 5)
    put(join, 1, 5, 30)
    assert steps(join) == [(5, 5)]
    put(join, 1, 31)
    assert (join.waiting(1), join.give_up(1), join.waiting(1)) == (2, 30, 1)
    assert (join.drop_unpaired(), join.drain_rest()) == ([], [(1, 31)])


def nearest(item: Item, others: list[Item], tolerance: int) -> Item | None:
    """Of two that are equally near, the later."""
    near = min(others, key=lambda other: (abs(other.at - item.at), -other.index), default=None)
    return near if near is not None and abs(near.at - item.at) <= tolerance else None


@given(st.lists(streams(30), min_size=2, max_size=3), Orders, st.integers(0, 15), st.booleans())
def test_align_finds_the_nearest_of_all(given_: list[Stream], order: list[int], tolerance: int, end: bool) -> None:
    never = lambda index, waiting: False  # noqa: E731
    trial = Trial(AlignJoin(len(given_), tolerance, lambda item: item.at, never), given_)
    trial.play(order, end)
    for index in range(len(given_)):
        trial.join.end_input(index)
    trial.take()
    wanted = [(item, *(nearest(item, other.items, tolerance) for other in given_[1:])) for item in given_[0].items]
    assert trial.steps == [step for step in wanted if None not in step]
    assert trial.join.drain_rest() == []
    used = {(index, item) for step in trial.steps for index, item in enumerate(step)}
    everything = sorted((index, item) for index, stream in enumerate(given_) for item in stream.items)
    assert sorted([*used, *trial.shed]) == everything


@given(st.lists(streams(30), min_size=2, max_size=3), Orders, st.integers(0, 40), st.integers(1, 4))
def test_align_never_leaves_an_input_full(given_: list[Stream], order: list[int], tolerance: int, depth: int) -> None:
    trial = Trial(AlignJoin(len(given_), tolerance, lambda item: item.at, lambda index, n: n >= depth), given_)
    for index in order:
        if index < len(given_) and trial.left[index]:
            trial.bring(index)
            trial.take()
            assert all(count < depth for count in waiting(trial, given_))
    trial.play([], end=False)
    used = {(index, item) for step in trial.steps for index, item in enumerate(step)}
    everything = sorted((index, item) for index, stream in enumerate(given_) for item in stream.items)
    counted = [trial.join.waiting(index) for index in range(len(given_))]
    rest = trial.join.drain_rest()
    assert counted == [sum(where == index for where, _ in rest) for index in range(len(given_))]
    assert sorted([*used, *trial.shed, *rest]) == everything
    for step in trial.steps:
        assert all(abs(item.at - step[0].at) <= tolerance for item in step)


def waiting(trial: Trial, given_: list[Stream]) -> list[int]:
    """How many items of each input no step has had."""
    gone = {(index, item) for step in trial.steps for index, item in enumerate(step)} | set(trial.shed)
    counts = []
    for index, stream in enumerate(given_):
        brought = len(stream.items) - sum(what == "put" for what, _ in trial.left[index])
        counts.append(sum((index, item) not in gone for item in stream.items[:brought]))
    return counts
