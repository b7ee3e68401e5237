"""Many chunks and large ones: every one arrives, once, in order, whatever a step sends and to how many."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import flowmesh as fm

from .conftest import Cluster
from .example_nodes import Collect, Count, Items, Relay, chain, collected, default

Data = dict[str, fm.DataChunk]


class Doubles(fm.Node):
    def step(self, data: Data) -> dict[str, int]:
        return {"twice": 2 * default(data["count"])}


class Checks(fm.Node):
    """A sink that raises at the first chunk that is not the next one, and leaves how many there were."""

    path: Path

    def setup(self) -> None:
        self.seen = 0

    def step(self, data: Data) -> None:
        (chunk,) = data.values()
        self.seen += 1
        if (chunk.number, default(chunk)["twice"]) != (self.seen, 2 * self.seen):
            raise ValueError(f"chunk {chunk.number} came as number {self.seen} with {default(chunk)}")

    def teardown(self) -> None:
        self.path.write_text(str(self.seen))


def test_200_000_small_chunks_through_two_hops(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    graph = chain(Count("count", until=200_000), Doubles(name="doubles"), Checks(name="checks", path=tmp_path / "seen"))
    status = cluster.run(graph, workers).status()
    assert (tmp_path / "seen").read_text() == "200000"
    for edge in status.edges.values():
        assert (edge.sent, edge.received, edge.in_flight, edge.dropped) == (200_000, 200_000, 0, {})


class Film(fm.Node):
    """1080p frames, no two alike, each with its checksum."""

    frames: int

    def setup(self) -> None:
        self.number = 0
        self.picture = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)

    def step(self) -> fm.DataChunk:
        if self.number == self.frames:
            raise fm.EndOfStream
        self.picture[self.number % 1080] += np.uint8(1 + self.number // 1080)
        self.number += 1
        chunk = fm.DataChunk()
        chunk.add("frame", self.picture, "image")
        chunk.add("number", self.number)
        chunk.add("sum", zlib.adler32(self.picture.data))
        return chunk


class Verifies(fm.Node):
    """A sink that raises at a frame that is not the next one, or not what was sent."""

    path: Path

    def setup(self) -> None:
        self.sums: list[int] = []

    def step(self, data: Data) -> None:
        chunk = data["film"]
        frame = chunk.get("frame")["value"]
        total = zlib.adler32(frame)
        if frame.shape != (1080, 1920, 3) or total != chunk.get("sum")["value"]:
            raise ValueError(f"frame {chunk.number} is damaged")
        if chunk.get("number")["value"] != len(self.sums) + 1:
            raise ValueError(f"frame {chunk.number} came after {len(self.sums)}")
        self.sums.append(total)

    def teardown(self) -> None:
        self.path.write_text(f"{len(self.sums)} {len(set(self.sums))}")


def test_1000_frames_with_full_checksums(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    cluster.run(chain(Film(name="film", frames=1000), Verifies(name="sink", path=tmp_path / "seen")), workers)
    assert (tmp_path / "seen").read_text() == "1000 1000"


def test_a_stream_goes_to_four_at_once(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    film = Film(name="film", frames=30)
    graph = fm.Graph()
    for place in range(4):
        graph.add_edge(film, Verifies(name=f"sink {place}", path=tmp_path / f"{place}"))
    cluster.run(graph, workers)
    assert [(tmp_path / f"{place}").read_text() for place in range(4)] == ["30 30"] * 4


class Sieve(fm.Node):
    """Sends nothing for most chunks, and what is falsy too."""

    def step(self, data: Data) -> int | None:
        value = default(data["count"]) - 1
        return value if value % 100 == 0 else None


def test_a_step_that_returns_none_sends_nothing(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    graph = chain(Count("count", until=1000), Sieve(name="sieve"), Collect(name="sink", path=tmp_path / "got"))
    cluster.run(graph, workers)
    chunks = collected(tmp_path / "got")
    assert [default(chunk) for chunk in chunks] == list(range(0, 1000, 100))
    assert [chunk.number for chunk in chunks] == list(range(1, 11))
    assert [chunk.stamp.trigger for chunk in chunks] == list(range(1, 1001, 100))


class Burst(fm.Node):
    def step(self, data: Data) -> tuple[str, int]:
        value = default(data["count"])
        for place in range(value % 5):
            self.emit((value, place))
        return ("last", value)


def test_a_step_that_emits_many(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    graph = chain(Count("count", until=2000), Burst(name="burst"), Collect(name="sink", path=tmp_path / "got"))
    cluster.run(graph, workers)
    chunks = collected(tmp_path / "got")
    expected: list[Any] = []
    for value in range(1, 2001):
        expected += [((value, place), place, False) for place in range(value % 5)]
        expected.append((("last", value), value % 5, True))
    assert [(default(chunk), chunk.stamp.emission, chunk.stamp.last) for chunk in chunks] == expected
    assert [chunk.number for chunk in chunks] == list(range(1, len(expected) + 1))


class Emitter(fm.Node):
    """A source that only emits, and ends with an emission."""

    def setup(self) -> None:
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        for letter in "abc":
            self.emit(f"{letter}{self.steps}")
        if self.steps == 100:
            raise fm.EndOfStream


def test_a_source_that_emits(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    cluster.run(chain(Emitter(name="emitter"), Collect(name="sink", path=tmp_path / "got")), workers)
    values = [default(chunk) for chunk in collected(tmp_path / "got")]
    assert values == [f"{letter}{step}" for step in range(1, 101) for letter in "abc"]


class AsyncSource(fm.Node):
    path: Path

    async def setup(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[int | None] = asyncio.Queue()
        self.feeder = asyncio.create_task(self.feed())

    async def feed(self) -> None:
        for value in range(100):
            await self.queue.put(value)
            await asyncio.sleep(0)
        await self.queue.put(None)

    async def step(self) -> int:
        value = await self.queue.get()
        if value is None:
            raise fm.EndOfStream
        return value

    async def teardown(self) -> None:
        await self.feeder
        self.path.write_text(f"same loop: {self.loop is asyncio.get_running_loop()}")


class AsyncStep(fm.Node):
    async def step(self, data: Data) -> int | None:
        await asyncio.sleep(0)
        value = default(data["source"])
        self.emit(-value)
        return value if value % 2 else None


def test_async_nodes(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    source = AsyncSource(name="source", path=tmp_path / "loop")
    graph = chain(source, AsyncStep(name="step"), Collect(name="sink", path=tmp_path / "got"))
    cluster.run(graph, workers)
    expected = [sent for value in range(100) for sent in ((-value, value) if value % 2 else (-value,))]
    assert [default(chunk) for chunk in collected(tmp_path / "got")] == expected
    assert (tmp_path / "loop").read_text() == "same loop: True"


def test_an_empty_stream_ends(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    graph = chain(Items(name="items", items=[]), Relay(name="relay"), Collect(name="sink", path=tmp_path / "got"))
    cluster.run(graph, workers)
    assert collected(tmp_path / "got") == []


def test_a_window_of_one(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    graph = chain(Count("count", until=500), Relay(name="relay"), Collect(name="sink", path=tmp_path / "got"), depth=1)
    cluster.run(graph, workers)
    assert [default(chunk) for chunk in collected(tmp_path / "got")] == list(range(1, 501))
