"""What the tests here share: a Manager with two workers, scripts run as a user runs them, and a look for what was left."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import flowmesh as fm

REPOSITORY = Path(fm.__path__[0]).parent
PATIENCE = float(os.environ.get("FLOWMESH_TEST_PATIENCE", "1"))
DEADLINE = 60 * PATIENCE
_MARK = f"FLOWMESH_TEST_MARK={secrets.token_hex(8)}"


class Cluster:
    """A Manager with the workers "one" and "two"."""

    def __init__(self) -> None:
        self.manager = fm.Manager()
        self.workers = [fm.Worker(name=name) for name in ("one", "two")]
        for worker in self.workers:
            worker.connect(host=self.manager.host, port=self.manager.port)

    def commit(self, graph: fm.Graph, workers: int = 1) -> fm.Manager:
        """Commit the graph to one worker, or so to two that neighbours in a chain are on different ones."""
        names = list(graph)
        mapping = {"one": names} if workers == 1 else {"one": names[::2], "two": names[1::2]}
        self.manager.commit_graph(graph=graph, mapping=mapping, timeout=DEADLINE)
        return self.manager

    def run(self, graph: fm.Graph, workers: int = 1) -> fm.Manager:
        """Run the graph to its end."""
        manager = self.commit(graph, workers)
        manager.start()
        assert manager.wait(DEADLINE)
        return manager

    def until(self, happened: Callable[[], bool]) -> None:
        """Let the graph go on until something has happened; fails if it ends or the deadline passes first."""
        deadline = time.monotonic() + DEADLINE
        while not happened():
            assert time.monotonic() < deadline, "it did not happen in time"
            assert not self.manager.wait(0.01), "the graph ended first"

    def shutdown(self) -> None:
        self.manager.shutdown()
        for worker in self.workers:
            worker.shutdown()


class Done(NamedTuple):
    """How a script ended."""

    status: int
    out: str
    err: str


class Scripts:
    """Runs Python programs in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.app = folder / "app"
        self.elsewhere = folder / "elsewhere"
        self.app.mkdir()
        self.elsewhere.mkdir()

    def write(self, **files: str) -> None:
        """Write modules into the script's folder."""
        for name, text in files.items():
            (self.app / f"{name}.py").write_text(text)

    def run(self, script: str, *, cwd: Path | None = None) -> Done:
        """Run a script that lies in its folder."""
        self.write(script=script)
        return self.python([str(self.app / "script.py")], cwd=cwd)

    def python(self, command: list[str], *, cwd: Path | None = None, stdin: str | None = None) -> Done:
        """Run Python with a command line."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=cwd or self.elsewhere, input=stdin, capture_output=True, text=True, timeout=DEADLINE,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def lines(self, script: str, *, cwd: Path | None = None) -> list[str]:
        """Run a script that must succeed without a word of complaint; the lines that it and its nodes printed."""
        done = self.run(script, cwd=cwd)
        assert (done.status, done.err) == (0, ""), done.err
        return done.out.splitlines()


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys of their own, flowmesh on every path, and a mark that all processes of these tests inherit."""
    name, _, value = _MARK.partition("=")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        patch.setenv(name, value)
        yield


@pytest.fixture(scope="module", autouse=True)
def _nothing_left(_surroundings: None) -> Iterator[None]:
    """No process, shared memory or open file may outlive the tests of a module."""
    before = _left()
    yield
    deadline = time.monotonic() + 10 * PATIENCE
    while (left := _left() - before) and time.monotonic() < deadline:
        os.sched_yield()
    assert not left, left


def _left() -> set[str]:
    processes = {f"process {pid}" for pid in Path("/proc").iterdir() if pid.name.isdigit() and _marked(pid)}
    return processes | {f"shared memory {path.name}" for path in Path("/dev/shm").iterdir()}


def _marked(process: Path) -> bool:
    try:
        return process.name != str(os.getpid()) and _MARK.encode() in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


@pytest.fixture(scope="module")
def shared_cluster(_nothing_left: None) -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The module's cluster, without a graph."""
    yield shared_cluster
    shared_cluster.manager.reset()


@pytest.fixture(params=[1, 2], ids=["one-worker", "two-workers"])
def workers(request: pytest.FixtureRequest) -> int:
    """On how many workers the graph runs."""
    return int(request.param)


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)
