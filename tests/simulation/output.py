"""The output of a simulated node: the real keeping, over the world's edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowmesh.control.recovery.retransmit import LatestSender, ReliableSender

from .graphs import Chunk, Edge, Node
from .world import Broken, Message

if TYPE_CHECKING:
    from .simulation import Simulation

Outlet = ReliableSender[Chunk | None] | LatestSender[Chunk | None]


class Output:
    """What one incarnation of a node sends. None stands for the end of the stream."""

    def __init__(self, world: Simulation, node: Node) -> None:
        self.world = world
        self.node = node
        rules, page = world.rules, node.page
        lossless = [index for index, edge in enumerate(node.outs) if edge.lossless]
        self.keeping = rules.keeping(lossless, node.cap, page.next, dict(page.mark))
        self.outlets: list[Outlet] = [
            rules.kept_edge(index, self.keeping, edge.depth, edge.depth)
            if edge.lossless
            else LatestSender(node.newest if rules.newest_outlives else None)
            for index, edge in enumerate(node.outs)
        ]

    @property
    def all_closed(self) -> bool:
        return all(outlet.closed for outlet in self.outlets)

    @property
    def can_be_read(self) -> bool:
        """Whether a consumer has said something."""
        return any(edge.up.can_be_read for edge in self.node.outs)

    def is_full(self) -> bool:
        return not self.keeping.has_room

    def is_held_back(self) -> bool:
        return any(isinstance(outlet, ReliableSender) and outlet.held_back for outlet in self.outlets)

    def offer(self, chunk: Chunk) -> None:
        """Send a chunk that was given, as far as that goes."""
        for edge, outlet in zip(self.node.outs, self.outlets, strict=True):
            if outlet.closed:
                edge.met(chunk.number, "after_end")
            elif isinstance(outlet, LatestSender):
                self.node.newest = max(self.node.newest or (0, None), (chunk.number, chunk))
                if dropped := outlet.replace_newest(chunk.number, chunk):
                    edge.met(dropped, "superseded")
        self.flush()

    def end(self) -> None:
        """Give the end; it is not sent yet."""
        number = self.keeping.keep_end(None)
        for outlet in self.outlets:
            if isinstance(outlet, LatestSender):
                outlet.replace_with_end(number, None)

    def receive(self) -> None:
        """What consumers say: connections, reports, credit."""
        for edge, outlet in zip(self.node.outs, self.outlets, strict=True):
            while (message := edge.up.receive()) is not None:
                self._heard(edge, outlet, message)

    def flush(self) -> None:
        for edge, outlet in zip(self.node.outs, self.outlets, strict=True):
            while (due := outlet.next_due()) is not None:
                number, chunk = due
                if isinstance(outlet, LatestSender) and chunk is not None:
                    self._make_room(edge)
                assert outlet.connection is not None
                gone = edge.down.send(outlet.connection, "end" if chunk is None else "chunk", chunk or number)
                if not gone and not edge.lossless and chunk is not None:
                    edge.lost.add(number)
                outlet.sent(number)
            if isinstance(outlet, ReliableSender) and (mark := outlet.watermark_due()) is not None:
                assert outlet.connection is not None
                edge.down.send(outlet.connection, "mark", mark)

    def _make_room(self, edge: Edge) -> None:
        """A lossy edge: take out the oldest that the consumer has not read."""
        waiting = [message for message in edge.down.messages if message.kind == "chunk"]
        for message in waiting[: max(0, len(waiting) - edge.depth + 1)]:
            edge.down.take_out(message)
            if message.connection == edge.connection:
                edge.met(message.body.number, "superseded")
            else:
                edge.lost.add(message.body.number)

    def _heard(self, edge: Edge, outlet: ReliableSender[Any] | LatestSender[Any], message: Message) -> None:
        if message.kind == "connected":
            outlet.connected(message.connection)
            return
        fresh = message.connection == edge.connection
        gone: list[int] = []
        if message.kind == "report":
            gone = outlet.position_reported(message.connection, message.body) or []
            if outlet.closed and message.body.closed:
                self.world.closed(edge, message.body.last)
        elif isinstance(outlet, ReliableSender):
            gone = outlet.credit_received(message.connection, *message.body)
        if gone and not fresh and outlet.connection == edge.connection:
            raise Broken(f"{edge}: {message} of another connection was believed")
