"""Waiting in these tests: for an event, never for longer than a deadline. All deadlines scale by FLOWMESH_TEST_SCALE."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

SCALE = float(os.environ.get("FLOWMESH_TEST_SCALE", "1"))
LONG = 30.0  # seconds: bounds a wait for what is certain to come, and judges nothing
STALL = 2.0  # seconds that a busy machine may take from whoever is on time
AT_ONCE = 1.0 + STALL  # seconds for what waits for nobody
_LOOK_EVERY = 0.01  # seconds, where the kernel offers nothing to wait for


def until(condition: Callable[[], object], within: float, what: str = "") -> float:
    """Wait until it is true; the seconds that it took.

    Raises:
        AssertionError: it did not become true in time.
    """
    begun = time.monotonic()
    never = select.poll()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < within * SCALE, f"not within {within:g} s: {what or condition}"
        never.poll(_LOOK_EVERY * 1000)
    return time.monotonic() - begun


def ended(pids: Iterable[int], within: float) -> None:
    """Wait until these processes have ended (a zombie has)."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([descriptor], [], [], within * SCALE)[0], f"process {pid} lives after {within:g} s"
        finally:
            os.close(descriptor)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """What is inside has to end in that time."""
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took <= seconds * SCALE, f"took {took:.2f} s, more than {seconds:g} s"
