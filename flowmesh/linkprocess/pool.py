"""Threads for what takes long and releases the GIL: encoding and decoding. Their results come back to the loop's thread."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from ..errors import ChunkError

THREADS = 2
SHORT = 128 * 1024  # bytes: a codec is done with so many about as soon as a thread has been woken, and has woken us
Result = TypeVar("Result")


class Pool:
    """`bell` is an eventfd that can be read when results wait for `finish`."""

    def __init__(self) -> None:
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._threads = ThreadPoolExecutor(THREADS, "codec")
        self._done: deque[tuple[Callable[[Any], None], Future[Any]]] = deque()

    def take(self, size: int, work: Callable[[], Result], then: Callable[[Result | ChunkError], None]) -> None:
        """`run` or `here`, by how many bytes there are to encode or decode."""
        (self.here if size <= SHORT else self.run)(work, then)

    def run(self, work: Callable[[], Result], then: Callable[[Result | ChunkError], None]) -> None:
        """Do `work` in a thread, then call `then` in the loop's with what it has returned or, a ChunkError, raised."""
        future = self._threads.submit(work)
        future.add_done_callback(partial(self._finished, then))

    def here(self, work: Callable[[], Result], then: Callable[[Result | ChunkError], None]) -> None:
        """The same at once and in this thread: for what is done sooner than it is handed over."""
        try:
            result: Result | ChunkError = work()
        except ChunkError as error:
            result = error
        then(result)

    def _finished(self, then: Callable[[Any], None], future: Future[Any]) -> None:
        self._done.append((then, future))
        os.eventfd_write(self.bell, 1)

    def finish(self) -> None:
        """Hand out the results that are there."""
        try:
            os.eventfd_read(self.bell)
        except BlockingIOError:
            pass
        while self._done:
            then, future = self._done.popleft()
            error = future.exception()
            if error is not None and not isinstance(error, ChunkError):
                raise error
            then(error if error is not None else future.result())

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        os.close(self.bell)
