"""What both ends of a link have in common: options, waiting, and how zmq's errors become ours. No message is read here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import zmq

from ..errors import LinkError
from .keys import KeyPair

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]

LINGER = 300  # ms that closing may take to send what waits: a last word needs one round, a dead peer must not hold us
HEARTBEAT = 500  # ms; without heartbeats a cut network is never noticed
SILENCE = 1500  # ms without any sign after which a peer is dead: three missing heartbeats
LONGEST_WAIT = 1e6  # seconds: poll counts milliseconds in 32 bits


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what zmq raises as a LinkError that says what was being done."""
    try:
        yield
    except (zmq.ZMQError, ValueError, TypeError) as error:  # pyzmq refuses some keys and addresses by itself
        raise LinkError(f"{doing}: {error}") from error


def make_socket(context: Context, kind: int, keys: KeyPair) -> Socket:
    """A socket of `kind` that speaks with `keys` and notices a dead peer."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, LINGER)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE)
    socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
    return socket


def wait(sockets: Sequence[Socket], fds: Iterable[int], timeout: float | None) -> set[int]:
    """Block until a socket or a file descriptor can be read, or `timeout` seconds have passed; None waits for ever.

    Returns:
        The file descriptors that are ready: readable, at their end, or broken.

    Raises:
        LinkError: a socket is closed.
    """
    if any(socket.closed for socket in sockets):  # libzmq would poll standard input instead
        raise LinkError("the link is closed")
    milliseconds = -1 if timeout is None else math.ceil(min(max(timeout, 0.0), LONGEST_WAIT) * 1000)
    with translated("can't wait for messages"):
        ready = zmq.zmq_poll([(item, zmq.POLLIN) for item in (*sockets, *fds)], milliseconds)
    return {item for item, _ in ready if isinstance(item, int)}


def waiting(socket: Socket, most: int) -> Iterator[list[zmq.Frame]]:
    """The messages that wait at `socket`, as frames; at most `most`, so that a flood can't hold the reader.

    Raises:
        LinkError: the socket is closed.
    """
    with translated("can't receive"):
        for _ in range(most):
            try:
                yield socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
