"""An edge that stays full is no secret: the slow node is named. One that is merely busy is not complained of."""

from __future__ import annotations

import threading

import pytest

import flowmesh as fm

from .conftest import Cluster


class Pace(fm.Node):
    def step(self) -> int:
        return 1


class Pass(fm.Node):
    def step(self, data: dict[str, fm.DataChunk]) -> fm.DataChunk:
        return next(iter(data.values()))


class Late(fm.Node):
    """Takes `seconds` a step."""

    seconds = 0.0

    def setup(self) -> None:
        self.never = threading.Event()

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        if self.seconds:
            self.never.wait(self.seconds)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "has been full for 2 s" in record.message]


def test_the_slow_node_at_the_end_of_a_chain_is_named_once(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    graph = fm.Graph()
    source, middle, slow = Pace(name="camera", rate=200), Pass(name="middle"), Late(name="slow", seconds=0.1)
    graph.add_edge(source, middle, depth=2)
    graph.add_edge(middle, slow, depth=2)
    manager = cluster.commit(graph)
    manager.start()
    cluster.until(lambda: bool(complaints(caplog)))
    assert not manager.wait(1.5)  # it is not said again
    (said,) = complaints(caplog)
    assert said.startswith("the edge middle -> slow has been full for 2 s: 'middle' waits for 'slow', whose step takes")
    assert "policy='latest'" in said


def test_a_source_without_a_pace_may_be_held_back(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    graph = fm.Graph()
    graph.add_edge(Pace(name="film"), Late(name="viewer", seconds=0.01), depth=4)
    manager = cluster.commit(graph)
    manager.start()
    assert not manager.wait(3.5)
    assert not complaints(caplog)
