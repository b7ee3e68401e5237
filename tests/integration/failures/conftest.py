from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .example_programs import Scripts
from .harness import Site


@pytest.fixture(scope="module")
def shared_site(state_home: Path) -> Iterator[Site]:
    """A Manager with a Worker, on which one graph after the other fails."""
    site = Site()
    yield site
    site.close()


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The module's site; whatever the test did, the next graph runs on it."""
    yield shared_site
    if shared_site.manager.state in ("running", "stopping"):
        shared_site.manager.reset()
    shared_site.goes_on()


@pytest.fixture
def own_site() -> Iterator[Site]:
    """A site of the test's own, whose worker it may kill."""
    site = Site()
    yield site
    site.close()


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    """Scripts that run as a user's do; what the test has not ended is ended afterwards."""
    scripts = Scripts(tmp_path)
    yield scripts
    scripts.clean_up()
