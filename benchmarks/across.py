"""Graphs over two hosts, as a program: `python -m benchmarks.across WORK COUNT FOLDER` on the Manager's host.

It prints the line to paste on each of the other hosts, then `measured` with all that the sinks measured, and keeps the
graph standing until a line comes in: whoever asked may count what the processes have spent.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import flowmesh as fm

from .film import footage
from .running import WITHIN, Measuring

PORT = 9000
FPS = 30.0
LOAD = 100_000
LARGE = 6_220_800
Data = dict[str, fm.DataChunk]


class Steady(fm.Node):
    """A source of `count` chunks that goes on being there: a node that has ended has no processor time to be asked for."""

    count: int

    def setup(self) -> None:
        self.number = 0

    def step(self) -> fm.DataChunk | None:
        if self.number == self.count:
            time.sleep(0.1)
            return None
        chunk = fm.DataChunk()
        self.fill(chunk)
        chunk.add("number", self.number)
        chunk.add("at", time.monotonic_ns())
        self.number += 1
        return chunk

    def fill(self, chunk: fm.DataChunk) -> None:
        """What else there is in it."""


class Film(Steady):
    def setup(self) -> None:
        super().setup()
        self.frames = footage()

    def fill(self, chunk: fm.DataChunk) -> None:
        chunk.add("frame", self.frames[self.number % len(self.frames)], "image")


class Noise(Steady):
    """Arrays that no codec makes smaller."""

    size: int

    def setup(self) -> None:
        super().setup()
        self.noise = np.random.default_rng(1).integers(0, 256, self.size, np.uint8)

    def fill(self, chunk: fm.DataChunk) -> None:
        chunk.add("load", self.noise, "array")


class PassOn(fm.Node):
    def step(self, data: Data) -> fm.DataChunk:
        (chunk,) = data.values()
        return chunk


class Sink(Measuring):
    """Notes ages and the rate; says so once it has the last of `count`."""

    count: int
    lossy = False
    sums = False  # whether it notes what it sees of each frame

    def setup(self) -> None:
        self.ages: list[float] = []
        self.seen = 0
        self.begun = 0.0

    def step(self, data: Data) -> None:
        entered = time.monotonic_ns()
        (chunk,) = data.values()
        number = chunk.get("number")["value"]
        self.begun = self.begun or time.perf_counter()
        if not self.lossy and number != len(self.ages):
            raise ValueError(f"chunk {len(self.ages)} is missing or out of order")
        self.ages.append((entered - chunk.get("at")["value"]) / 1e6)
        if self.sums:
            self.seen = zlib.crc32(np.ascontiguousarray(chunk.get("frame")["value"]).data, self.seen)
        if number >= self.count - 1:
            self.measured = self._figures()
            super().teardown()

    def _figures(self) -> dict[str, float]:
        ages = np.array(self.ages[5:] or self.ages)
        p50, p95 = np.percentile(ages, (50, 95))
        rate = (len(self.ages) - 1) / (time.perf_counter() - self.begun)
        found = {"rate": rate, "p50": float(p50), "p95": float(p95), "most": float(ages.max())}
        return found | {"got": len(self.ages), "seen": self.seen}

    def teardown(self) -> None:
        pass  # said already


Parts = tuple[fm.Graph, dict[str, list[str]]]


def image(count: int, sinks: int = 1) -> Parts:
    graph = fm.Graph()
    film = Film(name="film", rate=FPS, count=count)
    for place in range(sinks):
        graph.add_edge(film, Sink(name=f"sink{place}", count=count), codec="jpeg", quality=80)
    return graph, {"here": ["film"], "there": [f"sink{place}" for place in range(sinks)]}


def stream(count: int, source: fm.Node) -> Parts:
    graph = fm.Graph()
    graph.add_edge(source, Sink(name="sink", count=count))
    return graph, {"here": [source.name], "there": ["sink"]}


def onwards(count: int) -> Parts:
    """There, and from there to a third host: what is seen there is compared."""
    graph = fm.Graph()
    film, middle = Film(name="film", rate=FPS, count=count), PassOn(name="middle")
    graph.add_edge(film, middle, codec="jpeg", quality=80)
    graph.add_edge(film, Sink(name="near", count=count, sums=True), codec="jpeg", quality=80)
    graph.add_edge(middle, Sink(name="far", count=count, sums=True), codec="jpeg", quality=80)
    return graph, {"here": ["film"], "there": ["middle", "near"], "third": ["far"]}


def narrow(count: int) -> Parts:
    """Large arrays, as many as go, beside small ones: both are to be fresh."""
    graph = fm.Graph()
    large = Noise(name="large", rate=FPS, count=10**9, size=LARGE)
    small = Noise(name="small", rate=50.0, count=count, size=1000)
    graph.add_edge(large, Sink(name="stale", count=count // 120, lossy=True), policy="latest")
    graph.add_edge(small, Sink(name="fresh", count=count, lossy=True), policy="latest")
    return graph, {"here": ["large", "small"], "there": ["stale", "fresh"]}


WORKS: dict[str, Callable[[int], Parts]] = {
    "image": image,
    "three": lambda count: image(count, sinks=3),
    "bytes": lambda count: stream(count, Noise(name="noise", count=count, size=LOAD)),
    "small": lambda count: stream(count, Steady(name="steady", count=count)),
    "onwards": onwards,
    "narrow": narrow,
}


def main(work: str, count: str, folder: str) -> None:
    graph, mapping = WORKS[work](int(count))
    sinks = [graph.nodes[name]["node"] for name in graph if isinstance(graph.nodes[name]["node"], Sink)]
    for sink in sinks:
        sink.report = str(Path(folder, sink.name))
    until = time.monotonic() + WITHIN
    with fm.Manager(host="0.0.0.0", port=PORT) as manager, fm.Worker(name="here") as worker:
        worker.connect(host="127.0.0.1", port=PORT)
        _gather(manager, mapping, until)
        manager.commit_graph(graph, mapping)
        print("ready", flush=True)
        sys.stdin.readline()
        manager.start()
        while not all(_has_said(sink) for sink in sinks):
            manager.wait(timeout=0.1)
            if time.monotonic() > until:
                raise fm.DeadlineError(f"the sinks did not get everything within {WITHIN:g} s")
        print("measured", json.dumps(_said(manager, sinks)), flush=True)
        sys.stdin.readline()
        manager.reset()


def _gather(manager: fm.Manager, mapping: Mapping[str, Sequence[str]], until: float) -> None:
    for name in list(mapping)[2:]:
        print(f"for {name}: {manager.token().line}", flush=True)
    while set(mapping) - set(manager.workers):
        if time.monotonic() > until:
            raise fm.DeadlineError("a worker did not come")
        time.sleep(0.05)


def _has_said(sink: Sink) -> bool:
    path = Path(sink.report)
    return path.exists() and path.stat().st_size > 0


def _said(manager: fm.Manager, sinks: Sequence[Sink]) -> dict[str, Any]:
    edges = {" ".join(pair): msgspec.to_builtins(edge) for pair, edge in manager.status().edges.items()}
    return {"sinks": {sink.name: json.loads(Path(sink.report).read_bytes()) for sink in sinks}, "edges": edges}


if __name__ == "__main__":
    main(*sys.argv[1:])
