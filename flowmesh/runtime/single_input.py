"""The input of a node that has a single one and sends no watermarks, as most nodes. Nothing is joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..chunk import DataChunk
from ..edges.input_edge import InputEdge, ReceivedChunk
from ..wire import packets
from ..wire.packets import Chunk, Origins
from ..wire.plan_specs import NodeSpec
from .inputs import Inputs


class SingleInput(Inputs):
    """A single input: each chunk makes a step. A chunk without a slot waits as its packet."""

    def __init__(
        self, node: NodeSpec, edge: InputEdge, paused: Callable[[int, int], None], ended: Callable[[int], None]
    ) -> None:
        super().__init__(node, [edge], paused, ended)
        self.triggering = 0
        self._edge = edge
        self._queue: deque[Chunk | ReceivedChunk] = deque()

    @classmethod
    def suits(cls, node: NodeSpec, edges: list[InputEdge]) -> bool:
        """Whether the node fits this class."""
        return len(edges) == 1 and not node.sends_watermarks and not node.pairing_outputs

    @property
    def finished(self) -> bool:
        return not self._queue and self._join.finished

    def next_step(self) -> dict[str, DataChunk] | None:
        if not self._queue:
            return None
        item = self._queue.popleft()
        edge = self._edge
        if type(item) is Chunk:
            self.trigger = item
            data = {edge.peer: edge.open(item, item.payload)}
            edge.taken(item.number, False)
        else:
            assert isinstance(item, ReceivedChunk)
            self.trigger = item.chunk
            data = {edge.peer: item.open()}
            edge.taken(item.chunk.number, True)
        return data

    def make_room(self) -> None:
        edge = self._edge
        while edge.has_too_many(len(self._queue), for_partners=False):
            self._drop_oldest(edge.overtaken)

    @property
    def origin(self) -> Origins:
        chunk = self.trigger
        return chunk.origin or {self._edge.sender: (chunk.number, chunk.created + chunk.offset)}

    def account(self) -> None:
        self._edge.account(len(self._queue))

    def close(self, reason: str) -> None:
        while self._queue:
            self._drop_oldest(reason)
        super().close(reason)

    def _drop_oldest(self, reason: str) -> None:
        item = self._queue.popleft()
        self._edge.dropped(item.number if isinstance(item, Chunk) else item.chunk.number, reason)

    def _handle(self, index: int, edge: InputEdge, packet: packets.Packet) -> None:
        if not isinstance(packet, packets.CHUNKS):
            super()._handle(index, edge, packet)
        elif self._closed_as is not None:
            edge.intake.record_arrival(packet.number)
            edge.dropped(packet.number, self._closed_as)
        elif type(packet) is Chunk and not packet.arena:
            edge.intake.record_arrival(packet.number)
            self._queue.append(packet)
        else:
            self._queue.append(edge.arrived(packet))
