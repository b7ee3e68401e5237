"""The simulator can fail: each rule that is broken on purpose is found within a bounded number of schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import chain

import pytest

from flowmesh.errors import ChunkError

from .mutants import MUTANTS
from .passing import SlotRules, pass_on
from .seeds import KEPT
from .shapes import simulate
from .world import Broken

WITHIN = 1500  # schedules; the one that is known to show it comes first


def found_by(run: Callable[[int], object], seeds: Iterable[int]) -> int | None:
    """The first schedule that breaks a rule."""
    for seed in seeds:
        try:
            run(seed)
        except (Broken, ChunkError):
            return seed
    return None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_found(name: str) -> None:
    shape, rules = MUTANTS[name]
    seeds = chain([KEPT[name]], range(1, WITHIN + 1))
    assert found_by(lambda seed: simulate(shape, seed, rules), seeds) is not None


@pytest.mark.parametrize("name", [field.name for field in fields(SlotRules)])
def test_a_broken_rule_of_leases_is_found(name: str) -> None:
    rules = SlotRules(**{name: False})
    assert found_by(lambda seed: pass_on(seed, rules), range(1, WITHIN + 1)) is not None
