"""What the tests here share: a Manager with two workers, and scripts that must succeed without a word of complaint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

import flowmesh as fm

from ...conftest import SCALE, Script

DEADLINE = 60 * SCALE


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

    def run(self, graph: fm.Graph, workers: int = 1, within: float = DEADLINE) -> fm.Manager:
        """Run the graph to its end."""
        manager = self.commit(graph, workers)
        manager.start()
        assert manager.wait(within)
        return manager

    def until(self, happened: Callable[[], bool]) -> None:
        """Let the graph go on until something has happened; fails if it ends or the deadline passes first."""
        deadline = time.monotonic() + DEADLINE
        while not happened():
            assert time.monotonic() < deadline, "it did not happen in time"
            assert not self.manager.wait(0.01), "the graph ended first"

    def until_steps(self, node: str, steps: int) -> None:
        """Let the graph go on until a node has done so many steps."""
        self.until(lambda: self.manager.status().nodes[node].steps >= steps)

    def shutdown(self) -> None:
        self.manager.shutdown()
        for worker in self.workers:
            worker.shutdown()


class Lines(Protocol):
    """Runs a script that must succeed; the lines that it and its nodes printed. See the fixture `lines`."""

    def __call__(
        self, source: str, *, cwd: Path | None = None, files: Mapping[str, str] | None = None
    ) -> list[str]: ...


@pytest.fixture(scope="module")
def shared_cluster(state_home: Path) -> Iterator[Cluster]:
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
def lines(script: Script) -> Lines:
    """Runs a script that may neither fail nor write to stderr."""

    def run(source: str, *, cwd: Path | None = None, files: Mapping[str, str] | None = None) -> list[str]:
        done = script(source, cwd=cwd, files=files)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout.splitlines()

    return run
