"""The consumer's end of an edge from another host. At the other end is the gateway, which may die and be replaced: only
an END marker ends the edge, not the end of file.
"""

from __future__ import annotations

from ..channel.counters import CounterPage
from ..channel.packet_socket import PacketSocket, PeerGone
from ..wire import packets
from ..wire.messages import EdgeEnd
from .input_edge import InputEdge, LeaseHolder


class RemoteInputEdge(InputEdge):
    """One such edge. It tells each new gateway what has arrived, and skips duplicates."""

    def __init__(
        self,
        spec: EdgeEnd,
        names: tuple[str, ...],
        holder: LeaseHolder,
        end: PacketSocket,
        page: CounterPage,
        block: int,
    ) -> None:
        super().__init__(spec, names, holder, end, page, block)
        self.spec = spec
        self._read: list[packets.Packet] = []  # from a channel that was replaced
        self._newest = 0  # the last number that was read
        self._closed = False
        self._unsaid = spec.restarted  # whether the gateway waits for the number that has arrived

    @property
    def wants_room(self) -> bool:
        return self._unsaid or super().wants_room

    def receive(self) -> list[packets.Packet]:
        received, self._read = self._read, []
        if received:
            return received
        try:
            received = super().receive()
        except PeerGone:
            self.gone = True
        return [packet for packet in received if self._is_new(packet)]

    def _is_new(self, packet: packets.Packet) -> bool:
        if not isinstance(packet, packets.CHUNKS):
            return True
        if self.lossless and packet.number <= self._newest:
            self._credit(self.intake.taken)
            return False
        self._newest = packet.number
        return True

    def rewire(self, end: PacketSocket) -> None:
        """Replace the channel by that to a new gateway. What the old one had sent is read first."""
        read, self._read = self._read, []
        while not self.gone and (received := self.receive()):
            read += received
        self._read = read
        self.end.close()
        self.end = end
        self.gone = False
        self._announced = None
        self._unsaid, self._closing = True, self._closed
        self.retry()

    def retry(self) -> None:
        if self._unsaid:
            self._unsaid = not self._send(packets.encode(packets.ResumeAfter(self._newest)))
        super().retry()

    def close(self) -> None:
        self._closed = True
        super().close()
