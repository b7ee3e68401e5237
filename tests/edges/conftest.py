"""The contract of channels holds for both kinds: every test here runs with packets in rings and on sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .fakes import Wire


@pytest.fixture(autouse=True, params=["ring", "socket"])
def _kind_of_channel(request: pytest.FixtureRequest) -> Iterator[None]:
    Wire.rings = request.param == "ring"
    yield
    Wire.rings = False
