"""How many small dicts a second go through one hop and two, each in order and none missing."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import flowmesh as fm

from . import floor, running
from .comparison import Benchmark, Figure, Gate

Data = dict[str, fm.DataChunk]


class Source(fm.Node):
    count: int

    def setup(self) -> None:
        self.number = 0

    def step(self) -> dict[str, Any]:
        self.number += 1
        if self.number > self.count:
            raise fm.EndOfStream
        return {"n": self.number, "x": 1.5}


class Relay(fm.Node):
    def step(self, data: Data) -> Any:
        return data["source"].get("default")["value"]


class Sink(running.Measuring):
    count: int
    sender: str

    def setup(self) -> None:
        self.number = 0

    def step(self, data: Data) -> None:
        number = self.number = self.number + 1
        if number == 1:
            self.begun = time.perf_counter()
        if data[self.sender].get("default")["value"]["n"] != number:
            raise ValueError(f"chunk {number} is missing or out of order")
        if number == self.count:
            self.measured = {"rate": (number - 1) / (time.perf_counter() - self.begun)}


def benchmarks(quick: bool) -> list[Benchmark]:
    count = 30_000 if quick else 300_000
    return [_hops(1, count, Gate(0.4)), _hops(2, count, Gate(0.5))]


def _hops(hops: int, count: int, gate: Gate) -> Benchmark:
    label = f"small dicts, {hops} hop{'s' if hops > 1 else ''}"
    return Benchmark(
        name=f"small-{hops}",
        about=label,
        figures=(Figure("rate", label, "msg/s", gate), Figure("cpu", "  CPU per 1,000", "s")),
        flowmesh=partial(_run, hops, count),
        floor=partial(floor.small, count, hops),
    )


def _run(hops: int, count: int) -> dict[str, float]:
    relays = [Relay(name="relay")] if hops > 1 else []
    sink = Sink(name="sink", count=count, sender="relay" if relays else "source")
    ran = running.run(running.chain(Source(name="source", count=count), *relays, sink), [sink])
    return ran.reports[0] | {"cpu": ran.cpu * 1000 / count}
