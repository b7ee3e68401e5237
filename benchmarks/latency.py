"""One-way times at a steady rate: from just before the source's `return` to the entry of the sink's `step`, and to when the
sink has read the whole frame. All processes of a host have one monotonic clock.
"""

from __future__ import annotations

import time
from functools import partial

import flowmesh as fm

from . import floor, running
from .comparison import Benchmark, Figure, Gate
from .film import HD, blank, mark, verify

Data = dict[str, fm.DataChunk]
FPS = 30.0
SMALL_RATE = 1000.0


class Camera(fm.Node):
    """Marks each frame with the time at which it is sent."""

    count: int

    def setup(self) -> None:
        self.number = 0
        self.frame, self.words = blank(HD)

    def step(self) -> fm.DataChunk:
        self.number += 1
        if self.number > self.count:
            raise fm.EndOfStream
        chunk = fm.DataChunk()
        chunk.add("frame", self.frame, "image")
        self.words[0] = time.monotonic_ns()
        return chunk


class Viewer(running.Measuring):
    count: int

    def setup(self) -> None:
        self.entries: list[int] = []
        self.reads: list[int] = []

    def step(self, data: Data) -> None:
        entered = time.monotonic_ns()
        frame = data["source"].get("frame")["value"]
        sent = mark(frame)
        verify(frame, sent)
        self.reads.append(time.monotonic_ns() - sent)
        self.entries.append(entered - sent)
        if len(self.entries) == self.count:
            self.measured = floor.percentiles("entry", self.entries) | floor.percentiles("read", self.reads)


class Sensor(fm.Node):
    """Small dicts, each with the time at which it is sent."""

    count: int

    def setup(self) -> None:
        self.number = 0

    def step(self) -> dict[str, int]:
        self.number += 1
        if self.number > self.count:
            raise fm.EndOfStream
        return {"n": self.number, "at": time.monotonic_ns()}


class Listener(running.Measuring):
    count: int

    def setup(self) -> None:
        self.entries: list[int] = []

    def step(self, data: Data) -> None:
        entered = time.monotonic_ns()
        self.entries.append(entered - data["source"].get("default")["value"]["at"])
        if len(self.entries) == self.count:
            self.measured = floor.percentiles("entry", self.entries)


def benchmarks(quick: bool) -> list[Benchmark]:
    shown, said = (35, 500) if quick else (150, 3_000)
    return [
        Benchmark(
            name="latency-frames",
            about="one-way times of 1080p frames at 30 fps",
            figures=(
                Figure("entry p50", "1080p at 30 fps, to step's entry, p50", "µs", Gate(1.5, at_most=True)),
                Figure("read p50", "1080p at 30 fps, after reading, p50", "µs", Gate(1.5, at_most=True)),
            ),
            flowmesh=partial(_run, Camera(name="source", rate=FPS, count=shown), Viewer(name="sink", count=shown)),
            floor=partial(floor.paced_frames, shown, FPS, HD),
        ),
        Benchmark(
            name="latency-small",
            about="one-way times of small dicts at 1,000/s",
            figures=(
                Figure("entry p50", "small dicts at 1,000/s, p50", "µs"),
                Figure("entry p99", "small dicts at 1,000/s, p99", "µs"),
            ),
            flowmesh=partial(
                _run, Sensor(name="source", rate=SMALL_RATE, count=said), Listener(name="sink", count=said)
            ),
            floor=partial(floor.paced_small, said, SMALL_RATE),
        ),
    ]


def _run(source: fm.Node, sink: running.Measuring) -> dict[str, float]:
    return running.run(running.chain(source, sink), [sink]).reports[0]
