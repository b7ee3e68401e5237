"""The offset of the wall clock from the monotonic one. A process takes it once, so that its times never go back."""

from __future__ import annotations

import time

_LOOKS = 5  # a process may be interrupted between two readings, for milliseconds on a busy machine; not each time


def wall_offset() -> int:
    """Nanoseconds to add to `time.monotonic_ns()`, by the readings that lay closest together."""
    looks = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(_LOOKS)]
    before, wall, after = min(looks, key=lambda look: look[2] - look[0])
    return wall - (before + after) // 2
