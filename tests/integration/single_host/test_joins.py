"""Several inputs, and edges that may lose: what meets in a step, what is dropped, and that every drop is counted."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import pytest

import flowmesh as fm

from ...conftest import SCALE
from .conftest import Cluster
from .example_nodes import Collect, Count, Payload, Relay, chain, collected, default

Data = dict[str, fm.DataChunk]
FAST, SLOW = 800, 80  # chunks
SURE = 0.02  # seconds by which two workers may be wrong about the Manager's clock, on a busy machine


class Meets(fm.Node):
    """Sends on the numbers of what met in its step, in the order of the inputs."""

    def step(self, data: Data) -> dict[str, int]:
        return {name: chunk.number for name, chunk in data.items()}


def meeting(follow: str, path: Path) -> fm.Graph:
    """Two sources, `fast` and `slow`, which meet; one is followed. It lasts two seconds: a busy machine may take one."""
    fast, slow = Count("fast", until=FAST, rate=400), Count("slow", until=SLOW, rate=40)
    meets = Meets(name="meets")
    graph = fm.Graph()
    graph.add_edge(fast, meets)
    graph.add_edge(slow, meets, follow=follow == "slow")
    graph.add_edge(meets, Collect(name="sink", path=path))
    return graph


def test_the_first_edge_is_followed(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    status = cluster.run(meeting("fast", tmp_path / "got"), workers).status()
    met = [default(chunk) for chunk in collected(tmp_path / "got")]
    followed = [numbers["fast"] for numbers in met]
    assert followed == list(range(FAST + 1 - len(met), FAST + 1))
    assert len(met) + status.edges["fast", "meets"].dropped.get("before_first", 0) == FAST
    sampled = [numbers["slow"] for numbers in met]
    assert sampled == sorted(sampled)
    assert len(set(sampled)) > 10


def test_another_edge_can_be_followed(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    status = cluster.run(meeting("slow", tmp_path / "got"), workers).status()
    met = [default(chunk) for chunk in collected(tmp_path / "got")]
    assert [numbers["slow"] for numbers in met] == list(range(SLOW + 1 - len(met), SLOW + 1))
    assert len(met) + status.edges["slow", "meets"].dropped.get("before_first", 0) == SLOW
    newest = [numbers["fast"] for numbers in met]
    assert newest == sorted(newest)
    assert newest[-1] > 100


def test_a_sink_takes_any(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    sources = [Count(name, until=count) for name, count in {"a": 300, "b": 200, "c": 0}.items()]
    sink = Collect(name="sink", path=tmp_path / "got")
    graph = fm.Graph()
    for source in sources:
        graph.add_edge(source, sink)
    cluster.run(graph, workers)
    got = pickle.loads((tmp_path / "got").read_bytes())
    assert [default(chunk) for sender, chunk in got if sender == "a"] == list(range(1, 301))
    assert [default(chunk) for sender, chunk in got if sender == "b"] == list(range(1, 201))
    assert len(got) == 500


def test_a_step_can_take_any_too(cluster: Cluster, tmp_path: Path) -> None:
    relay = Relay(name="relay", join="any")
    graph = fm.Graph()
    graph.add_edge(Count("a", until=50), relay)
    graph.add_edge(Count("b", until=70), relay)
    graph.add_edge(relay, Collect(name="sink", path=tmp_path / "got"))
    cluster.run(graph)
    assert len(collected(tmp_path / "got")) == 120


class Slow(fm.Node):
    """A sink that is slower than its source; it keeps each chunk's number and age in seconds."""

    path: Path

    def setup(self) -> None:
        self.got: list[tuple[int, float]] = []

    def step(self, data: Data) -> None:
        (chunk,) = data.values()
        self.got.append((chunk.number, time.time() - chunk.times.created))
        time.sleep(0.01)

    def teardown(self) -> None:
        self.path.write_bytes(pickle.dumps(self.got))


class Late(Relay):
    """A Relay that takes most of the time that fifty chunks a second leave it."""

    def step(self, data: Data) -> fm.DataChunk:
        time.sleep(0.015)
        return super().step(data)


@pytest.mark.parametrize("kind", [Count, Payload], ids=["small", "large"])
@pytest.mark.parametrize(("policy", "depth"), [("latest", 1), ("drop_oldest", 1), ("drop_oldest", 8)])
def test_a_lossy_edge_keeps_a_slow_consumer_fresh(
    policy: str, depth: int, kind: type[Count], cluster: Cluster, workers: int, tmp_path: Path
) -> None:
    source = kind("source", until=300, rate=1000)
    status = cluster.run(
        chain(source, Slow(name="slow", path=tmp_path / "got"), policy=policy, depth=depth), workers
    ).status()
    got = pickle.loads((tmp_path / "got").read_bytes())
    numbers = [number for number, _ in got]
    edge = status.edges["source", "slow"]
    assert (edge.sent, edge.received, edge.in_flight) == (300, len(numbers), 0)
    assert edge.sent == edge.received + sum(edge.dropped.values())
    assert set(edge.dropped) == {"superseded" if policy == "latest" else "oldest"}
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 300, "the newest must survive"  # of those before it, some may have been read out of turn
    ages = sorted(age for _, age in got)
    assert ages[len(ages) // 2] < 0.01 * (depth + 2) * SCALE


@pytest.mark.parametrize(("kind", "most"), [(Count, 256), (Payload, 5)], ids=["small", "large"])
@pytest.mark.parametrize("join", ["zip", fm.Align(0.01)], ids=["zip", "align"])
def test_what_waits_for_a_partner_on_a_lossy_edge_is_bounded(
    join: str | fm.Align, kind: type[Count], most: int, cluster: Cluster
) -> None:
    graph = chain(kind("often", rate=2000), Meets(name="meets", join=join), policy="drop_oldest", depth=5)
    graph.add_edge(Count("seldom", rate=2), "meets")
    manager = cluster.commit(graph)
    manager.start()
    cluster.until(lambda: manager.status().edges["often", "meets"].sent > 1000)
    manager.stop()
    edge = manager.status().edges["often", "meets"]
    assert edge.in_flight <= most
    assert edge.sent == edge.received + sum(edge.dropped.values()) + edge.in_flight
    assert join != "zip" or edge.dropped["oldest"] > 500


@pytest.mark.parametrize(("kind", "depth", "rate"), [(Count, 300, 2000), (Payload, 8, 100)], ids=["small", "large"])
def test_a_full_lossy_edge_is_decided_with_what_is_there(
    kind: type[Count], depth: int, rate: float, cluster: Cluster
) -> None:
    """What the sensor would have to bring comes only after all that the edge holds."""
    graph = chain(kind("camera", rate=rate), Meets(name="meets", join=fm.Align(1.0)), policy="drop_oldest", depth=depth)
    graph.add_edge(Count("sensor", rate=2), "meets")
    cluster.commit(graph).start()
    cluster.until_steps("meets", 20)


class Growing(Count):
    """Counts in small chunks, and from 300 on in such as are too large for a packet."""

    def step(self) -> Any:
        number = super().step()
        return number if number < 300 else [number, b"x" * 100_000]


class Silent(Count):
    """Counts for itself."""

    def step(self) -> Any:
        super().step()


def test_small_chunks_that_wait_for_a_partner_make_way_for_large_ones(cluster: Cluster) -> None:
    graph = chain(Growing("often", rate=500), Meets(name="meets", join="zip"), policy="drop_oldest", depth=4)
    graph.add_edge(Silent("never", rate=2), "meets")
    manager = cluster.commit(graph)
    manager.start()
    cluster.until(lambda: manager.status().edges["often", "meets"].sent > 500)
    manager.stop()
    edge = manager.status().edges["often", "meets"]
    assert edge.in_flight <= 4
    assert edge.sent == edge.received + sum(edge.dropped.values()) + edge.in_flight


@pytest.mark.parametrize("kind", [Count, Payload], ids=["small", "large"])
def test_what_is_late_by_a_few_finds_its_partner_on_a_lossy_edge(
    kind: type[Count], cluster: Cluster, tmp_path: Path
) -> None:
    """The window is one chunk long, but the node keeps some more: one branch is always later than the next chunk."""
    source = kind("source", until=100, rate=50)
    graph = chain(
        source, Late(name="late"), Late(name="later"), met := Collect(name="met", join="zip", path=tmp_path / "got")
    )
    graph.add_edge(source, met, policy="latest")
    status = cluster.run(graph).status()
    assert status.edges["source", "met"].sent == 100
    assert status.edges["source", "met"].received == len(collected(tmp_path / "got")) / 2 > 50


def test_a_live_source_is_not_held_up(cluster: Cluster, tmp_path: Path) -> None:
    """Its lossless neighbour gets all all the same. Held up by the slow one, it would take ten seconds."""
    source = Count("source", until=1000, rate=1000, live=True)
    graph = fm.Graph()
    graph.add_edge(source, Slow(name="slow", path=tmp_path / "slow"))
    graph.add_edge(source, Collect(name="all", path=tmp_path / "all"), policy="lossless")
    status = cluster.run(graph).status()
    chunks = collected(tmp_path / "all")
    assert [default(chunk) for chunk in chunks] == list(range(1, 1001))
    assert status.edges["source", "slow"].policy == "drop_oldest"
    assert status.edges["source", "slow"].dropped["oldest"] > 100
    assert chunks[-1].times.created - chunks[0].times.created < 5.0


def test_a_lossless_edge_holds_its_source_back(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    graph = chain(Count("source"), Slow(name="slow", path=tmp_path / "got"), depth=16)
    manager = cluster.commit(graph, workers)
    manager.start()
    cluster.until_steps("slow", 40)
    # One look after the other: two workers count at different moments, and what comes in between is no lead.
    sent, after = manager.status().edges["source", "slow"].sent, manager.status().edges["source", "slow"]
    assert sent - after.received <= 16 + 2
    assert after.dropped == {}


def test_origins_and_times(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    before = time.time()
    cluster.run(meeting("fast", tmp_path / "got"), workers)
    after = time.time()
    chunks = collected(tmp_path / "got")
    assert [chunk.stamp.run for chunk in chunks] == [1] * len(chunks)
    for chunk in chunks:
        assert list(chunk.origin) == ["fast"]  # through the triggering input only
        assert chunk.origin["fast"].number == default(chunk)["fast"] == chunk.stamp.trigger
        made = chunk.times.created + chunk.times.offset
        assert before - 1 < chunk.origin["fast"].time < made + SURE < after + 1  # by the clocks of two workers
    created = [chunk.times.created for chunk in chunks]
    assert created == sorted(created)
