"""Hosts for the tests: network namespaces. They need root, and where there is none all tests here say so and are skipped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .network import Host, Network, why_not

HERE = Path(__file__).parent
WHY_NOT = why_not()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if WHY_NOT:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=WHY_NOT))


@pytest.fixture
def network() -> Iterator[Network]:
    """A switch without hosts: `network.host("a")` plugs one in."""
    folder = Path(tempfile.mkdtemp(prefix="hosts-"))
    folder.chmod(0o755)  # a second user's programs lie in it, too
    try:
        with Network(folder) as network:
            yield network
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def here(network: Network) -> Host:
    """The first host: where the Manager is."""
    return network.host("here")


@pytest.fixture
def there(network: Network) -> Host:
    """The second."""
    return network.host("there")
