"""The links of `tests/transport`, for those who join over them."""

from __future__ import annotations

from ..transport.conftest import patient, site  # noqa: F401  (fixtures)
