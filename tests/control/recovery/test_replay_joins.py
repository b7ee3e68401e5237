"""Joins after a restart: the order is repeated, and nothing is dropped that a step has had."""

from __future__ import annotations

from typing import Any

from flowmesh.control.recovery.replay_joins import ReplayAnyJoin, ReplayFollowJoin


def steps(join: Any) -> list[Any]:
    return list(iter(join.next_step, None))


def test_an_order_is_repeated_and_then_it_is_first_come_first_served() -> None:
    join: ReplayAnyJoin[str] = ReplayAnyJoin(2, order=[1, 0, 0])
    for index, item in ((0, "a1"), (0, "a2"), (0, "a3")):
        join.add_chunk(index, item)
    assert join.next_step() is None
    join.add_chunk(1, "b1")
    assert steps(join) == [(1, {1: "b1"}), (0, {0: "a1"}), (0, {0: "a2"}), (0, {0: "a3"})]


def test_what_was_stepped_on_waits_for_its_sample() -> None:
    join: ReplayFollowJoin[str] = ReplayFollowJoin(2, followed=0, begun=True)
    assert [join.add_chunk(0, f"f{number}") for number in range(4)] == [None] * 4
    assert join.add_chunk(1, "s") is None
    assert len(steps(join)) == 4


def test_before_any_step_nothing_is_kept() -> None:
    join: ReplayFollowJoin[str] = ReplayFollowJoin(2, followed=0, begun=False)
    assert [join.add_chunk(0, item) for item in ("f1", "f2")] == [(0, "f1", "before_first"), (0, "f2", "before_first")]
    join.add_chunk(1, "s")
    assert join.add_chunk(0, "f3") is None
    assert steps(join) == [(0, {0: "f3", 1: "s"})]
