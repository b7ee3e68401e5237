"""Very many chunks, by several ways: each arrives, once, in order, whole, and every edge says so when all is at rest."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

import flowmesh as fm

from ...conftest import SCALE
from .conftest import Cluster
from .example_nodes import Count, default
from .test_streams import Film, Verifies

Data = dict[str, fm.DataChunk]
WITHIN = 1500 * SCALE
MANY = pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])
FRAMES = pytest.param(5_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])


class Hop(fm.Node):
    def step(self, data: Data) -> int:
        (chunk,) = data.values()
        return int(default(chunk))


class Exact(fm.Node):
    """A sink that raises at what is not the next of each input, and leaves how often it stepped."""

    path: Path

    def setup(self) -> None:
        self.seen = 0

    def step(self, data: Data) -> None:
        self.seen += 1
        for sender, chunk in data.items():
            if not chunk.number == default(chunk) == self.seen:
                raise ValueError(f"step {self.seen} got {default(chunk)} as number {chunk.number} of {sender}")

    def teardown(self) -> None:
        self.path.write_text(str(self.seen))


def run_exactly(cluster: Cluster, graph: fm.Graph, count: int, sinks: list[Path]) -> None:
    status = cluster.run(graph, 2, WITHIN).status()
    assert [path.read_text() for path in sinks] == [str(count)] * len(sinks)
    for edge in status.edges.values():
        assert (edge.sent, edge.received, edge.in_flight, edge.dropped) == (count, count, 0, {}), edge
        assert not edge.derived


@pytest.mark.parametrize("count", [30_000, MANY])
def test_a_diamond(cluster: Cluster, tmp_path: Path, count: int) -> None:
    source, left, right = Count("source", until=count), Hop(name="left"), Hop(name="right")
    sink = Exact(name="sink", join="zip", path=tmp_path / "sink")
    graph = fm.Graph([(source, left), (source, right), (left, sink), (right, sink)])
    run_exactly(cluster, graph, count, [sink.path])


@pytest.mark.parametrize("count", [30_000, MANY])
def test_a_fan_out_of_four(cluster: Cluster, tmp_path: Path, count: int) -> None:
    source = Count("source", until=count)
    sinks = [Exact(name=f"sink {place}", path=tmp_path / str(place)) for place in range(4)]
    run_exactly(cluster, fm.Graph([(source, sink) for sink in sinks]), count, [sink.path for sink in sinks])


@pytest.mark.parametrize("count", [30_000, MANY])
def test_three_hops(cluster: Cluster, tmp_path: Path, count: int) -> None:
    sink = Exact(name="sink", path=tmp_path / "sink")
    nodes = [Count("source", until=count), *(Hop(name=f"hop {place}") for place in range(3)), sink]
    run_exactly(cluster, fm.Graph(list(pairwise(nodes))), count, [sink.path])


@pytest.mark.parametrize("count", [100, FRAMES])
def test_frames_to_four_at_once(cluster: Cluster, tmp_path: Path, count: int) -> None:
    film = Film(name="film", frames=count)
    sinks = [Verifies(name=f"sink {place}", path=tmp_path / str(place)) for place in range(4)]
    status = cluster.run(fm.Graph([(film, sink) for sink in sinks]), 2, WITHIN).status()
    assert [sink.path.read_text() for sink in sinks] == [f"{count} {count}"] * 4
    for edge in status.edges.values():
        assert (edge.sent, edge.received, edge.in_flight, edge.derived) == (count, count, 0, False), edge
