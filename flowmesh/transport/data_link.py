"""The data link: the sockets over which two gateways exchange chunks. It does not interpret messages.

One socket listens, one more is made for each connection that is dialled. A connection is used once and never comes back
by
itself: libzmq's own reconnecting would silently lose messages in transit. As in `control_link`, a peer is the key that
the allow-list has seen in its handshake. One thread owns a link; nothing blocks but `wait`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

import zmq

from ..errors import LinkError
from ..security.keys import KeyPair
from ..wire.link_messages import LARGEST_HEAD
from ..wire.plan_specs import LinkAddress
from .allowlist import AllowList
from .poller import Poller
from .sockets import Context, Socket, endpoint, listen, make_socket, translated

BATCH = 64  # messages from one socket before the others are served
BUFFER = 256 * 1024  # bytes of the kernel's buffers: as much as may be unacknowledged
WAITING = 10_000  # messages that may wait at a connection: those of chunks are limited by bytes long before

_NOBLOCK = int(zmq.NOBLOCK)

Data = bytes | memoryview


class _Dialled(NamedTuple):
    key: str
    socket: Socket
    descriptor: int


class ReceivedParts(NamedTuple):
    """A message: the sender's key, the connection that it came on, and its frames."""

    key: str
    connection: Hashable
    frames: list[memoryview]


class DataLink:
    """The sockets of one gateway. Its key pair is made for it and kept nowhere else. `port` 0 is any that is free.

    Connections are named by the caller's numbers where it dials, and by routing ids where others do.

    Attributes:
        own_address: its key, and where it listens.

    Raises:
        LinkError: it can't listen at that address and port.
    """

    def __init__(self, address: str, port: int) -> None:
        self._keys = KeyPair.make()
        self._context = Context()
        self._dialled: dict[Hashable, _Dialled] = {}
        self._readiness = Poller()
        try:
            self._allowed = AllowList(self._context)  # before anything binds: without it CURVE accepts any key
            self._listener = self._make_listener()
            self.own_address = LinkAddress(self._keys.public, address, listen(self._listener, address, (port,)))
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._listening = self._readiness.add(self._listener)
        self._allowing = self._readiness.add(self._allowed.socket)

    def _make_listener(self) -> Socket:
        made = self._bounded(make_socket(self._context, zmq.ROUTER, self._keys))
        made.setsockopt(zmq.CURVE_SERVER, 1)
        made.setsockopt(zmq.ZAP_DOMAIN, b"flowmesh")
        made.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # deny every peer if the allowlist does not run
        made.setsockopt(zmq.ROUTER_MANDATORY, 1)  # sending to an absent peer fails instead of losing the message
        return made

    @staticmethod
    def _bounded(made: Socket) -> Socket:
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.SNDHWM, WAITING)
        made.setsockopt(zmq.SNDBUF, BUFFER)
        made.setsockopt(zmq.RCVBUF, BUFFER)
        made.setsockopt(zmq.MAXMSGSIZE, LARGEST_HEAD)
        return made

    def allow(self, key: str) -> None:
        """Let `key` (Z85) connect, and receive from it."""
        self._allowed.allow(key)

    def revoke(self, key: str) -> None:
        """From now on ignore `key`, and do not let it connect."""
        self._allowed.revoke(key)

    def dial(self, name: Hashable, link: LinkAddress) -> None:
        """Dial a connection; what is sent on it waits until it is there.

        Raises:
            LinkError: the address or the key can't be one.
        """
        made = self._bounded(make_socket(self._context, zmq.DEALER, self._keys))
        try:
            with translated(f"can't dial {link.address}:{link.port}"):
                made.setsockopt(zmq.CURVE_SERVERKEY, link.key.encode())
                made.setsockopt(zmq.RECONNECT_IVL, -1)
                made.connect(endpoint(link.address, link.port))
        except LinkError:
            made.close()
            raise
        self._dialled[name] = _Dialled(link.key, made, self._readiness.add(made))

    def hang_up(self, connection: Hashable) -> None:
        """Close a connection that was dialled; the peer closes one that it dialled."""
        dialled = self._dialled.pop(connection, None)
        if dialled is not None:
            self._readiness.remove(dialled.descriptor)
            dialled.socket.close()

    def send(self, connection: Hashable, frames: Sequence[Data]) -> bool:
        """Send on a connection; False when it has gone, or too much waits there."""
        try:
            if isinstance(connection, bytes):
                self._readiness.used(self._listening)
                self._listener.send_multipart([connection, *frames], _NOBLOCK)
            elif (dialled := self._dialled.get(connection)) is not None:
                self._readiness.used(dialled.descriptor)
                dialled.socket.send_multipart(frames, _NOBLOCK)
            else:
                return False
        except zmq.ZMQError:
            return False
        return True

    def watch(self, descriptor: int, reading: bool, writing: bool) -> None:
        """Let `wait` also wait for this file descriptor, or no longer."""
        self._readiness.watch(descriptor, reading, writing)

    def wait(self, timeout: float | None) -> tuple[Mapping[int, int], bool]:
        """Block until something can be done, or `timeout` seconds have passed; None waits without a limit.

        Returns:
            The watched file descriptors that are ready, each with what it is ready for, and whether `receive` has work.
        """
        with translated("can't wait for messages"):
            ready = self._readiness.wait(timeout)
        return ready, bool(self._readiness.readable)

    def receive(self) -> Iterator[ReceivedParts]:
        """Handle the handshakes that wait; yields some of the messages that wait."""
        readable = self._readiness.readable
        with translated("can't receive"):
            if self._allowing in readable:
                self._allowed.serve()
                self._readiness.used(self._allowing)
            if self._listening in readable:
                yield from self._from_listener()
            for name, dialled in list(self._dialled.items()):
                if dialled.descriptor in readable:
                    yield from self._from_dialled(name, dialled)

    def _from_listener(self) -> Iterator[ReceivedParts]:
        for frames in self._some_of(self._listener, self._listening):
            key = str(frames[-1].get("User-Id"))
            if key in self._allowed:
                yield ReceivedParts(key, frames[0].bytes, [frame.buffer for frame in frames[1:]])

    def _from_dialled(self, name: Hashable, dialled: _Dialled) -> Iterator[ReceivedParts]:
        for frames in self._some_of(dialled.socket, dialled.descriptor):
            yield ReceivedParts(dialled.key, name, [frame.buffer for frame in frames])
            if name not in self._dialled:  # it was hung up because of a message
                return

    def _some_of(self, socket: Socket, descriptor: int) -> Iterator[list[zmq.Frame]]:
        self._readiness.used(descriptor)
        for _ in range(BATCH):
            try:
                yield socket.recv_multipart(_NOBLOCK, copy=False)
            except zmq.Again:
                return
            if not self._readiness.can_read(descriptor):
                return

    def close(self) -> None:
        """Close; what waits is not sent."""
        self._context.destroy(linger=0)
