"""The control link: messages between a Manager and its workers. It does not interpret them.

A peer is the key that the allow-list has seen in its handshake, never the routing id, which a peer may choose. One
thread owns a link; nothing blocks but `wait`, and `close` for a moment.
"""

from __future__ import annotations

from collections.abc import Iterable

import zmq

from ..errors import LinkError
from ..security.keys import KeyPair
from ..wire.messages import AnyMessage, Message, decode, encode
from .allowlist import AllowList
from .monitor import DialOutcome, SocketMonitor
from .sockets import Context, Socket, endpoint, listen, make_socket, translated, wait, waiting

BATCH = 1000  # messages per call of `receive`
LARGEST = 256 * 1024**2  # bytes of a message to the Manager: an enrolled peer must not fill its memory
PORTS = (*range(9000, 9100), 0)  # 0: any that is free


class ManagerLink:
    """The Manager's end: it listens at host:port and speaks with every peer whose key is allowed.

    Attributes:
        host: as given.
        port: where it listens; without `port`, 9000 or the next that is free.
        damaged: how many messages could not be read.

    Raises:
        LinkError: it can't listen there.
    """

    def __init__(self, host: str, port: int | None, keys: KeyPair) -> None:
        self.host = host
        self.damaged = 0
        self._routes: dict[str, bytes] = {}
        self._keys: dict[bytes, str] = {}
        self._addresses: dict[str, str] = {}
        self._context = Context()
        try:
            self._allowed = AllowList(self._context)  # before anything binds: without it CURVE accepts any key
            self._socket = self._make_socket(keys)
            self.port = listen(self._socket, host, PORTS if port is None else (port,))
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def allow(self, key: str) -> None:
        """Let `key` (Z85) connect, and receive from it."""
        self._allowed.allow(key)

    def revoke(self, key: str) -> None:
        """From now on ignore `key`, send it nothing, and do not let it connect."""
        self._allowed.revoke(key)
        self._addresses.pop(key, None)
        self._keys.pop(self._routes.pop(key, b""), None)

    def address_of(self, key: str) -> str:
        """The network address of the latest message from `key`; "" when there was none."""
        return self._addresses.get(key, "")

    def wait(self, fds: Iterable[int], timeout: float | None) -> set[int]:
        """Block until `receive` has work, one of `fds` is ready, or `timeout` seconds have passed; None waits without a
        limit.

        Returns:
            Those of `fds` that are readable, at their end, or broken.

        Raises:
            LinkError: the link is closed.
        """
        return wait((self._socket, self._allowed.socket), fds, timeout)

    def receive(self) -> list[tuple[str, AnyMessage]]:
        """Handle the handshakes that wait; returns the messages that wait, each with its sender's key.

        The first message of a new connection is the last of a batch: so it can be answered on the same connection,
        although others connect with the same key (several workers of one user enrol at once).

        Raises:
            LinkError: the link is closed.
        """
        received = []
        with translated("can't receive"):
            self._allowed.serve()
            for frames in waiting(self._socket, BATCH):
                key = str(frames[-1].get("User-Id"))
                if key not in self._allowed:
                    continue
                is_new = self._learn(key, frames[0].bytes)
                if is_new:
                    self._addresses[key] = str(frames[-1].get("Peer-Address"))
                message = _read(frames[1:])
                if message is None:
                    self.damaged += 1
                else:
                    received.append((key, message))
                if is_new:
                    break
        return received

    def send(self, key: str, message: Message) -> bool:
        """Send to the connection of the latest message from `key`; False when there is none, or too much waits."""
        if key not in self._routes:
            return False
        try:
            self._socket.send_multipart([self._routes[key], encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError:  # the peer has gone, its queue is full, or the link is closed
            return False
        return True

    def close(self) -> None:
        """Send what waits, for a moment, and close."""
        _close(self._context, self._socket, self._allowed.socket)

    def _make_socket(self, keys: KeyPair) -> Socket:
        made = make_socket(self._context, zmq.ROUTER, keys)
        made.setsockopt(zmq.CURVE_SERVER, 1)
        made.setsockopt(zmq.ZAP_DOMAIN, b"flowmesh")
        made.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # deny every peer if the allowlist does not run
        made.setsockopt(zmq.ROUTER_MANDATORY, 1)  # sending to an absent peer fails instead of losing the message
        made.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        return made

    def _learn(self, key: str, routing_id: bytes) -> bool:
        """Note that `key` is at `routing_id`; returns whether that is news.

        libzmq ignores a routing id that a living connection has (no ROUTER_HANDOVER): if another key had this one,
        that key's connection has gone, and what is meant for it must not go to the peer that took its id.
        """
        if self._routes.get(key) == routing_id:
            return False
        self._keys.pop(self._routes.get(key, b""), None)
        self._routes.pop(self._keys.get(routing_id, ""), None)
        self._routes[key], self._keys[routing_id] = routing_id, key
        return True


class WorkerLink:
    """A worker's end: it dials the Manager whose public key is `server_key`, and dials again whenever it is cut off.

    What is sent while there is no connection waits for the next one. libzmq gives up a Manager that
    does not allow the key: it is not dialled again, and what is sent waits in vain; see `outlook`.

    Attributes:
        host: as given.
        damaged: how many messages could not be read.

    Raises:
        LinkError: the address or a key can't be one.
    """

    def __init__(self, host: str, port: int, server_key: str, keys: KeyPair) -> None:
        self.host = host
        self.damaged = 0
        self._context = Context()
        try:
            self._socket = make_socket(self._context, zmq.DEALER, keys)
            self._watch = SocketMonitor(self._socket)
            with translated(f"can't dial {host}:{port} with the key {server_key!r}"):
                self._socket.setsockopt(zmq.CURVE_SERVERKEY, server_key.encode())
                self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)  # ms: to spare an absent Manager
                self._socket.connect(endpoint(host, port))  # IMMEDIATE stays 0: it lets messages wait
        except BaseException:
            self._context.destroy(linger=0)
            raise

    @property
    def outlook(self) -> DialOutcome:
        """The state of dialling."""
        return self._watch.outlook if self._socket.closed else self._watch.read()

    @property
    def sockets(self) -> tuple[Socket, Socket]:
        """One of them is readable when `receive` or `outlook` has news."""
        return self._socket, self._watch.socket

    def wait(self, fds: Iterable[int], timeout: float | None) -> set[int]:
        """As ManagerLink.wait; it ends also when `outlook` may have changed."""
        return wait(self.sockets, fds, timeout)

    def receive(self) -> list[AnyMessage]:
        """The messages that wait.

        Raises:
            LinkError: the link is closed.
        """
        with translated("can't receive"):
            received = [_read(frames) for frames in waiting(self._socket, BATCH)]
            self._watch.read()
        messages = [message for message in received if message is not None]
        self.damaged += len(received) - len(messages)
        return messages

    def send(self, message: Message) -> bool:
        """Send, or queue until there is a connection; False when 1000 wait already, or it is larger than LARGEST."""
        data = encode(message)
        if len(data) > LARGEST:  # the Manager would cut the connection for it
            return False
        try:
            self._socket.send(data, zmq.NOBLOCK)
        except zmq.ZMQError:  # its queue is full, or the link is closed
            return False
        return True

    def close(self) -> None:
        """Send what waits, for a moment, and close."""
        self._watch.close()
        _close(self._context, self._socket)


def _read(frames: list[zmq.Frame]) -> AnyMessage | None:
    """The message in the one frame that there should be; None when it can't be read."""
    if len(frames) != 1:
        return None
    try:
        return decode(frames[0].buffer)
    except LinkError:
        return None


def _close(context: Context, *sockets: Socket) -> None:
    for each in sockets:
        each.close()
    context.term()
