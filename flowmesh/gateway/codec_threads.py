"""Worker threads for encoding and decoding, which release the GIL. Results come back to the loop's thread.

Passing work to a thread and its result back wakes two threads, a tenth of a millisecond each on an idle machine. Short
work is therefore done in the loop's thread; long work as well, where nothing else waits for that thread: the gateway
serves a single transfer, and is idle for most of the time.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from ..errors import ChunkError

THREADS = 2
SHORT = 128 * 1024  # bytes: a codec needs about as long for them as for waking a thread and being woken
LONG = 32 * 1024**2  # bytes: beyond, even a single peer might take this process for dead
Result = TypeVar("Result")


class CodecThreads:
    """The threads. `bell` is a doorbell, an eventfd that can be read when results wait for `finish`.

    Attributes:
        shared: whether several transfers share the loop's thread.
    """

    def __init__(self) -> None:
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.shared = False
        self._threads = ThreadPoolExecutor(THREADS, "codec")
        self._done: deque[tuple[Callable[[Any], None], Future[Any]]] = deque()
        self._running = 0
        self._took = 0.0  # seconds that the last work took
        self._ended = 0.0  # when it ended

    def submit(self, size: int, work: Callable[[], Result], then: Callable[[Result | ChunkError], None]) -> None:
        """Do work in a thread or in the loop, by the bytes to encode or decode, and by whether others would wait."""
        (self.run_in_loop if size <= SHORT or (size <= LONG and self._is_calm) else self.run_in_thread)(work, then)

    @property
    def _is_calm(self) -> bool:
        """Whether nothing else waits, and the last work took less time than has passed since: one at a time is
        enough."""
        return not self.shared and not self._running and time.monotonic() - self._ended > self._took

    def run_in_thread(self, work: Callable[[], Result], then: Callable[[Result | ChunkError], None]) -> None:
        """Do `work` in a thread, then call `then` in the loop's thread with its result or its ChunkError."""
        self._running += 1
        future = self._threads.submit(work)
        future.add_done_callback(partial(self._finished, then))

    def run_in_loop(self, work: Callable[[], Result], then: Callable[[Result | ChunkError], None]) -> None:
        """Do `work` and call `then` at once, in this thread."""
        begun = time.monotonic()
        try:
            result: Result | ChunkError = work()
        except ChunkError as error:
            result = error
        self._ended = time.monotonic()
        self._took = self._ended - begun
        then(result)

    def _finished(self, then: Callable[[Any], None], future: Future[Any]) -> None:
        self._done.append((then, future))
        os.eventfd_write(self.bell, 1)

    def finish(self) -> None:
        """Deliver the results that are ready."""
        try:
            os.eventfd_read(self.bell)
        except BlockingIOError:
            pass
        while self._done:
            then, future = self._done.popleft()
            self._running -= 1
            self._ended = time.monotonic()
            error = future.exception()
            if error is not None and not isinstance(error, ChunkError):
                raise error
            then(error if error is not None else future.result())

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        os.close(self.bell)
