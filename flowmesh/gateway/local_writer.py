"""One consumer of a transfer on its target's host: the producer's end of its channel, and what it had of an earlier link."""

from __future__ import annotations

from collections.abc import Sequence

from ..channel.packet_socket import PacketSocket, PeerGone
from ..edges.output_edge import OutputEdge
from ..wire import packets


class LocalWriter:
    """One consumer's edge. `arrived`: what it has of an earlier link; None as long as that is not known."""

    def __init__(self, edge: OutputEdge, ends: Sequence[PacketSocket], arrived: int | None) -> None:
        self.edge = edge
        self.arrived = arrived
        self.over = False  # whether the channel was closed
        self._ends = ends

    def listen(self) -> None:
        """The consumer has said something."""
        if self.over:  # since it was waited for
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
