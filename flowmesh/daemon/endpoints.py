"""Channel ends on their way to the nodes, also between two workers of one host.

Another worker passes an end to our abstract AF_UNIX address, with the nonce that the Manager gave to both; the kernel
identifies the process, and only our own user's are accepted.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct

from ..channel.message_socket import MessageSocket, close_all
from ..channel.packet_socket import PeerGone, pair
from ..channel.ring import make_ring
from ..errors import WorkerError

_MOST_UNCLAIMED = 4096
_MOST_CALLERS = 256  # that have connected and said nothing yet
_MOST_ACCEPTED = 64  # in one turn of the daemon's loop


class Endpoints:
    """The channel ends that are here: {(edge, side): descriptors}, the side being "in" or "out". The first descriptor
    is the socket; after it comes, on a lossy edge's "out", a duplicate of the consumer's, or the ring's if there is
    one."""

    def __init__(self) -> None:
        self.address = f"flowmesh/{os.getuid()}/worker-{secrets.token_hex(8)}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind("\0" + self.address)
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._callers: list[MessageSocket] = []
        self._unclaimed: dict[str, list[int]] = {}
        self._expected: dict[str, int] = {}
        self._here: dict[tuple[int, str], list[int]] = {}

    def descriptors(self) -> list[int]:
        """The file descriptors to wait for."""
        return [self._listener.fileno(), *(caller.fileno() for caller in self._callers)]

    def make(self, edge: int, *, lossy: bool, ring: bool = False) -> list[int]:
        """Create a channel; keeps the source's end, returns the target's."""
        ours, theirs = pair()
        close_all(self._here.pop((edge, "out"), []))  # of a gateway that died before the node got it
        self._here[edge, "out"] = [ours]
        if lossy:
            self._here[edge, "out"].append(os.dup(theirs))
        if not ring:
            return [theirs]
        shared = make_ring()
        self._here[edge, "out"].append(shared)
        return [theirs, os.dup(shared)]

    def keep(self, edge: int, descriptors: list[int]) -> None:
        """Keep the target's end of an edge."""
        close_all(self._here.pop((edge, "in"), []))
        self._here[edge, "in"] = descriptors

    def hand_over(self, address: str, nonce: str, descriptors: list[int]) -> None:
        """Pass the target's end to another worker of this host.

        Raises:
            WorkerError: it is not there.
        """
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            caller.settimeout(2.0)
            caller.connect("\0" + address)
            pipe = MessageSocket(caller.detach())
            pipe.send(nonce.encode(), descriptors)
            pipe.flush(within=2.0)
            pipe.close()
        except OSError as error:
            raise WorkerError(f"the other worker of this host can't be reached: {error}") from error
        finally:
            caller.close()
            close_all(descriptors)

    def expect(self, edge: int, nonce: str) -> list[int]:
        """Expect the end of this edge from another worker; returns [edge] if it is here already."""
        if nonce in self._unclaimed:
            self.keep(edge, self._unclaimed.pop(nonce))
            return [edge]
        self._expected[nonce] = edge
        return []

    def arrivals(self) -> list[int]:
        """Accept the ends that other workers pass; returns their edges."""
        self._accept()
        edges: list[int] = []
        for caller in list(self._callers):
            try:
                received = caller.receive()
            except PeerGone:
                received = (b"", [])
            if received is None:
                continue
            self._callers.remove(caller)
            caller.close()
            edges += self._sort(received[0].decode(errors="replace"), received[1])
        return edges

    def _accept(self) -> None:
        for _ in range(_MOST_ACCEPTED):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody waits, or no descriptor is left: they are accepted when there is one
                return
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            if struct.unpack("3i", credentials)[1] == os.getuid() and len(self._callers) < _MOST_CALLERS:
                self._callers.append(MessageSocket(connection.detach()))
            else:
                connection.close()

    def _sort(self, nonce: str, descriptors: list[int]) -> list[int]:
        if descriptors and nonce in self._expected:
            edge = self._expected.pop(nonce)
            self.keep(edge, descriptors)
            return [edge]
        if descriptors and len(self._unclaimed) < _MOST_UNCLAIMED:
            self._unclaimed[nonce] = descriptors
        else:
            close_all(descriptors)
        return []

    def take(self, inputs: list[int], outputs: list[int]) -> list[int]:
        """Take the ends of a node, in the order in which it expects them; the caller closes them."""
        keys = [(edge, "in") for edge in inputs] + [(edge, "out") for edge in outputs]
        return [descriptor for key in keys for descriptor in self._here.pop(key)]

    def clear(self) -> None:
        """Forget the last graph's ends; those that came early for the next one stay."""
        for descriptors in self._here.values():
            close_all(descriptors)
        self._here.clear()
        self._expected.clear()

    def close(self) -> None:
        self.clear()
        for descriptors in self._unclaimed.values():
            close_all(descriptors)
        for caller in self._callers:
            caller.close()
        self._listener.close()
