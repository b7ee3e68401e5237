"""What the tests of recordings share: a Manager with one worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flowmesh as fm
from flowmesh.status import Status

from ..conftest import SCALE

DEADLINE = 60 * SCALE


class Site:
    """A Manager with the worker "local"."""

    def __init__(self) -> None:
        self.manager = fm.Manager()
        self.worker = fm.Worker(name="local")
        self.worker.connect(host=self.manager.host, port=self.manager.port)

    def commit(self, graph: fm.Graph) -> fm.Manager:
        self.manager.commit_graph(graph=graph, timeout=DEADLINE)
        return self.manager

    def run(self, graph: fm.Graph) -> Status:
        """Run the graph to its end; its last status."""
        self.commit(graph)
        self.manager.start()
        assert self.manager.wait(DEADLINE)
        status = self.manager.status()
        self.manager.reset()  # recorders close their files
        return status

    def shutdown(self) -> None:
        self.manager.shutdown()
        self.worker.shutdown()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.shutdown()
