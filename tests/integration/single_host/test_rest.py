"""A graph at rest: how soon it is, and that every chunk is counted where it lies."""

from __future__ import annotations

import os
import signal
import time

import pytest

import flowmesh as fm

from ...conftest import SCALE
from .conftest import DEADLINE, Cluster
from .example_nodes import Collect, Count, Payload, Relay, chain, default

Data = dict[str, fm.DataChunk]
SOON = 4.0 * SCALE  # a stop that can't work everything off takes 5 s


def check_counts(status: fm.status.Status) -> None:
    for edge in status.edges.values():
        assert not edge.derived, edge
        assert edge.sent == edge.received + sum(edge.dropped.values()) + edge.in_flight, edge


class Pairs(fm.Node):
    """A sink that raises at two that are not the same."""

    def step(self, data: Data) -> None:
        if len({default(chunk) for chunk in data.values()}) != 1:
            raise ValueError(f"{[chunk.number for chunk in data.values()]} met")


@pytest.mark.parametrize("depth", [2, 256])
def test_a_stop_waits_for_nobody_who_waits_for_whom_has_paused(cluster: Cluster, workers: int, depth: int) -> None:
    """The fast source and the relay wait in `emit` for room before the zip, which the slow source, paused, can't bring."""
    fast, slow, relay, sink = Count("fast"), Count("slow", rate=20), Relay(name="relay"), Pairs(name="sink", join="zip")
    graph = chain(fast, relay, sink, depth=depth)
    graph.add_edge(slow, sink)
    graph.add_edge(relay, Collect(name="recorder"))
    manager = cluster.commit(graph, workers)
    for turn in range(1, 4):
        manager.start()
        cluster.until_steps("sink", 3 * turn)
        cluster.until(lambda: manager.status().edges["fast", "relay"].in_flight >= depth)
        begun = time.monotonic()
        manager.stop()
        assert time.monotonic() - begun < SOON
        status = manager.status()
        check_counts(status)
        assert status.edges["slow", "sink"].in_flight == 0
        assert status.edges["relay", "sink"].in_flight >= depth // 2
        assert status.edges["relay", "recorder"].in_flight == 0


def test_what_waits_does_not_grow_from_stop_to_stop(cluster: Cluster) -> None:
    fast, slow, sink = Count("fast"), Count("slow", rate=5), Pairs(name="sink", join="zip")
    graph = chain(fast, sink, depth=2)
    graph.add_edge(slow, sink)
    manager = cluster.commit(graph)
    for _ in range(15):
        manager.start()
        manager.stop()
        status = manager.status()
        check_counts(status)
        assert status.edges["fast", "sink"].in_flight <= 3
    manager.start()
    cluster.until_steps("sink", status.nodes["sink"].steps + 5)


class Slow(Relay):
    """A Relay that takes its time."""

    def step(self, data: Data) -> fm.DataChunk:
        time.sleep(0.05)
        return super().step(data)


def test_what_a_stop_could_not_work_off_is_counted_where_it_lies(cluster: Cluster) -> None:
    count, slow, viewer = Count("count"), Slow(name="slow"), Slow(name="viewer")
    graph = chain(count, slow, Collect(name="sink"))
    graph.add_edge(count, viewer, policy="drop_oldest", depth=3)
    manager = cluster.commit(graph)
    for _ in range(2):
        manager.start()
        cluster.until(lambda: manager.status().edges["count", "slow"].in_flight >= 240)
        manager.stop()
        status = manager.status()
        check_counts(status)
        assert 100 < status.edges["count", "slow"].in_flight <= 257
        assert status.edges["count", "viewer"].in_flight <= 3


class Breaks(fm.Node):
    """A sink that raises at chunk 100."""

    def step(self, data: Data) -> None:
        if data["relay"].number == 100:
            raise ValueError("as planned")


def test_a_graph_that_has_failed_is_counted_too(cluster: Cluster, workers: int) -> None:
    manager = cluster.commit(chain(Count("count"), Relay(name="relay"), Breaks(name="sink")), workers)
    assert not any(edge.derived for edge in manager.status().edges.values())
    manager.start()
    with pytest.raises(fm.NodeError, match="as planned"):
        manager.wait(DEADLINE)
    status = manager.status()
    check_counts(status)
    assert status.edges["relay", "sink"].received == 100
    assert set(status.edges["relay", "sink"].dropped) <= {"failed", "after_end"}


def test_what_lay_with_a_dead_process_can_only_be_derived(cluster: Cluster) -> None:
    manager = cluster.commit(chain(Count("count"), Relay(name="relay"), Collect(name="sink")))
    manager.start()
    cluster.until_steps("sink", 100)
    os.kill(manager.status().nodes["relay"].pid, signal.SIGKILL)
    with pytest.raises(fm.NodeDied):
        manager.wait(DEADLINE)
    status = manager.status()
    assert status.conserves
    assert all(edge.derived for edge in status.edges.values())


@pytest.mark.parametrize("kind", [Count, Payload], ids=["small", "large"])
def test_a_paused_viewer_keeps_the_newest_and_no_more(kind: type[Count], cluster: Cluster) -> None:
    source = kind("source", rate=1000, live=True)
    graph = fm.Graph()
    graph.add_edge(source, Slow(name="viewer"), policy="drop_oldest", depth=3)
    graph.add_edge(source, Collect(name="recorder"))
    manager = cluster.commit(graph)
    for _ in range(3):
        manager.start()
        cluster.until_steps("viewer", manager.status().nodes["viewer"].steps + 3)
        manager.stop()
        status = manager.status()
        check_counts(status)
        assert status.edges["source", "viewer"].in_flight <= 3
