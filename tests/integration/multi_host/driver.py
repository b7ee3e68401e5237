"""The Manager's side of a test's program: it runs a graph, and does what it is told by lines on its standard input.

The file is copied beside the script that runs on a host. What it prints is for `site.py` to read: a word, then JSON.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

import flowmesh as fm

PORT = 9000
_numbers = count()
WITHIN = 30.0  # seconds for what may take long on a busy machine


def main(graph: fm.Graph, mapping: Mapping[str, Sequence[str]], timeout: float = WITHIN, **options: Any) -> None:
    """Run the graph on the workers that the mapping names: "here" is made here, the others come from elsewhere.

    Args:
        timeout: for the commit.
        options: of the Manager.
    """
    begun = time.monotonic()
    with fm.Manager(host="0.0.0.0", port=PORT, **options) as manager:
        others = [name for name in mapping if name != "here"]
        for name in others[1:]:
            print(f"for {name}: {manager.token().line}", flush=True)
        if "here" in mapping:
            fm.Worker(name="here").connect(host="127.0.0.1", port=PORT)
        while missing := set(mapping) - set(manager.workers):
            assert time.monotonic() < begun + WITHIN, f"{missing} did not come"
            time.sleep(0.05)
        _tell("joined", {})
        try:
            manager.commit_graph(graph, mapping, timeout=timeout)
            _tell("committed", {})
            manager.start()
            _tell("started", {"at": time.monotonic()})
            _obey(manager)
        except fm.FlowmeshError as error:
            _tell("failed", {"at": time.monotonic(), "error": f"{type(error).__name__}: {error}"})
    _tell("left", {"at": time.monotonic()})


def _obey(manager: fm.Manager) -> None:
    """Until the graph has finished, or the input has ended."""
    while not manager.wait(timeout=0.02):
        if select.select([sys.stdin], [], [], 0)[0]:
            match sys.stdin.readline().split():
                case ["status"]:
                    _tell("status", _status(manager))
                case ["stop"]:
                    manager.stop()
                    _tell("stopped", _status(manager))
                case ["enough", node]:
                    _tell("enough", {"count": manager.request_registered_method(node, "enough", timeout=WITHIN)})
                case ["start"]:
                    manager.start()
                    _tell("started", {"at": time.monotonic()})
                case []:
                    return
    _tell("finished", _status(manager) | {"at": time.monotonic()})


def _status(manager: fm.Manager) -> dict[str, Any]:
    status = msgspec.to_builtins(manager.status())
    status["edges"] = {" ".join(pair): edge for pair, edge in status["edges"].items()}
    return dict(status)


def _tell(word: str, what: dict[str, Any]) -> None:
    """A status is long: it goes to a file, named for its number."""
    if "edges" in what:
        name = f"status-{next(_numbers)}.json"
        (Path(__file__).parent / name).write_text(json.dumps(what))
        what = {"file": name}
    print(word, json.dumps(what), flush=True)


def report(name: str) -> str:
    """The file in which a node says at its end what it has seen; the hosts of a test share their disk."""
    return str(Path(__file__).parent / f"{name}.json")
