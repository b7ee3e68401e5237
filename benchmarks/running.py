"""A graph run to its end through the public API; what its sinks measured inside their own processes comes back.

Every wait has a deadline.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import flowmesh as fm

WITHIN = 120.0  # seconds for any one wait


class Measuring(fm.Node):
    """A sink that says at its end what it measured: a graph that has finished has no process left to ask."""

    report = ""  # the file in which it says so
    measured: dict[str, float] | None = None  # until everything has come

    def teardown(self) -> None:
        Path(self.report).write_text(json.dumps(self.measured))


def chain(*nodes: fm.Node) -> fm.Graph:
    """Each node sends to the next."""
    graph = fm.Graph()
    graph.add_edges_from(pairwise(nodes))
    return graph


class Run(NamedTuple):
    """What was measured: by each sink, in their order; when `commit_graph` was called, in seconds of the monotonic clock;
    and the processor seconds of all nodes since the start.
    """

    reports: list[dict[str, float]]
    committed: float
    cpu: float


def run(graph: fm.Graph, sinks: Sequence[Measuring]) -> Run:
    """Commit the graph to a Worker that is up, and run it to its end.

    Raises:
        FlowmeshError: it did not finish in time, a sink did not get everything; and what `commit_graph` and `wait` raise.
    """
    with TemporaryDirectory() as folder, fm.Worker(name="benchmark") as worker, fm.Manager() as manager:
        worker.connect(host=manager.host, port=manager.port)
        for sink in sinks:
            sink.report = str(Path(folder, sink.name))
        committed = time.monotonic()
        manager.commit_graph(graph=graph, timeout=WITHIN)
        before = _cpu(manager)
        manager.start()
        if not manager.wait(timeout=WITHIN):
            raise fm.DeadlineError(f"the graph did not finish within {WITHIN:g} s")
        return Run([_report(sink) for sink in sinks], committed, _cpu(manager) - before)


def _report(sink: Measuring) -> dict[str, float]:
    report: dict[str, float] | None = json.loads(Path(sink.report).read_bytes())
    if report is None:
        raise fm.FlowmeshError(f"{sink.name!r} did not get everything that was sent")
    return report


def _cpu(manager: fm.Manager) -> float:
    return sum(node.cpu for node in manager.status().nodes.values())
