"""What a node receives: the chunks of all its in-edges, joined into the data of one step."""

from __future__ import annotations

from collections.abc import Callable

from ..channel.packets import PeerGone
from ..chunk import DataChunk
from ..control.joins import Join
from ..wire import framing
from .inedge import Arrived, InEdge

_BATCH = 64  # packets taken from one edge before the others are looked at


class Inputs:
    """All inputs of a node. `paused(place, turn)` and `ended(place)` are called for the marks that come."""

    def __init__(
        self,
        edges: list[InEdge],
        join: Join[Arrived],
        paused: Callable[[int, int], None],
        ended: Callable[[int], None],
    ) -> None:
        self.edges = edges
        self._join = join
        self._paused = paused
        self._ended = ended
        self._closed_as: str | None = None

    @property
    def over(self) -> bool:
        """Whether no step will ever come again."""
        return self._join.over

    def take(self) -> tuple[dict[str, DataChunk], int, int, framing.Chunk] | None:
        """The next step's data by sender; the place of the triggering edge, its sender's output, the chunk that triggers."""
        taken = self._join.take()
        if taken is None:
            return None
        place, items = taken
        data = {}
        for where, item in items.items():
            edge = self.edges[where]
            number = item.chunk.number
            data[edge.peer] = item.open()
            if where == place or number > edge.intake.taken:
                edge.taken(number, item.shared)
        return data, place, self.edges[place].sender, items[place].chunk

    def receive(self) -> bool:
        """Take what has arrived, without waiting; whether anything had."""
        anything = False
        for place, edge in enumerate(self.edges):
            if edge.gone:
                continue
            limit = _BATCH if edge.lossless else 1
            try:
                while limit and (packet := edge.receive()) is not None:
                    limit -= 1
                    anything = True
                    self._handle(place, edge, packet)
            except PeerGone:
                edge.gone = True
                anything = True
                self._end(place)
        return anything

    def retry(self) -> None:
        """Give the credit for which the kernel had no room."""
        for edge in self.edges:
            edge.retry()

    def close(self, reason: str) -> None:
        """Take no more: what waits and what will come is dropped, counted under the reason."""
        if self._closed_as is not None:
            return
        self._closed_as = reason
        for place, item in self._join.rest():
            self.edges[place].taken(item.chunk.number, True, reason)
        for edge in self.edges:
            edge.close()

    def _handle(self, place: int, edge: InEdge, packet: framing.Packet) -> None:
        if isinstance(packet, framing.CHUNKS):
            item = edge.arrived(packet)
            if self._closed_as is not None:
                edge.taken(item.chunk.number, True, self._closed_as)
                return
            dropped = self._join.put(place, item)
            if dropped is not None:
                where, old, reason = dropped
                self.edges[where].taken(old.chunk.number, True, reason)
        elif isinstance(packet, framing.Mark):
            if packet.kind == framing.END:
                self._end(place)
            elif packet.kind == framing.PAUSE:
                self._paused(place, packet.number)

    def send_up(self, reader: int, descriptor: int) -> None:
        """A node further down may read what comes from any of our producers: tell them all."""
        for edge in self.edges:
            edge.send_up(reader, descriptor)

    def _end(self, place: int) -> None:
        self._join.end(place)
        self._ended(place)
