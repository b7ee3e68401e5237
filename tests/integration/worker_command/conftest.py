"""Real Managers and workers on hosts of their own, joined by tokens. A Manager here does what it is told, line by line."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from ...conftest import SCALE
from ..multi_host.conftest import WHY_NOT, here, network, there
from ..multi_host.network import Host
from ..multi_host.programs import Program

__all__ = ["here", "network", "there"]

WITHIN = 20 * SCALE
PORT = 9000
TOKEN = r"fm1-[\w-]+"

MANAGER = """
import json, logging, sys
import flowmesh as fm
from parts import *
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
manager = fm.Manager(host="0.0.0.0", port=9000, **eval(sys.argv[1]))
print("up", flush=True)
for line in sys.stdin:
    try:
        result = str(eval(line))
    except Exception as error:
        result = f"{type(error).__name__} {error}"
    sys.stdout.write(f"did {json.dumps(result)}\\n")  # in one piece: the log speaks at the same time
    sys.stdout.flush()
"""
PARTS = """
import os
import time
import flowmesh as fm

class Beat(fm.Node):
    def step(self):
        return self.value

class Look(fm.Node):
    def step(self, data):
        self.times = data["beat"].times
    @fm.register
    def clock(self):
        return self.times.offset, self.times.bound
    @fm.register
    def environment(self):
        return dict(os.environ)

def run(mapping=None, value=1):
    graph = fm.Graph()
    graph.add_edge(Beat(name="beat", rate=50, value=value), Look(name="look"))
    manager = __import__("__main__").manager
    manager.commit_graph(graph, mapping or {"remote": ["beat", "look"]})
    manager.start()
    return manager.state

def answer(node, method):
    return __import__("__main__").manager.request_registered_method(node, method)
"""


@pytest.fixture(autouse=True)
def needs_hosts() -> None:
    if WHY_NOT:
        pytest.skip(WHY_NOT)


class Boss:
    """A Manager on a host, and what it says. `token` is the one that it prints by itself."""

    def __init__(self, host: Host, options: str = "{}", user: int | None = None) -> None:
        (host.folder / "parts.py").write_text(PARTS)
        self.host = host
        self.program: Program = host.python(MANAGER, options, name="manager.py", user=user)
        self.program.says("^up$", WITHIN)
        self.token = self.program.says(rf"flowmesh-worker --name NAME --token ({TOKEN})", WITHIN)[1]

    def do(self, expression: str) -> str:
        """What an expression gives in the Manager's script, or the error that it raises."""
        since = len(self.program.output)
        self.program.tell(expression)
        return str(json.loads(self.program.says(r"^did (.*)$", WITHIN, since)[1]))

    def new_token(self, expires: float = 600.0) -> str:
        return self.do(f"manager.token({expires})")

    def says(self, pattern: str) -> None:
        self.program.says(pattern, WITHIN)

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        self.program.signal(number)
        self.program.ends(WITHIN)


@pytest.fixture
def boss(here: Host) -> Boss:
    return Boss(here)


Hire = Callable[..., Program]


@pytest.fixture
def hire(there: Host) -> Hire:
    """Start flowmesh-worker on the other host, as "remote"."""

    def start(*arguments: str, name: str = "remote", **options: object) -> Program:
        return there.worker("--name", name, *arguments, **options)  # type: ignore[arg-type]

    return start
