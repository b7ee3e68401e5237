"""What is compared, and the figures of all rounds. Nothing is measured or printed here."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import msgspec

Measure = Callable[[], dict[str, float]]


class Gate(NamedTuple):
    """A bound on the ratio to the floor or, where there is none, on the figure itself."""

    bound: float
    at_most: bool = False

    def passes(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"


class Figure(NamedTuple):
    """One of the figures that a measurement returns: its key there, its row in the table, its unit."""

    key: str
    label: str
    unit: str
    gate: Gate | None = None


class Benchmark(NamedTuple):
    """flowmesh and its floor, measured in turns; each returns its figures by key. A floor may lack some, or be missing."""

    name: str
    about: str
    figures: tuple[Figure, ...]
    flowmesh: Measure
    floor: Measure | None = None


class Outcome(msgspec.Struct):
    """A figure's values, round by round."""

    benchmark: str
    label: str
    unit: str
    gate: Gate | None
    floor: list[float] = []
    flowmesh: list[float] = []

    @property
    def ratios(self) -> list[float]:
        """flowmesh to floor, of each round's pair."""
        return [ours / bare for ours, bare in zip(self.flowmesh, self.floor, strict=True)] if self.floor else []

    @property
    def reached(self) -> bool | None:
        """Whether the gate is passed; None without a gate."""
        if self.gate is None:
            return None
        return bool(self.flowmesh) and self.gate.passes(median(self.ratios or self.flowmesh))


def outcomes(benchmark: Benchmark) -> dict[str, Outcome]:
    """An empty outcome for each figure, by its key."""
    return {figure.key: Outcome(benchmark.name, figure.label, figure.unit, figure.gate) for figure in benchmark.figures}


def add_round(found: dict[str, Outcome], floor: dict[str, float], flowmesh: dict[str, float]) -> None:
    """One more pair of each figure."""
    for key, outcome in found.items():
        outcome.flowmesh.append(flowmesh[key])
        if key in floor:
            outcome.floor.append(floor[key])
