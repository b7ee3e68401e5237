"""ReconnectingReader: a thread that reads a live picture source, keeps its newest frame, and connects again when lost.

A step that takes frames from it waits a bounded time and never for the device or the network: these may hang in C code
for seconds. Nothing here knows what a device, a network or a frame is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ..errors import FlowmeshError

Frame = TypeVar("Frame")
Frame_co = TypeVar("Frame_co", covariant=True)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before connecting again; doubled each time that nothing comes of it
_ENDS_WITHIN = 2.0  # seconds that a read in C code is waited for at the end; a node has five to tear down


class StreamLostError(Exception):
    """There is no connection, or it is lost; the text says why."""


class FrameStream(Protocol[Frame_co]):
    """One connection."""

    def read(self) -> Frame_co:
        """The next frame; waits for it, with a limit. Raises StreamLostError when there are no more."""

    def close(self) -> None:
        """Called once, in the thread that reads."""


class ReconnectingReader(Generic[Frame]):
    """Reads frames in a thread of its own, from `start` to `close`.

    Args:
        what: what is read, for the log, without any password.
        connect: makes a connection, or raises StreamLostError.
        logger: gets a line for each loss and reconnect.
        longest_pause: seconds between two attempts, at most.

    Attributes:
        frames: how many were read.
        missed: the number of them that were replaced before they were taken.
        reconnects: how often frames came again after a connection was lost.
        connected: whether frames come now.
        came: when the frame that was taken last had come, in seconds of the monotonic clock.
    """

    def __init__(
        self,
        what: str,
        connect: Callable[[], FrameStream[Frame]],
        logger: logging.Logger,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self.frames = self.missed = self.reconnects = 0
        self.connected = False
        self.came = 0.0
        self._what, self._connect, self._logger, self._longest = what, connect, logger, longest_pause
        self._pause = FIRST_PAUSE
        self._lost_at: float | None = None  # since when there is no connection; None before the first loss
        self._changed = threading.Condition()
        self._newest: list[tuple[Frame, float]] = []  # one or none, and when it came
        self._broken: BaseException | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"flowmesh-receiver-{what}", daemon=True)

    def start(self, first: FrameStream[Frame] | None = None) -> None:
        """Begin to read; `first` is a connection that is there already."""
        self._first = first
        self._thread.start()

    def take(self, within: float) -> Frame | None:
        """The newest frame that was not taken yet; None when none comes within that many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._broken, within)
            if self._broken is not None:
                raise FlowmeshError(f"{self._what} can't be read any more: {self._broken!r}") from self._broken
            if not self._newest:
                return None
            frame, self.came = self._newest.pop()
            return frame

    def close(self) -> None:
        """Stop reading. A read that still hangs is left behind: it has its own limit of time."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(_ENDS_WITHIN)

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        feed = self._first
        try:
            while not self._ending.is_set():
                try:
                    self._read(feed or self._connect())
                except StreamLostError as error:
                    self._is_lost(error)
                feed = None
        except BaseException as error:
            with self._changed:
                self._broken = error
                self._changed.notify_all()

    def _read(self, feed: FrameStream[Frame]) -> None:
        try:
            while not self._ending.is_set():
                frame = feed.read()
                self._is_there()
                self._put(frame)
        finally:
            self.connected = False
            feed.close()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self.frames += 1
            self.missed += len(self._newest)
            self._newest[:] = [(frame, time.monotonic())]
            self._changed.notify_all()

    def _is_there(self) -> None:
        self.connected = True
        self._pause = FIRST_PAUSE
        if self._lost_at is None:
            return
        self.reconnects += self.frames > 0  # else it was never there before
        gone = time.monotonic() - self._lost_at
        self._logger.warning("%s is there after %.1f s (reconnects: %d)", self._what, gone, self.reconnects)
        self._lost_at = None

    def _is_lost(self, error: StreamLostError) -> None:
        self._lost_at = self._lost_at or time.monotonic()
        if self._ending.is_set():
            return
        self._logger.warning("%s: %s; it is tried again in %g s", self._what, error, self._pause)
        self._ending.wait(self._pause)
        self._pause = min(2 * self._pause, self._longest)


def info(receiver: ReconnectingReader[Any]) -> dict[str, Any]:
    """The counters of a ReconnectingReader by name."""
    names = ("connected", "frames", "missed", "reconnects")
    return {name: getattr(receiver, name) for name in names}
