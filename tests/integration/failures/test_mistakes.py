"""Mistakes that are found before anything runs: names, mappings, ports, workers. Each text says what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

import flowmesh as fm

from . import example_nodes as c
from . import process_table
from .deadlines import AT_ONCE, LONG, SCALE, STALL, at_most, until
from .harness import Site, chain

ALL = ["src", "mid", "end"]


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port at which somebody listens who is no Manager."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


MAPPINGS = {
    "mapped nowhere": ({"local": ["src", "mid"]}, ("'end'",)),
    "mapped twice": ({"local": [*ALL, "mid"]}, ("'mid'", "2 times", "local")),
    "unknown worker": ({"lokal": ALL}, ("'lokal'", "registered: local")),
    "unknown node": ({"local": [*ALL, "sink"]}, ("'sink'",)),
    "two mistakes": ({"local": ["src", "ent"]}, ("'ent'", "'mid'", "'end'")),
    "a text for a list": ({"local": "src"}, ("'local'",)),
}


@pytest.mark.parametrize(("mapping", "texts"), MAPPINGS.values(), ids=MAPPINGS.keys())
def test_a_mapping_that_does_not_fit(site: Site, mapping: dict[str, list[str]], texts: tuple[str, ...]) -> None:
    with at_most(AT_ONCE), pytest.raises(fm.GraphError) as raised:
        site.manager.commit_graph(graph=chain(), mapping=mapping)
    assert all(text in str(raised.value) for text in texts), raised.value
    site.is_empty()


def _cycle() -> fm.Graph:
    graph = chain()
    graph.add_edge("end", "mid")
    return graph


def _duplicate() -> fm.Graph:
    graph = chain()
    graph.add_node(c.Pass(name="mid"))
    return graph


def _alone() -> fm.Graph:
    graph = fm.Graph()
    graph.add_edge("src", "mid")
    return graph


GRAPHS: dict[str, tuple[Callable[[], fm.Graph], str]] = {
    "cycle": (_cycle, "cycle"),
    "duplicate name": (_duplicate, "'mid'"),
    "edge between unknown nodes": (_alone, "'src'"),
    "empty": (fm.Graph, r"add_node\(\)"),
}


@pytest.mark.parametrize(("make", "text"), GRAPHS.values(), ids=GRAPHS.keys())
def test_a_graph_that_contradicts_itself(site: Site, make: Callable[[], fm.Graph], text: str) -> None:
    with at_most(AT_ONCE), pytest.raises(fm.GraphError, match=text):
        site.manager.commit_graph(graph=make(), mapping={"local": ALL})
    site.is_empty()


def test_a_mistake_leaves_the_present_graph_as_it_is(site: Site) -> None:
    site.commit(c.Count(name="src", last=5))
    with pytest.raises(fm.GraphError):
        site.manager.commit_graph(graph=_cycle(), mapping={"local": ALL})
    assert site.manager.state == "ready"
    site.manager.start()
    assert site.manager.wait(LONG * SCALE)


def test_what_is_no_graph_is_refused(site: Site) -> None:
    with pytest.raises(fm.GraphError, match=r"takes a flowmesh\.Graph, not dict"):
        site.manager.commit_graph(graph={})  # type: ignore[arg-type]


def test_a_node_that_can_not_be_pickled_is_named_with_its_attribute(site: Site) -> None:
    node = c.Pass(name="mid", camera=socket.socket())
    with at_most(AT_ONCE), pytest.raises(fm.ShippingError, match=r"mid.*camera"):
        site.commit(node)
    node.camera.close()  # type: ignore[attr-defined]
    site.is_empty()


def test_parameters_that_can_not_be_pickled_are_refused(site: Site) -> None:
    site.commit()
    with socket.socket() as camera, pytest.raises(fm.ShippingError, match=r"end\.all\(\)"):
        site.manager.request_registered_method("end", "all", camera=camera)
    with pytest.raises(fm.NodeError, match=r"'step' is not a registered method.*@flowmesh\.register"):
        site.manager.request_registered_method("mid", "step")


def test_a_manager_without_workers(state_home: object) -> None:
    with fm.Manager() as manager:
        for mapping in (None, {"local": ALL}):
            with (
                at_most(AT_ONCE),
                pytest.raises(fm.GraphError, match=r"no worker is registered: make one with Worker\("),
            ):
                manager.commit_graph(graph=chain(), mapping=mapping)


def test_a_port_that_is_taken(site: Site, taken_port: int) -> None:
    for port in (taken_port, site.manager.port):
        with at_most(AT_ONCE), pytest.raises(fm.LinkError, match=rf"127\.0\.0\.1:{port} .*another port.* in use"):
            fm.Manager(port=port)


def test_the_next_free_port_is_taken_unless_one_was_given(site: Site) -> None:
    with fm.Manager() as other:
        assert other.port != site.manager.port


def test_an_address_of_another_machine(state_home: object) -> None:
    with at_most(AT_ONCE), pytest.raises(fm.LinkError, match=r"192\.0\.2\.1"):
        fm.Manager(host="192.0.2.1")


def started_worker() -> fm.Worker:
    """One whose process has imported what it needs: its fork server is what it starts last."""
    worker = fm.Worker(name="lost")
    until(lambda: process_table.children(worker.pid), LONG)
    return worker


@pytest.mark.parametrize("listening", ["nobody", "not a manager"])
def test_a_worker_that_finds_no_manager(silent_port: int, taken_port: int, listening: str) -> None:
    port = silent_port if listening == "nobody" else taken_port
    worker = started_worker()
    with (
        at_most(1.5 + STALL),
        pytest.raises(fm.LinkError, match=rf"'lost': no Manager.* at 127\.0\.0\.1:{port}"),
    ):
        worker.connect(host="127.0.0.1", port=port, timeout=1.5)
    worker.shutdown()


@pytest.mark.parametrize("port", [0, 65536, -1, "9000"])
def test_a_port_that_is_none(port: object) -> None:
    with fm.Worker(name="lost") as worker, pytest.raises(fm.LinkError, match="port is a number from 1 to 65535"):
        worker.connect(host="127.0.0.1", port=port)  # type: ignore[arg-type]


def test_a_host_that_is_none() -> None:
    worker = started_worker()
    with at_most(1.5 + STALL), pytest.raises(fm.LinkError, match="no such host"):
        worker.connect(host="no such host", port=9000, timeout=1.5)
    worker.shutdown()


def test_a_name_that_is_taken(site: Site) -> None:
    worker = fm.Worker(name="local")
    with at_most(9.0), pytest.raises(fm.LinkError, match="'local' is registered already: choose another name"):
        worker.connect(host=site.manager.host, port=site.manager.port)
    worker.shutdown()
    assert site.manager.workers == ("local",)
    with pytest.raises(fm.StateError, match="'local' is connected already"):
        site.worker.connect(host=site.manager.host, port=site.manager.port)
