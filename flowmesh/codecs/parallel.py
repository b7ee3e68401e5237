"""Parallel work on several cores, for work that takes milliseconds and releases the GIL."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from typing import TypeVar

CORES = os.sched_getaffinity(0)
Result = TypeVar("Result")


def at_once(works: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run all of these and return their results: the first runs in this thread, the others beside it as far as a core
    is free. When one raises, none runs any more."""
    if len(works) == 1 or len(CORES) == 1:
        return [work() for work in works]
    first, *others = works
    futures = helpers().submit(others)
    try:
        results = [first()]
        for work, future in zip(others, futures, strict=True):
            results.append(work() if future.cancel() else future.result())
        return results
    finally:
        wait([future for future in futures if not future.cancel()])


class ParallelStrips:
    """Threads that work beside the caller's."""

    def __init__(self, count: int) -> None:
        self._ids: list[int] = []
        self._threads = ThreadPoolExecutor(count, "cores", lambda: self._ids.append(threading.get_native_id()))
        self._libc = ctypes.CDLL(None)

    def submit(self, works: Sequence[Callable[[], Result]]) -> list[Future[Result]]:
        """Begin these, on other cores than the caller's: Linux likes to wake a thread beside the one that wakes it, and
        sees only milliseconds later that another core has nothing to do."""
        elsewhere = os.sched_getaffinity(os.getpid()) - {self._libc.sched_getcpu()}
        with suppress(OSError):  # there is no other any more
            for thread in self._ids:
                os.sched_setaffinity(thread, elsewhere)
        return [self._threads.submit(work) for work in works]

    def close(self) -> None:
        self._threads.shutdown()


@cache
def helpers() -> ParallelStrips:
    """Those of this process, which stay with it."""
    return ParallelStrips(min(4, len(CORES)) - 1)
