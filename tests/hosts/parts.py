"""Nodes of the tests' graphs. The file is copied beside the script that runs on a host, and travels from there as source.

Times are of the monotonic clock, which all hosts of a test share: they are one machine.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import flowmesh as fm
from flowmesh.nodes.pattern import TestPattern

Data = dict[str, fm.DataChunk]


class Film(TestPattern):
    """Frames that say their number, and when they were sent."""

    def step(self, data: Any = None) -> fm.DataChunk:
        chunk = super().step(data)
        chunk.add("at", time.monotonic_ns())
        return chunk


class Numbers(fm.Node):
    """Whole numbers from 0, each with `size` bytes that it determines, which no codec makes smaller."""

    count: int
    size = 0

    def setup(self) -> None:
        self.number = 0

    def step(self) -> fm.DataChunk:
        if self.number == self.count:
            raise fm.EndOfStream
        chunk = fm.DataChunk()
        chunk.add("number", self.number)
        if self.size:
            chunk.add("load", load(self.number, self.size))
        chunk.add("at", time.monotonic_ns())
        self.number += 1
        return chunk


class Pass(fm.Node):
    """Gives on what it gets."""

    def step(self, data: Data) -> fm.DataChunk:
        (chunk,) = data.values()
        return chunk


class Check(fm.Node):
    """Notes what arrives: its number and age; a frame's or load's content has to be that of its number.

    Args:
        report: a file; it has all of that when the node has ended.
        pause: seconds that each step takes.
    """

    report: str
    pause = 0.0

    def setup(self) -> None:
        self.seen: list[int] = []
        self.ages: list[float] = []
        self.wrong: list[int] = []

    def step(self, data: Data) -> None:
        (chunk,) = data.values()
        entered = time.monotonic_ns()
        number = self._number(chunk)
        self.ages.append((entered - chunk.get("at")["value"]) / 1e9)
        self.seen.append(number)
        if self.pause:
            time.sleep(self.pause)

    def _number(self, chunk: fm.DataChunk) -> int:
        if "frame" in chunk:
            number, told = TestPattern.read_number(chunk.get("frame")["value"]), chunk.get("index")["value"]
        else:
            number = told = chunk.get("number")["value"]
            if "load" in chunk and not np.array_equal(
                chunk.get("load")["value"], load(number, chunk.get("load")["value"].size)
            ):
                told = -1
        if number != told:
            self.wrong.append(number)
        return number

    def teardown(self) -> None:
        Path(self.report).write_text(json.dumps({"seen": self.seen, "ages": self.ages, "wrong": self.wrong}))


def load(number: int, size: int) -> np.ndarray:
    """Bytes that no codec makes smaller, cheaply: a window on noise, another one for each number."""
    return NOISE[number % 4096 : number % 4096 + size] if size <= NOISE.size - 4096 else _long(number, size)


def _long(number: int, size: int) -> np.ndarray:
    whole = np.tile(NOISE, -(-size // NOISE.size))[:size]
    whole[:8] = np.frombuffer(number.to_bytes(8, "little"), np.uint8)
    return whole


NOISE = np.random.default_rng(7).integers(0, 256, 1 << 17, np.uint8)


class Digests(fm.Node):
    """Notes a digest of each frame's pixels."""

    report: str

    def setup(self) -> None:
        self.digests: list[str] = []

    def step(self, data: Data) -> None:
        (chunk,) = data.values()
        self.digests.append(hashlib.sha256(np.ascontiguousarray(chunk.get("frame")["value"])).hexdigest())

    def teardown(self) -> None:
        Path(self.report).write_text(json.dumps({"digests": self.digests}))


class Event(fm.Node):
    """What several sensors see at once: each says when that truly was, by a clock that is the same everywhere, from which
    its host's is `ahead` by so many seconds."""

    count: int
    ahead = 0

    def setup(self) -> None:
        self.number = 0

    def step(self) -> dict[str, int]:
        if self.number == self.count:
            raise fm.EndOfStream
        self.number += 1
        return {"number": self.number, "at": time.monotonic_ns() - self.ahead * 10**9}


class Match(fm.Node):
    """Notes of each sender how far its chunks truly were from the first one's; what the time that they bore, by the
    Manager's clock, has more than the true one; and how wrong that is at most. All in seconds."""

    report: str

    def __init__(self, name: str, tolerance: float, **options: Any) -> None:
        super().__init__(name, join=fm.Align(tolerance), **options)

    def setup(self) -> None:
        self.noted: dict[str, list[list[float]]] = {}

    def step(self, data: Data) -> None:
        first, *_ = (self._at(chunk) for chunk in data.values())
        for name, chunk in data.items():
            times = chunk.times
            more = times.created + times.offset - self._at(chunk)
            self.noted.setdefault(name, []).append([self._at(chunk) - first, more, times.bound])

    def _at(self, chunk: fm.DataChunk) -> float:
        return float(chunk.get("default")["value"]["at"] / 1e9)

    def teardown(self) -> None:
        Path(self.report).write_text(json.dumps(self.noted))
