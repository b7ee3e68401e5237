"""A Manager with a Worker in this very process, on which one graph after the other goes wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest

import flowmesh as fm
import flowmesh.manager

from . import example_nodes, process_table
from .deadlines import LONG, SCALE, STALL, ended, until

DRAIN = 2.0  # seconds, scaled as all are: shorter than the real ones, so that what can't end does not take so long
STOP_TIMEOUT = 2.0


class Site:
    """Its graphs are "src" -> "mid" -> "end": a node is put in the place that it is named for."""

    def __init__(self, drain: float = DRAIN, stop_timeout: float = STOP_TIMEOUT) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flowmesh.manager, "_DRAIN", drain * SCALE)
            patch.setattr(flowmesh.manager, "_STOP_TIMEOUT", stop_timeout * SCALE)
            self.manager = fm.Manager()
        self.worker = self._worker()

    def _worker(self) -> fm.Worker:
        worker = fm.Worker(name="local")
        worker.connect(host=self.manager.host, port=self.manager.port)
        return worker

    def renew_worker(self) -> None:
        """Another worker of the same name, in place of one that has gone."""
        self.worker.shutdown()
        self.worker = self._worker()

    def close(self) -> None:
        self.manager.shutdown()
        self.worker.shutdown()

    @property
    def fork_server(self) -> int:
        return next(
            pid for pid in process_table.children(self.worker.pid) if "forkserver" in process_table.command(pid)
        )

    @property
    def node_processes(self) -> set[int]:
        return process_table.descendants(self.worker.pid) - {self.fork_server}

    def commit(self, *nodes: fm.Node, timeout: float = 30.0, depth: int | None = None) -> None:
        """Commit src -> mid -> end; places that are not given are filled with what does no harm."""
        self.manager.commit_graph(
            graph=chain(*nodes, depth=depth), mapping={"local": ["src", "mid", "end"]}, timeout=timeout * SCALE
        )

    def run(self, *nodes: fm.Node) -> None:
        """Commit, start, wait for the end."""
        self.commit(*nodes)
        self.manager.start()
        assert self.manager.wait(30 * SCALE), f"no end: {self.manager.status()}"

    def failure(self, *nodes: fm.Node, within: float = 10.0) -> Any:
        """Run what has to fail; the error."""
        begun = time.monotonic()
        try:
            self.run(*nodes)
        except fm.FlowmeshError as error:
            assert time.monotonic() - begun < within * SCALE
            return error
        raise AssertionError("the graph did not fail")

    def pid(self, node: str) -> int:
        pid = self.manager.status().nodes[node].pid
        assert pid
        return pid

    def is_failed(self) -> None:
        """The graph is FAILED, also in the eyes of status(), and no process of it is left."""
        until(lambda: self.manager.state == "failed", DRAIN + 2 * STOP_TIMEOUT + STALL)
        status = self.manager.status()
        assert status.state == "failed"
        assert {node.pid for node in status.nodes.values()} == {0}
        assert {node.state for node in status.nodes.values()} <= {"closed", "dead", "failed"}
        self.is_empty()

    def is_empty(self) -> None:
        """No process of a node is left."""
        ended(self.node_processes, LONG)

    def goes_on(self) -> None:
        """The next graph commits and runs to its end in the same Manager, and what came is right."""
        self.commit(example_nodes.Count(name="src", last=20))
        self.manager.start()
        assert self.manager.wait(LONG * SCALE)
        edges = self.manager.status().edges.values()
        assert [(edge.sent, edge.received, edge.in_flight) for edge in edges] == [(20, 20, 0)] * 2
        self.is_empty()


def chain(*nodes: fm.Node, depth: int | None = None) -> fm.Graph:
    """src -> mid -> end; places that are not given are filled with what does no harm."""
    harmless = (example_nodes.Count(name="src"), example_nodes.Pass(name="mid"), example_nodes.Keep(name="end"))
    places = {node.name: node for node in (*harmless, *nodes)}
    graph = fm.Graph()
    graph.add_nodes_from(places.values())
    graph.add_edge("src", "mid", depth=depth)
    graph.add_edge("mid", "end", depth=depth)
    return graph
