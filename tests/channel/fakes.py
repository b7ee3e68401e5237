"""A process at the other end of a channel: forked, so that it can be killed and nothing of it is shared but descriptors."""

from __future__ import annotations

import os
import select
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..conftest import SCALE

Send = Callable[[bytes], object]
WITHIN = 30.0 * SCALE  # seconds


class Peer:
    """A child process. `say` is what it calls to tell us something, `heard` what we call to wait for that."""

    def __init__(self, work: Callable[[Send], None], closing: tuple[int, ...]) -> None:
        ours, theirs = os.pipe()
        with (
            warnings.catch_warnings()
        ):  # Python 3.12 warns if there are threads, as numpy's: the child uses none of them
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            try:
                for descriptor in (ours, *closing):
                    os.close(descriptor)
                work(lambda text: os.write(theirs, text))
            finally:
                os._exit(0)
        os.close(theirs)
        self._ours = ours

    def fileno(self) -> int:
        """Readable when it has said something."""
        return self._ours

    def heard(self, within: float = WITHIN) -> bytes:
        """What it says next; nothing when it has ended."""
        assert select.select([self._ours], [], [], within)[0], "the peer says nothing"
        return os.read(self._ours, 4096)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.end()

    def end(self) -> None:
        """Wait until it has ended."""
        if self.pid:
            os.waitpid(self.pid, 0)
            self.pid = 0
            os.close(self._ours)


@contextmanager
def peer(work: Callable[[Send], None], *closing: int) -> Iterator[Peer]:
    """A process that does `work(say)`, having closed our descriptors `closing`; it is killed at the end if need be."""
    other = Peer(work, closing)
    try:
        yield other
    finally:
        if other.pid:
            other.kill()


def wait_for(descriptor: int, within: float = WITHIN) -> None:
    """Until there is something to read."""
    assert select.select([descriptor], [], [], within)[0], "nothing came"


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def forever() -> None:
    """Wait to be killed."""
    while True:
        signal.pause()
