"""A graph over several hosts: the Manager's program on one, `flowmesh-worker` on each of the others, as users start them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...conftest import SCALE
from .network import Host
from .programs import Program

WITHIN = 40 * SCALE
PASTED = r"^.*?\bflowmesh-worker (--\S.*)$"
BESIDE = ("example_nodes.py", "driver.py")

PRELUDE = """
import flowmesh as fm
from driver import main, report
from example_nodes import *

graph = fm.Graph()
"""


class Site:
    """A running graph.

    Args:
        here: where the Manager is, and the worker "here".
        others: the hosts of the other workers, by the workers' names.
        graph: the part of the program that builds `graph`.
        mapping: {worker: [names of nodes]}.
        options: of `driver.main`.
    """

    def __init__(
        self, here: Host, others: Mapping[str, Host], graph: str, mapping: Mapping[str, list[str]], **options: Any
    ) -> None:
        self.here = here
        for name in BESIDE:
            shutil.copy(Path(__file__).parent / name, here.folder)
        run = f"\nif __name__ == '__main__':\n    main(graph, {dict(mapping)!r}, **{options!r})\n"
        self.manager: Program = here.python(PRELUDE + graph + run)
        self.workers = {
            name: self._join(name, host, first=not place) for place, (name, host) in enumerate(others.items())
        }

    def _join(self, name: str, host: Host, first: bool) -> Program:
        line = self.manager.says(PASTED if first else f"^for {name}: .*?flowmesh-worker (--.*)$", WITHIN)
        arguments = shlex.split(line[1])
        if "--name" in arguments:
            del arguments[arguments.index("--name") :][:2]
        return host.worker(*arguments, "--name", name)

    # --- the Manager's program ---------------------------------------------------------------------------------------

    def started(self) -> float:
        """Wait until the graph runs; since when, in seconds of the monotonic clock."""
        return float(self.hears("started")["at"])

    def status(self) -> dict[str, Any]:
        """As `Manager.status()` gives it; edges are named "source target"."""
        return self._ask("status")

    def stop(self) -> dict[str, Any]:
        """Pause the graph; the status then."""
        return self._ask("stop", "stopped")

    def enough(self, node: str) -> int:
        """Have a Numbers end, of which nobody knows how many it sends meanwhile; how many those were."""
        return int(self._ask(f"enough {node}", "enough")["count"])

    def finished(self, within: float = WITHIN) -> dict[str, Any]:
        """Wait until the graph has finished and its programs have ended well; the last status."""
        last = self.hears("finished", within)
        for program in (self.manager, *self.workers.values()):
            program.succeeds(WITHIN)
        return last

    def failed(self, within: float = WITHIN) -> dict[str, Any]:
        """Wait until the graph has failed; when, and by what error."""
        return self.hears("failed", within)

    def reported(self, node: str) -> dict[str, Any]:
        """What a Check of that name has seen."""
        return dict(json.loads((self.here.folder / f"{node}.json").read_text()))

    def left(self, within: float = WITHIN) -> float:
        """Wait until the Manager's program has shut all down; when, in seconds of the monotonic clock."""
        told = self.manager.says(r"^left (\{.*\})$", within)[1]
        self.manager.succeeds(within)
        return float(json.loads(told)["at"])

    def _ask(self, word: str, answer: str = "") -> dict[str, Any]:
        heard = len(self.manager.output)
        self.manager.tell(word)
        return self.hears(answer or word, since=heard)

    def hears(self, word: str, within: float = WITHIN, since: int = 0) -> dict[str, Any]:
        try:
            found = self.manager.says(rf"^({word}|failed) (\{{.*\}})$", within, since)
            assert found[1] == word, f"the graph has failed: {self.manager.output}"
        except AssertionError as error:
            for name, worker in self.workers.items():
                error.add_note(f"flowmesh-worker {name!r} printed:\n{worker.output}")
            raise
        told = json.loads(found[2])
        return dict(json.loads((self.here.folder / told["file"]).read_text()) if "file" in told else told)


def edge(status: dict[str, Any], source: str, target: str) -> dict[str, Any]:
    """An edge's counters in a status."""
    return dict(status["edges"][f"{source} {target}"])


def is_balanced(counts: dict[str, Any]) -> bool:
    """Whether what was sent is accounted for."""
    return bool(counts["sent"] == counts["received"] + sum(counts["dropped"].values()) + counts["in_flight"])


def pasted(output: str) -> str:
    """The arguments of the line to paste, in what a Manager printed."""
    found = re.search(PASTED, output, re.MULTILINE)
    assert found is not None, f"there is no line to paste in:\n{output}"
    return found[1]
