"""One wait for libzmq's sockets and for file descriptors.

A socket's own descriptor signals changes only, and using the socket may hide one: after a send or receive, the socket
itself is asked before the next sleep. zmq.Poller instead asks every socket twice per wait, and rebuilds its lists.
"""

from __future__ import annotations

import select
from collections.abc import Mapping

import zmq

from .sockets import Socket, milliseconds

_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)  # plain ones: zmq's own are enums, which are slow


class Poller:
    """A set of sockets and file descriptors to wait for.

    Attributes:
        readable: the sockets from which something can be received, by their descriptors.
    """

    def __init__(self) -> None:
        self.readable: dict[int, Socket] = {}
        self._poll = select.poll()
        self._sockets: dict[int, Socket] = {}
        self._watched: set[int] = set()
        self._used: set[int] = set()

    def add(self, socket: Socket) -> int:
        """Wait for a socket from now on; returns its descriptor."""
        descriptor = int(socket.getsockopt(zmq.FD))
        self._sockets[descriptor] = socket
        self._used.add(descriptor)
        self._watched.discard(descriptor)  # its former owner has closed it, and will report that later
        self._poll.register(descriptor, select.POLLIN)
        return descriptor

    def remove(self, descriptor: int) -> None:
        """Stop waiting for a socket, which is about to be closed."""
        del self._sockets[descriptor]
        self._used.discard(descriptor)
        self.readable.pop(descriptor, None)
        self._poll.unregister(descriptor)

    def used(self, descriptor: int) -> None:
        """Note that a socket was used to send or receive."""
        self._used.add(descriptor)

    def watch(self, descriptor: int, reading: bool, writing: bool) -> None:
        """Wait for a file descriptor, too, or no longer."""
        if reading or writing:
            self._watched.add(descriptor)
            self._poll.register(descriptor, (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0))
        elif descriptor in self._watched:
            self._watched.remove(descriptor)
            self._poll.unregister(descriptor)

    def wait(self, timeout: float | None) -> Mapping[int, int]:
        """Block until something can be done, or `timeout` seconds have passed; None waits without a limit.

        Returns:
            The watched file descriptors that are ready, each with what it is ready for.
        """
        self._ask(self._used)
        self._used = set()
        ready = dict(self._poll.poll(0 if self.readable else milliseconds(timeout)))
        changed = ready.keys() & self._sockets.keys()
        self._ask(changed)
        for descriptor in changed:
            del ready[descriptor]
        return ready

    def _ask(self, descriptors: set[int]) -> None:
        for descriptor in descriptors:
            if self.can_read(descriptor):
                self.readable[descriptor] = self._sockets[descriptor]
            else:
                self.readable.pop(descriptor, None)

    def can_read(self, descriptor: int) -> bool:
        """Whether something can be received from a socket now."""
        return bool(int(self._sockets[descriptor].getsockopt(_EVENTS)) & _POLLIN)
