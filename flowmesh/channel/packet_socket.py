"""Packet sockets: one AF_UNIX/SOCK_SEQPACKET pair per edge. They never block, and packets are opaque bytes.

Packets keep their borders; the peer's death is an end of file; what was sent before it can still be read.
"""

from __future__ import annotations

import array
import socket
from collections.abc import Sequence

_MOST_DESCRIPTORS = 3
LARGEST = 192 * 1024  # the kernel's default socket buffer refuses more than 208 kB
# One for all ends of the process: a fresh one of this size for each packet costs ten times the call itself. A packet is
# copied out at once, so that the ends must only not be read from two threads at the same time.
_buffer = memoryview(bytearray(LARGEST))


class PeerGone(Exception):
    """The process at the other end has closed it or died, and nothing is left to read."""


class PacketSocket:
    """One end of a channel. At most five methods, so that another kind of channel can have the same."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=descriptor)
        self._socket.setblocking(False)
        self._send = self._socket.send
        self._recv = self._socket.recv_into

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, packet: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Send a packet, with file descriptors if given; False when the kernel has no room now.

        Raises:
            PeerGone: the peer has gone.
        """
        try:
            if descriptors:
                self._socket.sendmsg([packet], [_rights(descriptors)])
            else:
                self._send(packet)
            return True
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError) as error:
            raise PeerGone from error

    def receive(self) -> bytes | None:
        """The next packet, or None when none waits.

        Raises:
            PeerGone: the peer has gone and all that it sent was read.
        """
        try:
            size = self._recv(_buffer)
        except BlockingIOError:
            return None
        except ConnectionResetError:  # raised once, before what still waits: the peer left without reading all of ours
            return self.receive()
        if not size:
            raise PeerGone
        return bytes(_buffer[:size])

    def receive_with_descriptors(self) -> tuple[bytes, list[int]] | None:
        """The next packet and the file descriptors that it carries, which are the caller's; None when none waits.

        Raises:
            PeerGone: as `receive`.
        """
        numbers = array.array("i")
        try:
            space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * numbers.itemsize)
            size, rights, _, _ = self._socket.recvmsg_into([_buffer], space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return self.receive_with_descriptors()
        if not size:
            raise PeerGone
        for _, kind, data in rights:
            if kind == socket.SCM_RIGHTS:
                numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
        return bytes(_buffer[:size]), list(numbers)

    def close(self) -> None:
        self._socket.close()


def pair() -> tuple[int, int]:
    """The file descriptors of a new channel's two ends, of the same kind."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return one.detach(), other.detach()


def _rights(descriptors: Sequence[int]) -> tuple[int, int, array.array[int]]:
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)
