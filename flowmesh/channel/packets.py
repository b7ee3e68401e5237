"""One end of a socket channel: an AF_UNIX/SOCK_SEQPACKET pair an edge. It never blocks, and does not know what it carries.

Packets keep their borders; the peer's death is an end of file; what was sent before it can still be read.
"""

from __future__ import annotations

import array
import socket

LARGEST = 192 * 1024  # the kernel's default socket buffer refuses more than 208 kB


class PeerGone(Exception):
    """The process at the other end has closed it or died, and nothing is left to read."""


class End:
    """One end of a channel. At most five methods: another kind of channel fits in by having the same."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=descriptor)
        self._socket.setblocking(False)
        self._send = self._socket.send
        self._recv = self._socket.recv

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, packet: bytes, descriptor: int | None = None) -> bool:
        """Send a packet, with a file descriptor if given; False when the kernel has no room now.

        Raises:
            PeerGone: nobody will read it.
        """
        try:
            if descriptor is None:
                self._send(packet)
            else:
                self._socket.sendmsg([packet], [_rights(descriptor)])
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
            packet = self._recv(LARGEST)
        except BlockingIOError:
            return None
        except ConnectionResetError:  # said once, before what still waits: the peer left without reading all of ours
            return self.receive()
        if not packet:
            raise PeerGone
        return packet

    def receive_descriptor(self) -> tuple[bytes, int] | None:
        """The next packet and the file descriptor that it carries, -1 if it carries none; None when none waits.

        Raises:
            PeerGone: as `receive`.
        """
        size = array.array("i").itemsize
        try:
            packet, rights, _, _ = self._socket.recvmsg(LARGEST, socket.CMSG_LEN(size), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return self.receive_descriptor()
        if not packet:
            raise PeerGone
        for _, kind, data in rights:
            if kind == socket.SCM_RIGHTS:
                return packet, array.array("i", data[:size])[0]
        return packet, -1

    def close(self) -> None:
        self._socket.close()


def pair() -> tuple[int, int]:
    """The file descriptors of a new channel's two ends, equal in kind."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return one.detach(), other.detach()


def _rights(*descriptors: int) -> tuple[int, int, array.array[int]]:
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)
