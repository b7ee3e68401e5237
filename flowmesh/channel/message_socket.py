"""The message socket between a worker and a child process: whole messages of any size, with file descriptors. It never
blocks, except in `wait`.

A packet begins with one byte: 0, the rest is the message; 1, the message lies in the first descriptor, a memfd; 2, only
descriptors, the first ones of the next message.
"""

from __future__ import annotations

import array
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence

from .packet_socket import PeerGone
from .readable import readable

_INLINE = 64 * 1024
_MOST_DESCRIPTORS = 200  # the kernel takes 253 per message
_PLAIN, _SPILLED, _MORE = _KINDS = b"\0", b"\1", b"\2"


class MessageSocket:
    """One end of a message socket. What the kernel has no room for waits in order; `flush` tries again."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=descriptor)
        self._socket.setblocking(False)
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._lock = threading.RLock()  # a node's threads may log at any time
        self._carried: list[int] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message. The descriptors are duplicated: the caller keeps its own. No error if the peer has gone."""
        given = [os.dup(descriptor) for descriptor in descriptors]
        with self._lock:
            while len(given) >= _MOST_DESCRIPTORS:
                self._waiting.append((_MORE, given[: _MOST_DESCRIPTORS - 1]))
                given = given[_MOST_DESCRIPTORS - 1 :]
            if len(message) > _INLINE:
                self._waiting.append((_SPILLED, [memory_file(message), *given]))
            else:
                self._waiting.append((_PLAIN + message, given))
            self.flush()

    @property
    def wants_room(self) -> bool:
        """Whether something waits because the kernel had no room."""
        return bool(self._waiting)

    def flush(self, within: float = 0.0) -> bool:
        """Send what waits, for at most `within` seconds; returns whether all is sent (or the peer has gone)."""
        deadline = time.monotonic() + within
        with self._lock:
            while self._waiting:
                packet, descriptors = self._waiting[0]
                try:
                    rights = (
                        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
                    )
                    self._socket.sendmsg([packet], rights)
                except BlockingIOError:
                    if not self._has_room(deadline - time.monotonic()):
                        return False
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the peer has gone: its end of file is read elsewhere
                self._waiting.popleft()
                close_all(descriptors)
            return True

    def _has_room(self, within: float) -> bool:
        """Wait for room; not with select(), which takes no descriptor above 1023."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return within > 0 and bool(poll.poll(within * 1000))

    def wait(self) -> tuple[bytes, list[int]] | None:
        """The next message, as `receive` gives it, however long it takes; None when the peer has gone instead."""
        try:
            while (received := self.receive()) is None:
                readable([self.fileno()])
            return received
        except PeerGone:
            return None

    def receive(self) -> tuple[bytes, list[int]] | None:
        """The next message and its descriptors, which the caller closes; None when none waits.

        Raises:
            PeerGone: the peer has closed it or died, and all was read; or what it sent is no message.
        """
        numbers = array.array("i")
        space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * numbers.itemsize)
        try:
            packet, rights, _, _ = self._socket.recvmsg(_INLINE + 1, space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return self.receive()
        for _, right, data in rights:
            if right == socket.SCM_RIGHTS:
                numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
        if not packet:
            raise PeerGone
        kind, descriptors = packet[:1], list(numbers)
        if kind not in _KINDS or (kind == _SPILLED and not descriptors):  # no MessageSocket says that
            close_all([*self._carried, *descriptors])
            self._carried = []
            raise PeerGone
        if kind == _MORE:
            self._carried += descriptors
            return self.receive()
        carried, self._carried = self._carried, []
        if kind == _PLAIN:
            return packet[1:], carried + descriptors
        return read_memory_file(descriptors[0]), carried + descriptors[1:]

    def close(self) -> None:
        for _, descriptors in self._waiting:
            close_all(descriptors)
        self._waiting.clear()
        self._socket.close()


def memory_file(content: bytes, name: str = "flowmesh-message") -> int:
    """A new memfd with that content; the caller closes it."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor


def read_memory_file(descriptor: int) -> bytes:
    """The content of a memfd; closes the descriptor. Its position is shared with other processes, so it is not used."""
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
