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

    @fm.register
    def enough(self) -> int:
        """Have it end with what it has sent; how many that are."""
        self.count = self.number
        return self.count


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
    its host's is `ahead` by so many seconds.

    Args:
        report: a file; it has the times between which each chunk was made, in seconds of that clock.
    """

    report: str
    count: int
    ahead = 0

    def setup(self) -> None:
        self.noted: list[tuple[float, float]] = []

    def step(self) -> None:
        number = len(self.noted)
        if number == self.count:
            raise fm.EndOfStream
        before = self._now()
        self.emit({"number": number, "at": before})
        self.noted.append((before / 1e9, self._now() / 1e9))

    def _now(self) -> int:
        return time.monotonic_ns() - self.ahead * 10**9

    def teardown(self) -> None:
        Path(self.report).write_text(json.dumps(self.noted))


class Match(fm.Node):
    """Notes of each sender which of its chunks came, from 0 on; what the time that it bore, by the Manager's clock, has
    more than the true one; and how wrong that is at most, both in seconds."""

    report: str

    def __init__(self, name: str, tolerance: float, **options: Any) -> None:
        super().__init__(name, join=fm.Align(tolerance), **options)

    def setup(self) -> None:
        self.noted: dict[str, list[list[float]]] = {}

    def step(self, data: Data) -> None:
        for name, chunk in data.items():
            times, event = chunk.times, chunk.get("default")["value"]
            more = times.created + times.offset - event["at"] / 1e9
            self.noted.setdefault(name, []).append([event["number"], more, times.bound])

    def teardown(self) -> None:
        Path(self.report).write_text(json.dumps(self.noted))
