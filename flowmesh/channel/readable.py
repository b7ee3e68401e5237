"""The wait for file descriptors: by poll(2), which takes a descriptor of any number, not by select(2)."""

from __future__ import annotations

import math
import select
from collections.abc import Iterable


def readable(descriptors: Iterable[int], seconds: float | None = None) -> list[int]:
    """The descriptors that can be read, or have ended; empty when `seconds` have passed first, None for no limit."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    milliseconds = None if seconds is None else max(0, math.ceil(seconds * 1000))
    return [descriptor for descriptor, _ in poll.poll(milliseconds)]
