"""A Manager with a worker of two slots, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flowmesh as fm


@pytest.fixture(scope="module")
def manager() -> Iterator[fm.Manager]:
    with fm.Worker(name="one", slots=2) as worker, fm.Manager() as manager:
        worker.connect(host=manager.host, port=manager.port)
        yield manager


@pytest.fixture
def executor(manager: fm.Manager) -> Iterator[fm.Executor]:
    with fm.Executor(manager) as executor:
        yield executor
