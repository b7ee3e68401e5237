"""The gateway's end of a consumer's channel, and the position that the consumer had with an earlier gateway."""

from __future__ import annotations

from collections.abc import Sequence

from ..channel.packet_socket import PacketSocket, PeerGone
from ..edges.output_edge import OutputEdge
from ..wire import packets


class LocalWriter:
    """One consumer's edge. `arrived`: the last number from an earlier gateway; None while that is not known."""

    def __init__(self, edge: OutputEdge, ends: Sequence[PacketSocket], arrived: int | None) -> None:
        self.edge = edge
        self.arrived = arrived
        self.over = False  # whether the channel was closed
        self._ends = ends

    def listen(self) -> None:
        """Read what the consumer has sent."""
        if self.over:  # closed since the wait
            return
        edge = self.edge
        if self.arrived is None:
            try:
                self._learn(edge.end.receive())
            except PeerGone:
                self.arrived = 0
        if self.arrived is not None:
            edge.collect()
            edge.flush()

    def _learn(self, packet: bytes | None) -> None:
        if packet is not None and isinstance(resume := packets.decode(packet), packets.ResumeAfter):
            self.arrived = resume.arrived
            self.edge.window.sent = self.edge.window.taken = resume.arrived
            self.edge.flush()

    @property
    def living(self) -> bool:
        return not (self.edge.gone or self.edge.closed or self.over)

    def close(self) -> None:
        if not self.over:
            self.over = True
            for end in self._ends:
                end.close()
