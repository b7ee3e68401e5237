"""What holds for every test of a codec."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowmesh.codecs.parallel import helpers


@pytest.fixture(autouse=True)
def no_helpers_stay() -> Iterator[None]:
    """The threads that share a large picture stay with their process, and would be taken for a leak."""
    yield
    if helpers.cache_info().currsize:
        helpers().close()
        helpers.cache_clear()
