"""Frames in shared memory, through the whole of flowmesh: whole to the last byte, whoever holds them, stops or dies."""

from __future__ import annotations

import os
import random
import signal
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowmesh as fm

from ...conftest import SCALE
from .conftest import DEADLINE, Cluster
from .example_nodes import chain

Data = dict[str, fm.DataChunk]
SHAPE = (720, 1280, 3)


class Film(fm.Node):
    """720p frames, no two alike, each with its checksum; every other one in a slot that it asked for."""

    frames: int | None
    allocates: bool

    def __init__(self, name: str, frames: int | None = None, allocates: bool = True, **options: Any) -> None:
        super().__init__(name, frames=frames, allocates=allocates, **options)

    def setup(self) -> None:
        self.number = 0
        self.picture = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)

    def step(self) -> fm.DataChunk:
        if self.number == self.frames:
            raise fm.EndOfStream
        self.number += 1
        self.picture[self.number % SHAPE[0]] += np.uint8(1 + self.number // SHAPE[0])
        frame = self.picture
        if self.allocates and self.number % 2:
            frame = self.allocate(SHAPE)
            np.copyto(frame, self.picture)
        chunk = fm.DataChunk()
        chunk.add("frame", frame, "image")
        chunk.add("sum", zlib.crc32(frame))
        return chunk


class Passes(fm.Node):
    """Sends on what it gets, as it got it; keeps the last few."""

    keep: int

    def __init__(self, name: str, keep: int = 0, **options: Any) -> None:
        super().__init__(name, keep=keep, **options)

    def setup(self) -> None:
        self.kept: list[fm.DataChunk] = []

    def step(self, data: Data) -> fm.DataChunk:
        (chunk,) = data.values()
        self.kept = [*self.kept, chunk][-self.keep :] if self.keep else []
        return chunk


class Verifies(fm.Node):
    """A sink that raises at a frame that is not what was sent, and checks those that it keeps again at the end."""

    path: Path
    keep: int

    def __init__(self, name: str, path: Path, keep: int = 0, **options: Any) -> None:
        super().__init__(name, path=path, keep=keep, **options)

    def setup(self) -> None:
        self.seen: dict[str, int] = {}
        self.kept: list[fm.DataChunk] = []
        self.path.write_text("")

    def step(self, data: Data) -> None:
        for sender, chunk in data.items():
            self.verify(chunk)
            self.seen[sender] = self.seen.get(sender, 0) + 1
            self.kept = [*self.kept, chunk][-self.keep :] if self.keep else []

    def verify(self, chunk: fm.DataChunk) -> None:
        frame = chunk.get("frame")["value"]
        if frame.shape != SHAPE or zlib.crc32(frame) != chunk.get("sum")["value"]:
            self.path.write_text(f"frame {chunk.number} is damaged")
            raise ValueError(f"frame {chunk.number} is damaged")

    def teardown(self) -> None:
        for chunk in self.kept:
            self.verify(chunk)
        with self.path.open("a") as file:
            file.write(" ".join(f"{sender}:{count}" for sender, count in sorted(self.seen.items())))


class Stops(Verifies):
    """A sink that keeps what it got first and then reads no more, until it is told to."""

    def setup(self) -> None:
        super().setup()
        os.mkfifo(self.path.with_suffix(".gate"))

    def step(self, data: Data) -> None:
        super().step(data)
        if sum(self.seen.values()) == 2:
            self.path.with_suffix(".gate").read_bytes()  # until somebody has opened it and closed it


def open_gate(path: Path) -> None:
    path.with_suffix(".gate").write_bytes(b"")


def arenas(manager: fm.Manager) -> int:
    """Bytes of slots that lie in memory, each counted once, though all nodes map it."""
    total = 0.0
    for node in manager.status().nodes.values():
        counts = False
        for line in Path(f"/proc/{node.pid}/smaps").read_text().splitlines():
            if "-" in line.split()[0]:
                counts = "memfd:flowmesh-arena" in line
            elif counts and line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return int(total)


def diamond_and_chain(cluster: Cluster, workers: int, path: Path, frames: int) -> None:
    """A frame reaches the sink straight and by two nodes, one of which passes it on to another and a far sink too."""
    film, sink, far = (
        Film("film", frames),
        Verifies("sink", path / "sink", keep=2),
        Verifies("far", path / "far", keep=3),
    )
    left, right, onward = Passes("left"), Passes("right", keep=2), Passes("onward", keep=1)
    graph = fm.Graph()
    for source, targets in [(film, [left, right, sink]), (left, [sink]), (right, [sink, onward]), (onward, [far])]:
        for target in targets:
            graph.add_edge(source, target)
    manager = cluster.run(graph, workers)
    assert (path / "sink").read_text() == f"film:{frames} left:{frames} right:{frames}"
    assert (path / "far").read_text() == f"onward:{frames}"
    for edge in manager.status().edges.values():
        assert (edge.sent, edge.received, edge.in_flight, edge.dropped) == (frames, frames, 0, {})


def test_frames_by_three_ways_and_three_hops_are_whole(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    diamond_and_chain(cluster, workers, tmp_path, 400)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_5000_frames_by_three_ways_and_three_hops_are_whole(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    diamond_and_chain(cluster, workers, tmp_path, 5000)


def killed_in_the_middle(cluster: Cluster, path: Path, choose: random.Random) -> None:
    """A chain whose middle is killed after some frames: what the sink saw was whole, and the graph fails in order."""
    nodes = [Film("film"), Passes("one"), Passes("middle", keep=2), Passes("three"), Verifies("sink", path, keep=3)]
    manager = cluster.commit(chain(*nodes))
    pids = {node.pid for node in manager.status().nodes.values()}
    manager.start()
    cluster.until_steps("sink", choose.randrange(1, 40))
    os.kill(manager.status().nodes["middle"].pid, signal.SIGKILL)
    with pytest.raises(fm.NodeDied, match="middle"):
        manager.wait(DEADLINE)
    manager.reset()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    seen = path.read_text()
    assert seen.startswith("three:"), seen
    assert int(seen.removeprefix("three:")) >= 1


def test_the_middle_of_three_hops_is_killed_again_and_again(cluster: Cluster, tmp_path: Path) -> None:
    choose = random.Random(8)
    for number in range(20):
        killed_in_the_middle(cluster, tmp_path / str(number), choose)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_middle_of_three_hops_is_killed_a_hundred_times(cluster: Cluster, tmp_path: Path) -> None:
    choose = random.Random()
    for number in range(100):
        killed_in_the_middle(cluster, tmp_path / str(number), choose)


def test_a_viewer_that_stops_reading_costs_the_recorder_nothing(cluster: Cluster, tmp_path: Path) -> None:
    film, viewer = Film("film", 300, rate=100), Stops("viewer", tmp_path / "viewer", keep=4)  # it has time to stop
    recorder = Verifies("recorder", tmp_path / "recorder", keep=4)
    graph = fm.Graph()
    graph.add_edge(film, viewer, policy="latest")
    graph.add_edge(film, recorder)
    manager = cluster.commit(graph)
    manager.start()
    cluster.until_steps("recorder", 300)
    open_gate(tmp_path / "viewer")
    assert manager.wait(DEADLINE)
    edges = {edge.target: edge for edge in manager.status().edges.values()}
    assert edges["recorder"].received == 300
    seen = edges["viewer"]
    assert seen.received == 3  # the two before it stopped, and the newest
    assert (seen.in_flight, seen.dropped) == (0, {"superseded": 297})


def test_a_sink_that_stops_reading_holds_the_other_back_and_lets_it_go_on(cluster: Cluster, tmp_path: Path) -> None:
    film = Film("film", 200)
    graph = fm.Graph()
    graph.add_edge(film, Stops("stops", tmp_path / "stops", keep=4))
    graph.add_edge(film, Verifies("goes on", tmp_path / "other", keep=4))
    manager = cluster.commit(graph)
    manager.start()
    cluster.until_steps("goes on", 6)  # a window of four beyond the two
    assert arenas(manager) < 25 * np.prod(SHAPE)
    open_gate(tmp_path / "stops")
    assert manager.wait(DEADLINE)
    assert ((tmp_path / "stops").read_text(), (tmp_path / "other").read_text()) == ("film:200", "film:200")


@pytest.mark.parametrize("hold", [0, 4])
def test_a_node_that_gathers_a_hundred_frames_copies_them_and_memory_stays_bounded(
    hold: int, cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gathers = Verifies("gathers", tmp_path / "gathers", keep=40, hold=hold)
    manager = cluster.commit(chain(Film("film"), Passes("passes"), gathers))
    manager.start()
    cluster.until_steps("gathers", 100)
    assert arenas(manager) <= 16 * np.prod(SHAPE)
    manager.stop()
    (edge,) = [edge for edge in manager.status().edges.values() if edge.target == "gathers"]
    assert edge.received - 40 <= edge.copied <= edge.received
    assert edge.received - edge.copied >= hold
    manager.reset()
    assert (tmp_path / "gathers").read_text() == f"passes:{edge.received}"
    warnings = [record.message for record in caplog.records if "copied" in record.message]
    assert len(warnings) == 1
    assert f"keeps more than {hold} chunks of 'passes'" in warnings[0]


class Raises(fm.Node):
    """Fails at each frame, which its exception and traceback hold."""

    on_error = "skip"
    hold = 1

    def step(self, data: Data) -> None:
        try:
            raise KeyError(data["film"].get("frame")["value"])
        except KeyError as error:
            raise ValueError("no frame is good enough") from error


def test_frames_that_exceptions_held_are_free_again(cluster: Cluster) -> None:
    status = cluster.run(chain(Film("film", 50), Raises(name="raises"))).status()
    (edge,) = status.edges.values()
    assert status.nodes["raises"].errors == 50
    assert (edge.received, edge.copied) == (50, 0)


class Lends(fm.Node):
    """Gives its frames to a thread, which lets them go there."""

    def setup(self) -> None:
        import queue
        import threading

        self.frames: queue.Queue[Any] = queue.Queue(2)
        self.sums: list[int] = []
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self) -> None:
        while (record := self.frames.get()) is not None:
            frame, total = record
            self.sums.append(zlib.crc32(frame) - total)
            del frame, record

    def step(self, data: Data) -> None:
        chunk = data["film"]
        self.frames.put((chunk.get("frame")["value"], chunk.get("sum")["value"]))

    def teardown(self) -> None:
        self.frames.put(None)
        self.thread.join(10 * SCALE)
        if self.sums != [0] * 300:
            raise ValueError(f"{len(self.sums)} frames, damaged: {sum(map(bool, self.sums))}")


def test_frames_that_a_thread_lets_go(cluster: Cluster) -> None:
    (edge,) = cluster.run(chain(Film("film", 300), Lends(name="lends"))).status().edges.values()
    assert (edge.received, edge.in_flight) == (300, 0)
