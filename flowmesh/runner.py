"""`run`: a graph from start to end on workers of this machine, or, `inline`, in the calling process itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from .errors import GraphError
from .failures import verb
from .graph.graph import Graph
from .inline import run_inline
from .manager import Manager
from .node import Node
from .standard_streams import stderr_is_terminal, write_stderr
from .status import Status
from .worker import Worker

_EVERY = 0.5  # seconds between two progress lines


@verb
def run(
    graph: Graph,
    mapping: Mapping[str, Sequence[str | Node]] | None = None,
    workers: int = 1,
    inline: bool = False,
    packages: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> Status | None:
    """Run a graph until all its sources have ended, or Ctrl+C; everything is torn down then.

    Args:
        mapping: {"local-1": [nodes or names], ...}; None spreads the nodes over the workers in topological order.
        workers: how many workers to make: "local-1" ... "local-n".
        inline: run in this process, one step after the other: breakpoints and profilers work. There are no workers then.
        packages: folders that are shipped as packages.
        progress: whether to show a progress line; None shows it on a terminal.

    Returns:
        the last status, or None if inline.

    Raises:
        FlowmeshError: as `Manager.commit_graph` and `Manager.wait` raise it.
    """
    if not isinstance(graph, Graph):
        raise GraphError(f"run() takes a flowmesh.Graph, not {type(graph).__name__}")
    if inline:
        if mapping is not None or workers != 1:
            raise GraphError("with inline=True all nodes run in this process: leave mapping and workers out")
        run_inline(graph)
        return None
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise GraphError(f"workers is a whole number from 1, not {workers!r}")
    graph.check()
    names = [f"local-{number}" for number in range(1, workers + 1)]
    with ExitStack() as stack:
        started = [stack.enter_context(Worker(name=name)) for name in names]  # they import while the Manager starts
        manager = stack.enter_context(Manager())
        for worker in started:
            worker.connect(host=manager.host, port=manager.port)
        manager.commit_graph(graph=graph, mapping=mapping or spread(graph.specs().names, names), packages=packages)
        manager.start()
        shown = stderr_is_terminal() if progress is None else progress
        _watch(manager, shown and sys.stderr is not None)
        return manager.status()


def spread(names: Sequence[str], workers: Sequence[str]) -> dict[str, list[str]]:
    """Equal runs of nodes in topological order: neighbours in the graph share a worker where they can."""
    mapping: dict[str, list[str]] = {worker: [] for worker in workers}
    for place, name in enumerate(names):
        mapping[workers[place * len(workers) // len(names)]].append(name)
    return mapping


def _watch(manager: Manager, shown: bool) -> None:
    """Wait for the end, with a progress line."""
    if not shown:
        manager.wait()
        return
    begun = time.monotonic()
    try:
        while not manager.wait(timeout=_EVERY):
            write_stderr(f"\r\x1b[K{progress_line(manager.status(), time.monotonic() - begun)}")
    finally:
        write_stderr("\r\x1b[K")


def progress_line(status: Status, seconds: float) -> str:
    """A line with the nodes' progress, after this many seconds."""
    steps = "  ".join(f"{node.name} {node.steps} ({node.rate:.0f}/s)" for node in status.nodes.values())
    dropped = sum(sum(edge.dropped.values()) for edge in status.edges.values())
    return f"{seconds:5.1f} s  {steps}" + (f"  dropped {dropped}" if dropped else "")
