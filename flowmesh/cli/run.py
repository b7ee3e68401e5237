"""`flowmesh run`: a graph from start to end, with workers made here, workers that join, or both."""

from __future__ import annotations

import argparse
import ast
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import FlowmeshError
from ..graph.graph import Graph
from ..manager import Manager
from ..node import Node
from ..runner import progress_line, spread
from ..status import Status
from ..worker import Worker
from .connection import named
from .console import Console
from .exit_codes import FAILED, OK, UsageError
from .loader import load
from .status_format import as_json, total_dropped
from .table import counted

DESCRIPTION = """Run the graph of a Python file until all its sources have ended, or Ctrl+C; everything is torn down then.

The graph is the only flowmesh.Graph at the file's top level, or what the only function returns that is declared to
return one; FILE:NAME names one of several. What stands under `if __name__ == "__main__":` is not run.

Without --wait-for, one worker is started on this machine; with it none is, unless --workers says so."""

_EVERY = 0.5  # seconds between two checks of its progress
_NO_PARAMETERS = ("name",)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE[:GRAPH]", help="a Python file, and the name of its graph if it has several"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="start so many workers here: local-1 ... local-N")
    parser.add_argument(
        "--listen",
        metavar="ADDR",
        help="where the Manager listens: HOST, HOST:PORT or PORT; 0.0.0.0 lets workers of other machines join (127.0.0.1)",
    )
    parser.add_argument("--wait-for", metavar="A,B", default="", help="begin when these workers have joined")
    parser.add_argument(
        "--map",
        metavar="WORKER=NODE,...",
        action="append",
        default=[],
        help="run these nodes there; may be given again. Nodes that are not named are spread over the workers started here,"
        " or, where there are none, over those waited for",
    )
    parser.add_argument(
        "--set",
        metavar="NODE.PARAM=VALUE",
        action="append",
        default=[],
        help="set a parameter of a node; may be given again. VALUE is a Python literal, or else a text",
    )
    parser.add_argument(
        "--package",
        metavar="DIR",
        action="append",
        default=[],
        help="ship this folder as a package; may be given again",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress and no summary")
    parser.add_argument("--json", action="store_true", help="print the last status as a JSON object, as `status` does")


def run(asked: argparse.Namespace) -> int:
    return run_graph(asked, load(asked.file))


def run_graph(
    asked: argparse.Namespace, graph: Graph, committed: Callable[[Manager], None] = lambda manager: None
) -> int:
    """Run a graph as the arguments of `run` say; `committed` is called when it is ready, before it starts."""
    apply_settings(graph, asked.set)
    names = graph.specs().names
    local, remote = workers_of(asked)
    mapping = mapping_of(asked.map, names, local, remote)
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl+C
        signal.signal(number, signal.default_int_handler)
    with Console(sys.stderr, live=sys.stderr.isatty() and not asked.quiet) as screen:
        try:
            return _run(asked, graph, mapping, local, remote, screen, committed)
        except FlowmeshError as error:
            if not screen.has_told(str(error)):
                raise
            screen.say(f"flowmesh {asked.verb}: failed, as told above")
            return FAILED


def _run(
    asked: argparse.Namespace,
    graph: Graph,
    mapping: dict[str, list[str]],
    local: Sequence[str],
    remote: Sequence[str],
    screen: Console,
    committed: Callable[[Manager], None],
) -> int:
    begun = time.monotonic()
    with ExitStack() as stack:
        try:
            started = [stack.enter_context(Worker(name=name)) for name in local]  # they import while the Manager starts
            manager = stack.enter_context(Manager(*listening_at(asked.listen)))
            for worker in started:
                worker.connect(host=manager.host, port=manager.port)
            _await_workers(manager, remote, screen)
            manager.commit_graph(graph=graph, mapping=mapping, packages=asked.package)
            committed(manager)
            manager.start()
            _watch(manager, screen)
            status = manager.status()
        except KeyboardInterrupt:
            screen.status("")
            screen.say(f"flowmesh {asked.verb}: interrupted, all is torn down (Ctrl+C again: at once)")
            return OK
    if asked.json:
        sys.stdout.write(as_json(status) + "\n")
    if not asked.quiet:
        screen.say(summary(status, time.monotonic() - begun))
    return OK


def _await_workers(manager: Manager, names: Sequence[str], screen: Console) -> None:
    """Until those have joined."""
    if names and not set(names) <= set(manager.workers):
        screen.say(f"waiting at {manager.host}:{manager.port} for {', '.join(names)} (Ctrl+C ends this)")
    while missing := [name for name in names if name not in manager.workers]:
        screen.status(f"waiting for {', '.join(missing)}")
        time.sleep(0.1)


def _watch(manager: Manager, screen: Console) -> None:
    begun = time.monotonic()
    while not manager.wait(timeout=_EVERY):
        screen.status(progress_line(manager.status(), time.monotonic() - begun))
    screen.status("")


def summary(status: Status, seconds: float) -> str:
    """A summary of the run, in one line."""
    received = counted(sum(edge.received for edge in status.edges.values()), "chunk")
    edges = counted(len(status.edges), "edge")
    return f"{status.state} after {seconds:.1f} s: {received} over {edges}, {total_dropped(status.edges)} dropped"


def workers_of(asked: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The names of the workers to start here, and of those to wait for.

    Raises:
        UsageError: there would be none.
    """
    remote = _words(asked.wait_for)
    if asked.wait_for and not remote:
        raise UsageError(f"--wait-for is the names of workers, A,B, not {asked.wait_for!r}")
    count = (0 if remote else 1) if asked.workers is None else asked.workers
    if not (1 if not remote else 0) <= count <= 1000:
        raise UsageError(f"--workers is a number from 1 (from 0 with --wait-for), not {count}")
    return [f"local-{number}" for number in range(1, count + 1)], remote


def listening_at(address: str | None) -> tuple[str, int | None]:
    """The Manager's address, of HOST, HOST:PORT or PORT.

    Raises:
        UsageError: it is none of these.
    """
    if address is None:
        return "127.0.0.1", None
    if ":" in address or address.isdecimal():
        return named(address)
    return address, None


def mapping_of(
    given: Iterable[str], names: Sequence[str], local: Sequence[str], remote: Sequence[str]
) -> dict[str, list[str]]:
    """The mapping of nodes to workers.

    Raises:
        UsageError: a worker or node is unknown, or a node is given twice.
    """
    mapping: dict[str, list[str]] = {}
    for each in given:
        worker, sign, nodes = each.partition("=")
        if not sign or worker not in (*local, *remote):
            there = ", ".join((*local, *remote))
            raise UsageError(f"--map is WORKER=NODE,NODE, and a WORKER is one of {there}, not {each!r}; see --wait-for")
        mapping.setdefault(worker, []).extend(_words(nodes))
    placed = [node for nodes in mapping.values() for node in nodes]
    for node in placed:
        if node not in names or placed.count(node) > 1:
            raise UsageError(
                f"--map: {node!r} is {'mapped twice' if node in names else 'no node'}; nodes: {_list(names)}"
            )
    rest = [name for name in names if name not in placed]
    for worker, share in spread(rest, local or remote).items() if rest else ():
        mapping.setdefault(worker, []).extend(share)
    return {worker: nodes for worker, nodes in mapping.items() if nodes}


def apply_settings(graph: Graph, settings: Iterable[str]) -> None:
    """Set nodes' parameters.

    Raises:
        UsageError: there is no such node or parameter.
    """
    nodes: dict[str, Node] = dict(graph.nodes.data("node"))
    for setting in settings:
        place, sign, text = setting.partition("=")
        name, dot, parameter = place.rpartition(".")
        if not (sign and dot) or name not in nodes:
            raise UsageError(f"--set is NODE.PARAM=VALUE, not {setting!r}; nodes: {_list(nodes)}")
        there = parameters_of(nodes[name])
        if parameter not in there:
            raise UsageError(f"--set: {name} has no parameter {parameter!r}; it has: {_list(there)}")
        setattr(nodes[name], parameter, _value(text, getattr(nodes[name], parameter)))


def parameters_of(node: Node) -> list[str]:
    """The parameters of a node that can be set: its options, its arguments, and plain attributes of its class."""
    names = dict.fromkeys([*vars(node), *dir(type(node))])
    return [
        name
        for name in names
        if not name.startswith("_")
        and name not in _NO_PARAMETERS
        and not callable(getattr(type(node), name, None))
        and not isinstance(getattr(type(node), name, None), property)
    ]


def _value(text: str, present: Any) -> Any:
    """The value of a setting: a text where there is a text or a path now, else a Python literal, or a text."""
    if isinstance(present, str | Path):
        return type(present)(text) if isinstance(present, Path) else text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
