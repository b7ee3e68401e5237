"""Common parts of links: socket options, addresses, waiting, and translation of zmq errors. No message is decoded."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import zmq

from ..errors import LinkError
from ..security.keys import KeyPair

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]

LINGER = 300  # ms to send what waits at closing: a last message needs one round, a dead peer must not delay us
HEARTBEAT = 500  # ms; without heartbeats a cut network is never noticed
SILENCE = 1500  # ms without any sign after which the other end is dead: three missing heartbeats
LONGEST_WAIT = 1e6  # seconds: poll counts milliseconds in 32 bits


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise zmq's errors as a LinkError that says what was being done."""
    try:
        yield
    except (zmq.ZMQError, UnicodeError) as error:  # a key or a host may be any typed text
        raise LinkError(f"{doing}: {error}") from error


def make_socket(context: Context, kind: int, keys: KeyPair) -> Socket:
    """A socket of `kind` that speaks with `keys` and notices a dead peer.

    Raises:
        LinkError: `keys` are no key pair.
    """
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, LINGER)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE)
    socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE)
    # No limit to what waits to be read: libzmq 4.3.5 aborts the process when a heartbeat falls due on a connection that
    # has broken while its input was held up (https://github.com/zeromq/libzmq/issues/4767).
    socket.setsockopt(zmq.RCVHWM, 0)
    with translated("these keys are no CURVE key pair"):
        socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
    return socket


def listen(socket: Socket, host: str, ports: Iterable[int]) -> int:
    """Bind to the first of `ports` that is free, and return it; 0 is any free one.

    Raises:
        LinkError: none of them is free, or `host` is no address of this machine.
    """
    *others, last = ports
    for port in others:
        try:
            return _bind(socket, host, port)
        except LinkError as error:
            if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE:
                raise  # no other port would do either
    return _bind(socket, host, last)


def _bind(socket: Socket, host: str, port: int) -> int:
    advice = (
        "give an address of this machine (0.0.0.0: all that it has) and another port, or none for the next free one"
    )
    with translated(f"can't listen at {host}:{port} ({advice})"):
        socket.bind(endpoint(host, port))
        return int(socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def endpoint(host: str, port: int) -> str:
    """The address in zmq's notation.

    Raises:
        LinkError: `port` is none.
    """
    if not 0 <= port <= 65535:  # libzmq would take it modulo 65536
        raise LinkError(f"{host}:{port} is no address: a port is a number up to 65535")
    return f"tcp://{host}:{port}"


def wait(sockets: Sequence[Socket], fds: Iterable[int], timeout: float | None) -> set[int]:
    """Block until a socket or a file descriptor can be read, or `timeout` seconds have passed; None waits without a
    limit.

    Returns:
        The file descriptors that are ready: readable, at their end, or broken.

    Raises:
        LinkError: a socket is closed.
    """
    if any(socket.closed for socket in sockets):  # libzmq would poll standard input instead
        raise LinkError("the link is closed")
    poller = zmq.Poller()
    for item in (*sockets, *fds):
        poller.register(item, zmq.POLLIN)
    with translated("can't wait for messages"):
        return {item for item, _ in poller.poll(milliseconds(timeout)) if isinstance(item, int)}


def milliseconds(timeout: float | None) -> int | None:
    """Seconds in whole milliseconds, for a poll: rounded up, or it would return too early; None for no limit."""
    return None if timeout is None else math.ceil(min(max(timeout, 0.0), LONGEST_WAIT) * 1000)


def waiting(socket: Socket, most: int) -> Iterator[list[zmq.Frame]]:
    """The messages that wait at `socket`, as frames; at most `most`, so that a flood can't hold the reader."""
    for _ in range(most):
        try:
            yield socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return
