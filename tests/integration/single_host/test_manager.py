"""The Manager's verbs, on real workers: what each does, gives back and refuses."""

from __future__ import annotations

import platform
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import flowmesh as fm

from .conftest import DEADLINE, Cluster
from .example_nodes import Collect, Count, Relay, chain, default

Data = dict[str, fm.DataChunk]


def counting(**options: Any) -> fm.Graph:
    """An endless graph of three."""
    return chain(Count("count", **options), Relay(name="relay"), Collect(name="sink"))


def test_stop_and_start_go_on_with_the_same_objects(cluster: Cluster, workers: int) -> None:
    manager = cluster.commit(counting(rate=500), workers)
    identity = manager.request_registered_method("sink", "identity")
    for steps in (20, 40, 60):
        manager.start()
        assert manager.state == "running"
        cluster.until_steps("sink", steps)
        manager.stop()
        status = manager.status()
        assert status.state == "ready"
        assert [(edge.sent, edge.received, edge.in_flight) for edge in status.edges.values()] == [
            (status.nodes["count"].steps, status.nodes["count"].steps, 0)
        ] * 2
        seen = manager.request_registered_method("count", "reached")
        assert manager.request_registered_method("sink", "values") == list(range(1, seen + 1))
        assert manager.request_registered_method("sink", "numbers") == list(range(1, seen + 1))
    assert manager.request_registered_method("sink", "identity") == identity


def test_a_stop_works_off_what_is_in_flight(cluster: Cluster, workers: int) -> None:
    manager = cluster.commit(counting(), workers)
    manager.start()
    cluster.until_steps("sink", 100)
    manager.stop()
    reached = manager.request_registered_method("count", "reached")
    assert manager.request_registered_method("sink", "values") == list(range(1, reached + 1))


def test_step_is_one_step_of_each_source(cluster: Cluster, workers: int) -> None:
    graph = fm.Graph()
    sink = Collect(name="sink")
    graph.add_edge(Count("a"), sink)
    graph.add_edge(Count("b"), sink)
    manager = cluster.commit(graph, workers)
    for number in (1, 2, 3):
        manager.step()
        assert sorted(manager.request_registered_method("sink", "values")) == sorted(2 * list(range(1, number + 1)))
    manager.start()
    cluster.until_steps("sink", 20)
    manager.stop()
    manager.start()
    with pytest.raises(fm.StateError, match="step"):
        manager.step()


def test_a_wait_that_timed_out_leaves_nothing_behind(cluster: Cluster, workers: int) -> None:
    manager = cluster.commit(counting(rate=100), workers)
    manager.start()
    for _ in range(100):
        assert not manager.wait(0.0)
    manager.status()  # after what the waits have left to do
    assert "wait" not in manager._machine.run._waiters


@pytest.mark.parametrize("wrong", [["one"], 5, None, b"one"])
def test_a_wrong_argument_of_revoke_is_an_error_and_ends_nothing(cluster: Cluster, wrong: Any) -> None:
    with pytest.raises(fm.WorkerError, match="which must be a worker's name, a token or its id, got"):
        cluster.manager.revoke(wrong)
    assert set(cluster.manager.workers) == {"one", "two"}


def test_a_bug_behind_a_call_is_the_callers_and_ends_nothing_else(cluster: Cluster) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        cluster.manager._thread.ask(broken, 5.0)
    assert set(cluster.manager.status().workers) == {"one", "two"}


def test_gather_gives_each_node_s_newest_value(cluster: Cluster, workers: int) -> None:
    manager = cluster.commit(counting(), workers)
    assert manager.gather() == {"count": None, "relay": None, "sink": None}
    manager.step()
    manager.step()
    newest = manager.gather()
    assert (default(newest["count"]), default(newest["relay"]), newest["sink"]) == (2, 2, None)


class Answers(fm.Node):
    """Has registered methods of all kinds."""

    def setup(self) -> None:
        self.state: dict[str, Any] = {}

    def step(self) -> None:
        raise fm.EndOfStream

    @fm.register
    def set(self, key: str, value: Any = None, *, twice: bool = False) -> dict[str, Any]:
        self.state[key] = (value, value) if twice else value
        return self.state

    @fm.register
    async def later(self, value: int) -> int:
        return value + 1

    @fm.register
    def breaks(self) -> None:
        self.state["one"] / 0

    @fm.register
    def odd(self) -> Any:
        return (lambda: 42, {1, 2}, b"x" * 1_000_000)

    def hidden(self) -> None:
        """Not registered."""


def test_registered_methods(cluster: Cluster) -> None:
    node = Answers(name="answers")
    manager = cluster.commit(chain(node))
    call = manager.request_registered_method
    assert call("answers", "set", key="one", value=(1, {2})) == {"one": (1, {2})}
    assert call(node, "set", key="two", value=0, twice=True) == {"one": (1, {2}), "two": (0, 0)}
    assert call("answers", "later", value=41) == 42
    function, numbers, data = call("answers", "odd")
    assert (function(), numbers, len(data)) == (42, {1, 2}, 1_000_000)


def test_registered_methods_refuse(cluster: Cluster) -> None:
    manager = cluster.commit(chain(Answers(name="answers")))
    call = manager.request_registered_method
    call("answers", "set", key="one", value=1)
    with pytest.raises(fm.NodeError, match="ZeroDivisionError") as raised:
        call("answers", "breaks")
    assert 'self.state["one"] / 0' in str(raised.value)
    assert "flowmesh/runtime" not in str(raised.value)
    for name in ("hidden", "nothing", "step", "__init__"):
        with pytest.raises(fm.NodeError, match=f"{name!r} is not a registered method"):
            call("answers", name)
    with pytest.raises(fm.NodeError, match=r"TypeError.*unexpected"):
        call("answers", "later", wrong=1)
    with pytest.raises(fm.GraphError, match=r"no node 'nobody'.*'answers'"):
        call("nobody", "set")
    with pytest.raises(fm.ShippingError, match=r"answers\.set"):
        call("answers", "set", key="one", value=threading.Lock())
    assert call("answers", "later", value=1) == 2, "none of these harms the node"


class Busy(fm.Node):
    """Busy in its step until the file `release` is there; then its steps are short."""

    release: Path

    def step(self) -> None:
        time.sleep(0.01)
        while not self.release.exists():
            time.sleep(0.01)

    @fm.register
    def ask(self) -> str:
        return "answered"


def test_a_busy_node_answers_between_steps_or_is_said_to_be_busy(cluster: Cluster, tmp_path: Path) -> None:
    release = tmp_path / "release"
    manager = cluster.commit(chain(Busy(name="busy", release=release)))
    manager.start()
    cluster.until(lambda: manager.status().nodes["busy"].busy > 0)
    with pytest.raises(fm.NodeError, match=r"'busy'.*busy in step"):
        manager.request_registered_method("busy", "ask", timeout=0.1)
    release.touch()
    assert manager.request_registered_method("busy", "ask", timeout=DEADLINE) == "answered"


def test_status(cluster: Cluster) -> None:
    cluster.commit(counting(rate=200), workers=2).start()
    manager = cluster.manager
    cluster.until_steps("sink", 30)
    cluster.until(lambda: all(map(is_on_time, manager.status().nodes.values())))
    status = manager.status()
    assert status.state == "running"
    assert {name: worker.nodes for name, worker in status.workers.items()} == {
        "one": ("count", "sink"),
        "two": ("relay",),
    }
    assert [status.workers[worker.name].pid for worker in cluster.workers] == [w.pid for w in cluster.workers]
    for name, node in status.nodes.items():
        assert (node.name, node.state, node.errors) == (name, "running", 0)
        assert Path(f"/proc/{node.pid}").exists()
        assert 0 < node.p50 <= node.p95
        assert 0 <= node.cpu < 5
        assert 1e6 < node.memory < 1e9
    edge = status.edges["count", "relay"]
    assert (edge.source, edge.target, edge.transport, edge.codec, edge.policy) == (
        "count",
        "relay",
        "ring" if platform.machine() == "x86_64" else "socket",
        None,
        "lossless",
    )
    assert edge.sent == edge.received + edge.in_flight
    assert edge.bytes >= 20 * edge.sent
    with pytest.raises(AttributeError):
        status.state = "mine"  # type: ignore[misc]


def is_on_time(node: fm.status.NodeStatus) -> bool:
    """Of 200 quick steps a second; while a busy machine delays some of them it is not."""
    return 100 < node.rate < 300 and node.p95 < 0.1


def test_wait_is_false_at_its_timeout_and_true_at_the_end(cluster: Cluster) -> None:
    manager = cluster.commit(counting(rate=100))
    assert manager.wait(0.01) is False, "not started"
    manager.start()
    assert manager.wait(timeout=0.01) is False
    manager.stop()
    manager = cluster.run(counting(until=30, rate=100))
    assert manager.wait(DEADLINE) is True
    assert manager.wait() is True, "again"
    assert manager.state == "finished"


def test_reset_forgets_the_graph_in_any_state(cluster: Cluster) -> None:
    manager = cluster.manager
    manager.reset()
    for verbs in ((), (manager.start,), (manager.start, manager.stop)):
        cluster.commit(counting(rate=100))
        for verb in verbs:
            verb()
        manager.reset()
        status = manager.status()
        assert (manager.state, status.nodes, status.edges) == ("empty", {}, {})
    with pytest.raises(fm.StateError, match="commit_graph"):
        manager.wait(1)
    with pytest.raises(fm.StateError):
        manager.start()


def test_a_worker_that_is_shut_down_is_registered_no_more(cluster: Cluster) -> None:
    with fm.Worker(name="three") as worker:
        worker.connect(host=cluster.manager.host, port=cluster.manager.port)
        assert cluster.manager.workers == ("one", "two", "three")
        cluster.manager.commit_graph(graph=chain(Count("count", until=5)), mapping={"three": ["count"]})
        cluster.manager.start()
        assert cluster.manager.wait(DEADLINE)
    assert not Path(f"/proc/{worker.pid}").exists()
    deadline = time.monotonic() + DEADLINE
    while "three" in cluster.manager.workers:
        assert time.monotonic() < deadline
    worker.shutdown()


def test_two_managers_in_one_script() -> None:
    with fm.Manager() as first, fm.Manager() as second, fm.Worker(name="local") as a, fm.Worker(name="local") as b:
        assert first.port != second.port
        a.connect(host=first.host, port=first.port)
        b.connect(host=second.host, port=second.port)
        for manager in (first, second):
            manager.commit_graph(graph=counting(until=100), mapping=None)
        for manager in (first, second):
            manager.start()
        assert first.wait(DEADLINE)
        assert second.wait(DEADLINE)
        assert first.status().nodes["sink"].steps == second.status().nodes["sink"].steps == 100


def test_verbs_after_shutdown_are_refused() -> None:
    with fm.Manager() as manager:
        assert manager.workers == ()
    manager.shutdown()
    for verb in (manager.start, manager.stop, manager.wait, manager.status, manager.reset):
        with pytest.raises(fm.StateError, match="shut down"):
            verb()
