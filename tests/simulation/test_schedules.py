"""Every schedule ends, with exact numbers, conservation on every edge and bounded memory. See `simulation`, `expected`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from flowmesh.errors import ChunkError

from .mutants import MUTANTS
from .passing import pass_on
from .seeds import KEPT
from .shapes import SHAPES, simulate
from .world import Broken

QUICK = 130  # schedules of each shape, in every test run
LONG = 1000  # in each of the long runs, of which there are a dozen a shape


def failures(shape: str, seeds: Iterable[int]) -> list[str]:
    """The schedules that break a rule, each as the line that runs it again."""
    failed = []
    for seed in seeds:
        try:
            simulate(shape, seed)
        except (Broken, ChunkError) as error:
            failed.append(f"python -m tests.simulation {shape} {seed}  # {error}")
    return failed


@pytest.mark.parametrize("shape", SHAPES)
def test_every_schedule_keeps_every_rule(shape: str) -> None:
    failed = failures(shape, range(1, QUICK + 1))
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_deaths_too(shape: str) -> None:
    for seed in range(1, 31):
        assert simulate(shape, seed, crashes=False).deaths == 0


def test_what_was_found_once_stays_mended() -> None:
    failed = [line for name, seed in KEPT.items() for line in failures(MUTANTS[name][0], [seed])]
    assert not failed, "\n".join(failed)


def test_processes_do_die_and_a_seed_is_a_schedule() -> None:
    runs = [simulate("chain", seed) for seed in range(1, 41)]
    assert sum(run.deaths for run in runs) > 20
    assert [(run.deaths, run.clock.events, run.clock.now) for run in runs[:5]] == [
        (run.deaths, run.clock.events, run.clock.now) for run in (simulate("chain", seed) for seed in range(1, 6))
    ]


def test_no_slot_is_reused_while_it_can_be_read() -> None:
    for seed in range(1, 1001):
        pass_on(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 13000, LONG))
@pytest.mark.parametrize("shape", SHAPES)
def test_many_more_schedules(shape: str, first: int) -> None:
    failed = failures(shape, range(first, first + LONG))
    assert not failed, "\n".join(failed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(10_000, 110_000, 10_000))
def test_slots_in_many_more_schedules(first: int) -> None:
    for seed in range(first, first + 10_000):
        pass_on(seed)
