"""How inputs meet: nothing is lost or given twice, and a join is over exactly when no step can come."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.control.node.joins import AnyJoin, FollowJoin

INPUTS = 3


def steps(join: Any) -> list[Any]:
    return list(iter(join.next_step, None))


def test_any_gives_what_came_in_its_order() -> None:
    join: AnyJoin[str] = AnyJoin(2)
    assert [join.add_chunk(index, item) for index, item in ((0, "a"), (1, "b"), (0, "c"))] == [None] * 3
    assert steps(join) == [(0, {0: "a"}), (1, {1: "b"}), (0, {0: "c"})]


def test_any_gives_one_at_a_time_in_the_same_order() -> None:
    join: AnyJoin[str] = AnyJoin(2)
    for index, item in ((1, "a"), (0, "b"), (1, "c")):
        join.add_chunk(index, item)
    assert [join.next_step(), join.next_step(), join.next_step()] == [(1, {1: "a"}), (0, {0: "b"}), (1, {1: "c"})]
    assert join.next_step() is None


def test_follow_steps_for_the_followed_and_samples_the_others() -> None:
    join: FollowJoin[str] = FollowJoin(2, followed=1, keeps=4)
    join.add_chunk(1, "f1")
    assert join.next_step() is None
    join.add_chunk(0, "s1")
    join.add_chunk(1, "f2")
    assert steps(join) == [(1, {1: "f1", 0: "s1"}), (1, {1: "f2", 0: "s1"})]
    join.add_chunk(0, "s2")
    assert join.next_step() is None
    join.add_chunk(1, "f3")
    assert steps(join) == [(1, {1: "f3", 0: "s2"})]


def test_a_sample_that_no_step_had_is_superseded_by_the_next() -> None:
    join: FollowJoin[str | None] = FollowJoin(2, followed=0, keeps=4)
    assert join.add_chunk(1, None) is None
    assert join.add_chunk(1, "s2") == (1, None, "superseded")
    join.add_chunk(0, "f1")
    assert steps(join) == [(0, {0: "f1", 1: "s2"})]
    assert join.add_chunk(1, "s3") is None
    assert join.add_chunk(1, "s4") == (1, "s3", "superseded")


@pytest.mark.parametrize(("full", "dropped"), [(0, ["f1", "f2", "f3"]), (1, ["f1", "f2"]), (3, [])])
def test_before_the_first_step_a_full_followed_input_drops_its_oldest(full: int, dropped: list[str]) -> None:
    join: FollowJoin[str] = FollowJoin(2, followed=0, keeps=full)
    drops = [join.add_chunk(0, item) for item in ("f1", "f2", "f3")]
    assert [drop for drop in drops if drop] == [(0, item, "before_first") for item in dropped]
    join.add_chunk(1, "s1")
    assert [join.add_chunk(0, f"f{number}") for number in range(4, 9)] == [None] * 5
    assert len(steps(join)) == 8 - len(dropped)


def test_an_input_that_ends_keeps_its_last_value_and_one_without_any_ends_the_join() -> None:
    kept: FollowJoin[str] = FollowJoin(2, followed=0, keeps=4)
    kept.add_chunk(1, "s1")
    kept.end_input(1)
    kept.add_chunk(0, "f1")
    assert (kept.never_fires, kept.finished) == (None, False)
    assert steps(kept) == [(0, {0: "f1", 1: "s1"})]
    barren: FollowJoin[str] = FollowJoin(3, followed=0, keeps=4)
    barren.add_chunk(0, "f1")
    barren.end_input(2)
    assert (barren.never_fires, barren.finished) == (2, True)


def test_of_what_waits_the_oldest_is_given_up() -> None:
    any_: AnyJoin[str] = AnyJoin(2)
    for index, item in ((0, "a"), (1, "b"), (1, "c")):
        any_.add_chunk(index, item)
    assert any_.give_up(1) == "b"
    assert steps(any_) == [(0, {0: "a"}), (1, {1: "c"})]
    follow: FollowJoin[str] = FollowJoin(2, followed=0, keeps=4)
    for index, item in ((1, "s1"), (0, "f1"), (0, "f2")):
        follow.add_chunk(index, item)
    assert follow.give_up(0) == "f1"
    assert steps(follow) == [(0, {0: "f2", 1: "s1"})]


Events = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "end", "take", "give up"]), st.integers(0, INPUTS - 1))
)
Joins: st.SearchStrategy[Any] = st.one_of(
    st.just(None).map(lambda _: AnyJoin(INPUTS)),
    st.builds(FollowJoin, st.just(INPUTS), st.integers(0, INPUTS - 1), st.integers(0, 3)),
)


class Trial:
    """A join that is given numbered items, and where each of them has gone."""

    def __init__(self, join: Any) -> None:
        self.join = join
        self.put: list[tuple[int, int]] = []
        self.dropped: list[tuple[int, int]] = []
        self.triggers: list[tuple[int, int]] = []
        self.taken: set[tuple[int, int]] = set()
        self.ended: set[int] = set()

    def event(self, what: str, index: int) -> None:
        if what == "take":
            self.take()
        elif what == "give up":
            if self.join.waiting(index) > 1:
                self.dropped.append((index, self.join.give_up(index)))
        elif what == "end":
            self.ended.add(index)
            self.join.end_input(index)
        elif index not in self.ended:
            item = len(self.put)
            self.put.append((index, item))
            if (drop := self.join.add_chunk(index, item)) is not None:
                self.dropped.append(drop[:2])

    def take(self) -> None:
        if (taken := self.join.next_step()) is not None:
            trigger, items = taken
            self.triggers.append((trigger, items[trigger]))
            self.taken |= set(items.items())


@given(Joins, Events)
def test_nothing_is_lost_or_repeated(join: Any, events: list[tuple[str, int]]) -> None:
    trial = Trial(join)
    for what, index in events:
        trial.event(what, index)
    counted = [join.waiting(index) for index in range(INPUTS)]
    waiting = join.drain_rest()
    assert counted == [sum(where == index for where, _ in waiting) for index in range(INPUTS)]
    assert sorted([*trial.taken, *trial.dropped, *waiting]) == sorted(trial.put)
    assert sorted(set(trial.triggers)) == sorted(trial.triggers)
    for index in range(INPUTS):
        mine = [item for where, item in trial.triggers if where == index]
        assert mine == sorted(mine)
    assert join.drain_rest() == []
    assert join.next_step() is None


@given(Joins, Events)
def test_it_is_over_exactly_when_no_step_can_come(join: Any, events: list[tuple[str, int]]) -> None:
    trial = Trial(join)
    for what, index in events:
        trial.event(what, index)
        assert join.finished is not a_step_can_come(trial)


def a_step_can_come(trial: Trial) -> bool:
    """Tried out: every input that is open brings something, twice, so that the followed one comes after all others too."""
    future = deepcopy(trial)
    for index in (*range(INPUTS), *range(INPUTS)):
        future.event("put", index)
    return future.join.next_step() is not None
