"""How many 1080p frames a second reach one consumer and four, and one behind a node that passes them on.

Every consumer reads the whole of every frame, and checks which one it is.
"""

from __future__ import annotations

import time
from functools import partial

import flowmesh as fm

from . import floor, running
from .comparison import Benchmark, Figure, Gate
from .film import HD, blank, verify

Data = dict[str, fm.DataChunk]


class Film(fm.Node):
    count: int

    def setup(self) -> None:
        self.number = 0
        self.frame, self.words = blank(HD)

    def step(self) -> fm.DataChunk:
        self.number += 1
        if self.number > self.count:
            raise fm.EndOfStream
        self.words[0] = self.number
        chunk = fm.DataChunk()
        chunk.add("frame", self.frame, "image")
        return chunk


class PassOn(fm.Node):
    def step(self, data: Data) -> fm.DataChunk:
        return data["film"]


class Viewer(running.Measuring):
    count: int
    sender: str

    def setup(self) -> None:
        self.number = 0

    def step(self, data: Data) -> None:
        number = self.number = self.number + 1
        if number == 1:
            self.begun = time.perf_counter()
        verify(data[self.sender].get("frame")["value"], number)
        if number == self.count:
            self.measured = {"rate": (number - 1) / (time.perf_counter() - self.begun)}


def benchmarks(quick: bool) -> list[Benchmark]:
    count = 300 if quick else 2_000
    cpu = Figure("cpu", "  CPU per 1,000", "s")
    one, four, on = "1080p, 1 consumer", "1080p, 4 consumers", "1080p, passed on; floor: flowmesh's 1 hop"
    return [
        Benchmark(
            "frames-1", one, (Figure("rate", one, "fps", Gate(0.7)), cpu),
            partial(_fan_out, 1, count), partial(floor.frames, count, 1, HD),
        ),
        Benchmark(
            "frames-4", four, (Figure("rate", four, "fps", Gate(0.7)), cpu),
            partial(_fan_out, 4, count), partial(floor.frames, count, 4, HD),
        ),
        Benchmark(
            "frames-on", on, (Figure("rate", on, "fps", Gate(0.7)), cpu),
            partial(_passed_on, count), partial(_fan_out, 1, count),
        ),
    ]  # fmt: skip


def _fan_out(consumers: int, count: int) -> dict[str, float]:
    graph = fm.Graph()
    film = Film(name="film", count=count)
    viewers = [Viewer(name=f"viewer-{place}", count=count, sender="film") for place in range(consumers)]
    graph.add_edges_from((film, viewer) for viewer in viewers)
    return _run(graph, viewers, count)


def _passed_on(count: int) -> dict[str, float]:
    viewer = Viewer(name="viewer", count=count, sender="on")
    return _run(running.chain(Film(name="film", count=count), PassOn(name="on"), viewer), [viewer], count)


def _run(graph: fm.Graph, viewers: list[Viewer], count: int) -> dict[str, float]:
    ran = running.run(graph, viewers)
    return {"rate": min(report["rate"] for report in ran.reports), "cpu": ran.cpu * 1000 / count}
