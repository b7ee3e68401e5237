"""Arguments that can't be: each is refused at once, in words, before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import flowmesh as fm


class Source(fm.Node):
    def step(self) -> None:
        raise fm.EndOfStream


class Named(fm.Node):
    def step(self, *, data: Any) -> None: ...


class Positional(fm.Node):
    def step(self, data: Any, more: Any, /) -> int: ...


def graph() -> fm.Graph:
    made = fm.Graph()
    made.add_node(Source("source"))
    return made


@pytest.mark.parametrize("follow", ["yes", 1, None, 0])
def test_follow_is_true_or_false(follow: Any) -> None:
    with pytest.raises(fm.GraphError, match=f"the edge a -> b: follow is True or False, not {follow!r}"):
        fm.Graph().add_edge(Source("a"), Source("b"), follow=follow)


@pytest.mark.parametrize(
    ("kind", "shown"), [(Named, r"self, \*, data: 'Any'"), (Positional, r"self, data: 'Any', more: 'Any', /")]
)
def test_a_wrong_step_is_shown_as_it_is_written(kind: type[fm.Node], shown: str) -> None:
    made = fm.Graph()
    made.add_edge(Source("source"), kind("it"))
    with pytest.raises(fm.GraphError, match=rf"it has inputs: write step\(self, data\), not step\({shown}\)$"):
        made.check()


@pytest.mark.parametrize("thing", [None, "graph.py", fm.Graph, Source("source")])
@pytest.mark.parametrize("inline", [True, False])
def test_run_takes_a_graph(thing: Any, inline: bool) -> None:
    with pytest.raises(fm.GraphError, match=r"run\(\) takes a flowmesh.Graph, not \w+"):
        fm.run(thing, inline=inline)


@pytest.mark.parametrize("workers", [True, 0, "2", 1.0, None])
def test_workers_is_a_whole_number(workers: Any) -> None:
    with pytest.raises(fm.GraphError, match=f"workers is a whole number from 1, not {workers!r}"):
        fm.run(graph(), workers=workers)


@pytest.mark.parametrize("options", [{"workers": 2}, {"mapping": {"local-1": ["source"]}}, {"mapping": {}}])
def test_inline_there_are_no_workers(options: dict[str, Any]) -> None:
    with pytest.raises(fm.GraphError, match="leave mapping and workers out"):
        fm.run(graph(), inline=True, **options)


@pytest.mark.parametrize("port", ["9000", 70_000, -1, True, 9000.0])
def test_a_manager_s_port_is_a_number(port: Any) -> None:
    with pytest.raises(fm.LinkError, match=f"port is a number from 0 .*not {port!r}"):
        fm.Manager(port=port)


@pytest.mark.parametrize("host", [None, 5, b"127.0.0.1"])
def test_a_manager_s_host_is_a_text(host: Any) -> None:
    with pytest.raises(fm.LinkError, match="host is an address of this machine"):
        fm.Manager(host=host)


@pytest.fixture(scope="module")
def manager(state_home: Any) -> Iterator[fm.Manager]:
    with fm.Manager() as made:
        yield made


VERBS: dict[str, Callable[[fm.Manager, Any], object]] = {
    "commit_graph": lambda manager, timeout: manager.commit_graph(graph(), timeout=timeout),
    "wait": lambda manager, timeout: manager.wait(timeout=timeout),
    "gather": lambda manager, timeout: manager.gather(timeout=timeout),
    "request": lambda manager, timeout: manager.request_registered_method("source", "it", timeout=timeout),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("timeout", ["1", True, float("nan"), float("inf"), 1e300, [1]])
def test_a_timeout_is_a_number_of_seconds(manager: fm.Manager, verb: str, timeout: Any) -> None:
    with pytest.raises(fm.FlowmeshError, match="timeout is a number of seconds, not"):
        VERBS[verb](manager, timeout)


@pytest.mark.parametrize("verb", ["commit_graph", "gather", "request"])
def test_only_wait_may_have_none(manager: fm.Manager, verb: str) -> None:
    with pytest.raises(fm.FlowmeshError, match="timeout is a number of seconds, not None"):
        VERBS[verb](manager, None)


def test_a_registered_method_is_asked_for_by_names(manager: fm.Manager) -> None:
    with pytest.raises(fm.GraphError, match=r"method must be the name of a method marked .*, got 5"):
        manager.request_registered_method("source", 5)  # type: ignore[arg-type]
    with pytest.raises(fm.GraphError, match=r"node must be a Node or a node's name, got 7"):
        manager.request_registered_method(7, "reset")  # type: ignore[arg-type]


def test_after_all_that_the_manager_works_still(manager: fm.Manager) -> None:
    assert manager.state == "empty"
    assert manager.status().workers == {}
