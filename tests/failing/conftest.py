from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowmesh.manager

from . import leftovers
from .deadlines import ended, until
from .scripts import Scripts
from .site import Site


@pytest.fixture(scope="session")
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys of these tests' own, a mark that all processes bear, and the true time limits afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv(leftovers.MARK, secrets.token_hex(8))
        patch.setattr(flowmesh.manager, "_DRAIN", flowmesh.manager._DRAIN)
        patch.setattr(flowmesh.manager, "_STOP_TIMEOUT", flowmesh.manager._STOP_TIMEOUT)
        yield


class _Sites:
    """One site for all tests, made anew only when a test has broken it."""

    def __init__(self) -> None:
        self.site: Site | None = None

    def get(self) -> Site:
        if self.site is not None and self.site.manager.workers != ("local",):
            self.close()
        if self.site is None:
            self.site = Site()
        return self.site

    def close(self) -> None:
        if self.site is not None:
            self.site, site = None, self.site
            closed_without_a_trace(site)


@pytest.fixture(scope="session")
def _sites(_state: None) -> Iterator[_Sites]:
    sites = _Sites()
    yield sites
    sites.close()


@pytest.fixture
def site(_sites: _Sites) -> Iterator[Site]:
    """The shared site; afterwards a graph still runs on it, and the test has left no process of its own."""
    site = _sites.get()
    before = len(leftovers.descriptors(os.getpid()))
    yield site
    site.goes_on()
    assert len(leftovers.descriptors(os.getpid())) <= before


@pytest.fixture
def broken_site(_state: None) -> Iterator[Site]:
    """A site of the test's own, whose processes it may kill."""
    site = Site()
    yield site
    closed_without_a_trace(site)


@pytest.fixture
def scripts(tmp_path: Path, _state: None) -> Iterator[Scripts]:
    """Scripts that are run as a user would; all that they started has to be gone at the end of the test."""
    scripts = Scripts(tmp_path)
    yield scripts
    scripts.clean_up()


def closed_without_a_trace(site: Site) -> None:
    """Shut a site down: no process below it, no socket, no memfd is left."""
    below = leftovers.descendants(site.worker.pid) | {site.worker.pid}
    sockets = leftovers.named_sockets(below)
    site.close()
    ended(below, within=8.0)
    until(lambda: not sockets & leftovers.all_named_sockets(), 2.0, "no socket is left")
    assert [held for held in leftovers.memory_files(os.getpid()) if "flowmesh" in held] == []
    assert leftovers.shared_memory() == set()
