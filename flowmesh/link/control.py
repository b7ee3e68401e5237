"""The control link: ROUTER at the Manager, DEALER at a worker, CURVE always. A peer is the key that it proved to hold.

Neither end blocks but in `wait`. Messages that can't be read are counted and ignored.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable

import zmq

from ..errors import LinkError
from ..wire.messages import AnyMessage, Enrol, Enrolment, Message, decode, encode
from .allowlist import AllowList
from .keys import KeyPair

DEFAULT_PORT = 9000
_PORTS = 100  # tried from the default on
_LARGEST = 1 << 28  # bytes a message: code and data files of a graph may be 64 MiB
_BATCH = 1000  # messages taken before the clock is looked at again
_FLUSH = 500  # milliseconds that a closing link gets to send what waits


class _Link:
    """What both ends share: one socket, one poller for it and for other descriptors."""

    def __init__(self, kind: int) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(kind)
        self.damaged = 0
        for option, value in (
            (zmq.LINGER, _FLUSH),
            (zmq.HEARTBEAT_IVL, 500),
            (zmq.HEARTBEAT_TIMEOUT, 1500),
            (zmq.HEARTBEAT_TTL, 1500),
            (zmq.MAXMSGSIZE, _LARGEST),
            (zmq.SNDHWM, 0),  # a link that is down must not lose a message without a word
        ):
            self._socket.setsockopt(option, value)

    def _wait(self, sockets: list[zmq.Socket[bytes]], descriptors: Iterable[int], timeout: float | None) -> set[int]:
        poller = zmq.Poller()
        for waited in (*sockets, *descriptors):
            poller.register(waited, zmq.POLLIN)
        milliseconds = None if timeout is None else -(-timeout * 1000 // 1)
        return {ready for ready, _ in poller.poll(milliseconds) if isinstance(ready, int)}

    def _decoded(self, data: bytes) -> AnyMessage | None:
        try:
            return decode(data)
        except LinkError:
            self.damaged += 1
            return None

    def close(self) -> None:
        """Close; what waits gets half a second to leave. Twice does no harm."""
        if not self._context.closed:
            self._socket.close()
            self._context.term()


class ManagerLink(_Link):
    """The Manager's end.

    Args:
        port: a port that must be free; None takes 9000 or the next free one.

    Raises:
        LinkError: the port is taken, or the host is not an address of this machine.
    """

    def __init__(self, host: str, port: int | None, keys: KeyPair) -> None:
        super().__init__(zmq.ROUTER)
        self._allowed = AllowList(self._context)  # before anything binds
        self._routes: dict[str, bytes] = {}
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.CURVE_SERVER, 1)
        self._socket.setsockopt(zmq.ZAP_DOMAIN, b"flowmesh")
        self._socket.curve_publickey = keys.public.encode()
        self._socket.curve_secretkey = keys.secret.encode()
        self.host = host
        try:
            self.port = self._bind(host, port)
        except BaseException:
            self.close()
            raise

    def _bind(self, host: str, port: int | None) -> int:
        ports = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + _PORTS), 0]
        for tried in ports:
            try:
                self._socket.bind(f"tcp://{host}:{tried or '*'}")
            except zmq.ZMQError as error:
                if error.errno != errno.EADDRINUSE:
                    raise LinkError(f"can't listen at {host}:{tried}: {error}; is it an address of this machine?") from error
                continue
            return int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        raise LinkError(f"port {port} of {host} is in use: choose another, or leave port out to get a free one")

    def allow(self, key: str) -> None:
        """Let the holder of this key in."""
        self._allowed.allow(key)

    def revoke(self, key: str) -> None:
        """Let it in no more, and listen to it no more, at once."""
        self._allowed.revoke(key)
        self._routes.pop(key, None)

    def wait(self, descriptors: Iterable[int], timeout: float | None) -> set[int]:
        """Block until a message or handshake comes, or a descriptor is readable; those that are."""
        return self._wait([self._socket, self._allowed.socket], descriptors, timeout)

    def receive(self) -> list[tuple[str, AnyMessage]]:
        """The messages that wait, each with the key of who sent it."""
        received: list[tuple[str, AnyMessage]] = []
        for _ in range(_BATCH):
            self._allowed.serve()
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            key = _user(frames[-1])
            if key not in self._allowed or len(frames) != 2:
                continue
            message = self._decoded(frames[1].bytes)
            if message is not None:
                self._routes[key] = frames[0].bytes
                received.append((key, message))
        return received

    def send(self, key: str, message: Message) -> bool:
        """Send to the holder of a key; False when it is not connected."""
        route = self._routes.get(key)
        if route is None:
            return False
        try:
            self._socket.send_multipart([route, encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError:  # it has gone; that its heartbeats cease is noticed elsewhere
            return False
        return True

    def close(self) -> None:
        """Close; what waits gets half a second to leave. Twice does no harm."""
        if not self._context.closed:
            self._allowed.close()
        super().close()


class WorkerLink(_Link):
    """A worker's end. What is sent before the connection stands waits for it."""

    def __init__(self, host: str, port: int, server_key: str, keys: KeyPair) -> None:
        super().__init__(zmq.DEALER)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        self._socket.curve_serverkey = server_key.encode()
        self._socket.curve_publickey = keys.public.encode()
        self._socket.curve_secretkey = keys.secret.encode()
        try:
            self._socket.connect(f"tcp://{host}:{port}")
        except zmq.ZMQError as error:
            self.close()
            raise LinkError(f"{host}:{port} is no address that can be reached: {error}") from error

    def wait(self, descriptors: Iterable[int], timeout: float | None) -> set[int]:
        """Block until a message comes or a descriptor is readable; those that are."""
        return self._wait([self._socket], descriptors, timeout)

    def receive(self) -> list[AnyMessage]:
        """The messages that wait."""
        received: list[AnyMessage] = []
        for _ in range(_BATCH):
            try:
                data = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            message = self._decoded(data)
            if message is not None:
                received.append(message)
        return received

    def send(self, message: Message) -> bool:
        """Send, or queue until the Manager can be reached; whether that was possible."""
        try:
            self._socket.send(encode(message), zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True


def enrol(
    host: str,
    port: int,
    server_key: str,
    token: KeyPair,
    own: KeyPair,
    timeout: float,
    wait_on: int | None = None,
) -> WorkerLink:
    """Hand in a key of one's own with a token's, and dial again with it.

    Args:
        timeout: seconds within which the Manager must answer.
        wait_on: a descriptor that becomes readable when nobody needs the link any more.

    Raises:
        LinkError: nobody answers there, or the token's key is refused.
    """
    deadline = time.monotonic() + timeout
    link = WorkerLink(host, port, server_key, token)
    try:
        link.send(Enrol(own.public))
        while (left := deadline - time.monotonic()) > 0:
            if link.wait([] if wait_on is None else [wait_on], left):
                raise LinkError("nobody waits for this worker any more")
            if any(isinstance(message, Enrolment) for message in link.receive()):
                return WorkerLink(host, port, server_key, own)
    finally:
        link.close()
    raise LinkError(
        f"no Manager answered at {host}:{port} within {timeout:g} s: is it running there, under the same user? "
        "(A Manager that does not know the key does not answer either.)"
    )


def _user(frame: zmq.Frame) -> str:
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
