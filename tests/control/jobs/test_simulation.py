"""Random schedules keep the promises; Machines with a mistake in them do not."""

from __future__ import annotations

import pytest

from flowmesh.errors import StateError

from . import programs
from .mutants import MUTANTS
from .schedules import run_schedule
from .world import Broken, World

SCHEDULES = 1000


def test_schedules() -> None:
    for seed in range(SCHEDULES):
        try:
            run_schedule(seed)
        except Exception as error:
            raise AssertionError(f"schedule {seed}: {error}") from error


@pytest.mark.long
def test_many_schedules() -> None:
    for seed in range(SCHEDULES, SCHEDULES + 100_000):
        try:
            run_schedule(seed)
        except Exception as error:
            raise AssertionError(f"schedule {seed}: {error}") from error


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    with pytest.raises((Broken, StateError)):
        _run_all()


def _run_all() -> None:
    for seed in range(SCHEDULES):
        run_schedule(seed)


@pytest.mark.parametrize(("depth", "joins"), [(200, "return"), (40, "wait")])
def test_recursion_on_one_slot_comes_to_its_end(depth: int, joins: str) -> None:
    world = World(seed=1)
    world.add_worker("only")
    client = world.add_client()
    client.submit(programs.chain(depth, joins))
    world.run(600.0, lambda: client.is_served)
    assert client.ended[1].value is not None


def test_a_tree_that_is_wider_and_deeper_than_the_slots() -> None:
    world = World(seed=1)
    world.add_worker("only", slots=2)
    client = world.add_client(max_workers=1)
    tree = programs.reliable()
    for joins in ("wait", "return", "wait", "wait"):
        tree = programs.reliable(children=(tree, tree, tree), joins=joins)
    client.submit(tree)
    world.run(600.0, lambda: client.is_served)
    assert client.ended[1].value is not None
