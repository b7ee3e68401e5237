"""One graph after the other, and one graph again: what a Manager and its workers take with them, and what not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flowmesh as fm

from .conftest import DEADLINE, Cluster
from .example_nodes import Collect, Count, Relay, chain, collected, default


def test_ten_graphs_one_after_the_other(cluster: Cluster, tmp_path: Path) -> None:
    for turn in range(10):
        nodes = [Count("count", until=50 + turn), *(Relay(name=f"relay {n}") for n in range(turn % 3))]
        graph = chain(*nodes, Collect(name=f"sink {turn}", path=tmp_path / str(turn)))
        status = cluster.run(graph, workers=1 + turn % 2).status()
        assert list(status.nodes) == list(graph)
        assert [default(chunk) for chunk in collected(tmp_path / str(turn))] == list(range(1, 51 + turn))


class Fails(fm.Node):
    def step(self, data: dict[str, fm.DataChunk]) -> None:
        raise ValueError("as planned")


def test_a_commit_replaces_a_graph_that_is_ready_finished_or_failed(cluster: Cluster) -> None:
    manager = cluster.commit(chain(Count("ready")))
    cluster.run(chain(Count("finished", until=3), Collect(name="sink")))
    assert list(manager.status().nodes) == ["finished", "sink"]
    cluster.commit(chain(Count("failed"), Fails(name="fails")), workers=2)
    assert manager.state == "ready"
    manager.start()
    with pytest.raises(fm.NodeError, match="as planned"):
        manager.wait(DEADLINE)
    assert manager.state == "failed"
    cluster.run(chain(Count("after", until=3), Collect(name="sink")), workers=2)
    assert manager.state == "finished"


def test_a_running_graph_is_not_replaced(cluster: Cluster) -> None:
    manager = cluster.commit(chain(Count("count", rate=100)))
    manager.start()
    with pytest.raises(fm.StateError, match=r"running.*stop\(\) or reset\(\)"):
        cluster.commit(chain(Count("other")))
    assert list(manager.status().nodes) == ["count"]
    manager.stop()
    cluster.commit(chain(Count("other")))
    assert list(manager.status().nodes) == ["other"]


def test_what_is_refused_leaves_the_old_graph_alone(cluster: Cluster) -> None:
    manager = cluster.commit(chain(Count("count", until=5)))
    with pytest.raises(fm.GraphError, match="mapped to no worker"):
        manager.commit_graph(graph=chain(Count("other")), mapping={"one": []})
    with pytest.raises(fm.GraphError, match="several workers"):
        manager.commit_graph(graph=chain(Count("other")))
    manager.start()
    assert manager.wait(DEADLINE)


def test_a_start_after_the_end_is_a_new_run(cluster: Cluster, workers: int, tmp_path: Path) -> None:
    graph = chain(Count("count", until=20), Relay(name="relay"), Collect(name="sink", path=tmp_path / "got"))
    manager = cluster.run(graph, workers)
    for run in (2, 3):
        (tmp_path / "got").unlink()
        manager.start()
        assert manager.wait(DEADLINE)
        chunks = collected(tmp_path / "got")
        assert [(chunk.stamp.run, chunk.number, default(chunk)) for chunk in chunks] == [
            (run, n, n) for n in range(1, 21)
        ]
        assert manager.status().nodes["sink"].steps == 20


def test_one_graph_object_can_be_committed_again(cluster: Cluster, tmp_path: Path) -> None:
    graph = chain(Count("count", until=5), Collect(name="sink", path=tmp_path / "got"))
    for workers in (1, 2, 1):
        cluster.run(graph, workers)
        assert [chunk.number for chunk in collected(tmp_path / "got")] == [1, 2, 3, 4, 5]
        (tmp_path / "got").unlink()


def test_a_node_without_edges_and_a_source_that_nobody_hears(cluster: Cluster) -> None:
    graph = fm.Graph()
    graph.add_nodes_from([Count("alone", until=1000), Count("other", until=10)])
    status = cluster.run(graph, workers=2).status()
    assert (status.nodes["alone"].steps, status.nodes["other"].steps) == (1000, 10)


@pytest.mark.parametrize("options", [{}, {"workers": 3}, {"inline": True}], ids=["one", "three", "inline"])
def test_run_gives_the_same_everywhere(options: dict[str, Any], tmp_path: Path) -> None:
    relay = Relay(name="relay")
    graph = chain(Count("count", until=300), relay, Collect(name="sink", path=tmp_path / "got"))
    graph.add_edge(relay, Collect(name="other", path=tmp_path / "other"))
    status = fm.run(graph, progress=False, **options)
    for path in (tmp_path / "got", tmp_path / "other"):
        chunks = collected(path)
        assert [(c.number, default(c), c.origin["count"].number, c.stamp.trigger) for c in chunks] == [
            (n, n, n, n) for n in range(1, 301)
        ]
    if status is not None:
        assert status.state == "finished"
        assert set(status.workers) == {f"local-{n + 1}" for n in range(options.get("workers", 1))}


def test_run_takes_a_mapping(tmp_path: Path) -> None:
    graph = chain(Count("count", until=3), Collect(name="sink", path=tmp_path / "got"))
    status = fm.run(graph, mapping={"local-2": ["count"], "local-1": ["sink"]}, workers=2, progress=False)
    assert status is not None
    assert (status.nodes["count"].worker, status.nodes["sink"].worker) == ("local-2", "local-1")
    assert len(collected(tmp_path / "got")) == 3


def test_a_source_of_one_step_in_decades_waits(cluster: Cluster) -> None:
    manager = cluster.commit(chain(Count("count", rate=1e-9)))
    manager.start()
    cluster.until_steps("count", 1)
    assert not manager.wait(1.0)
    assert manager.request_registered_method("count", "reached") == 1
    manager.stop()
