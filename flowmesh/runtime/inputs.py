"""What a node receives: packets of all its in-edges, joined into the data of one step. Credit goes back from here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..channel.packets import End, PeerGone
from ..channel.page import REASON_CELL, Page
from ..channel.slots import ArenaView
from ..chunk import DataChunk, Stamp
from ..control.delivery import Intake
from ..control.joins import Join
from ..errors import ChunkError
from ..wire import framing, values
from ..wire.messages import EdgeEnd

_BATCH = 64  # packets taken from one edge before the others are looked at


class Arrived:
    """A chunk that waits, packed; it is opened when a step needs it, once. Called, it gives the chunk's stamp."""

    __slots__ = ("_memory", "_names", "_opened", "_sender", "chunk", "shared")

    def __init__(
        self, chunk: framing.Chunk, names: tuple[str, ...], sender: int, memory: memoryview | None, shared: bool
    ) -> None:
        self.chunk = chunk
        self.shared = shared  # whether the producer keeps a slot for it until credit is given
        self._names = names
        self._sender = sender
        self._memory = memory  # the payload in the slot, if it has any there
        self._opened: DataChunk | None = None

    def __call__(self) -> Stamp:
        return framing.stamp(self.chunk, self._names, self._sender)

    def open(self) -> DataChunk:
        """The user's DataChunk; copies the payload out of the slot, which the producer may then use again."""
        if self._opened is None:
            payload: bytes | memoryview = self.chunk.payload
            if self._memory is not None:
                payload = _private(self._memory)
                self._memory = None
            self._opened = DataChunk(values.unpack(self.chunk.records, payload), self)
        return self._opened


class InEdge:
    """One edge into the node."""

    def __init__(self, spec: EdgeEnd, names: tuple[str, ...], end: End, page: Page, block: int) -> None:
        self.peer = spec.peer
        self.sender = names.index(spec.peer)  # the index of the producer's output
        self._names = names
        self.end = end
        self.lossless = spec.policy == "lossless"
        self.intake = Intake(spec.depth, self.lossless)
        self.gone = False
        self._cells = page.cells
        self._block = block
        self._announced: framing.Announce | None = None
        self._views: dict[int, ArenaView] = {}
        self._owed = 0

    def receive(self) -> framing.Packet | None:
        """The next packet that is not about arenas; None when none waits.

        Raises:
            PeerGone, ChunkError
        """
        while self._map_announced() and (packet := self.end.receive()) is not None:
            message = framing.decode(packet)
            if not isinstance(message, framing.Announce):
                return message
            self._announced = message
        return None

    def _map_announced(self) -> bool:
        """Map the arena that was announced, if one was; whether nothing of it is still to come."""
        announced = self._announced
        if announced is None:
            return True
        carried = self.end.receive_descriptor()
        if carried is None:
            return False
        if carried[1] < 0:
            raise ChunkError("an arena was announced without its file")
        self._announced = None
        self._views[announced.arena] = ArenaView(carried[1], announced.slot_size, announced.slots)
        return True

    def arrived(self, packet: framing.Chunk | framing.Long) -> Arrived:
        """The chunk in a packet, its number checked."""
        self.intake.arrive(packet.number)
        if type(packet) is framing.Chunk:
            memory = self._view(packet.arena).memory(packet.slot, packet.size) if packet.arena else None
            return Arrived(packet, self._names, self.sender, memory, memory is not None)
        view = self._view(packet.arena).memory(packet.slot, packet.offset + packet.size)
        chunk = framing.decode(bytes(view[packet.offset :]))
        if not isinstance(chunk, framing.Chunk):
            raise ChunkError("a long packet does not hold a chunk")
        return Arrived(chunk, self._names, self.sender, view[: chunk.size] if chunk.arena else None, True)

    def _view(self, arena: int) -> ArenaView:
        try:
            return self._views[arena]
        except KeyError:
            raise ChunkError(f"a chunk names the arena {arena}, which was not announced") from None

    def taken(self, number: int, shared: bool, reason: str | None = None) -> None:
        """A chunk was taken into a step, or dropped for a reason; credit goes back when it is due."""
        self._cells[self._block + (0 if reason is None else REASON_CELL[reason])] += 1
        self._credit(self.intake.take(number, shared))

    def retry(self) -> None:
        """Give the credit for which the kernel had no room."""
        self._credit(self._owed)

    def close(self) -> None:
        """Tell the producer that nothing more is taken."""
        if not self.gone:
            self._send(framing.encode(framing.Close()))

    def _credit(self, number: int) -> None:
        if number and not self.gone:
            sent = self._send(framing.encode(framing.Credit(0, 0, number, number)))
            self._owed = 0 if sent else number

    def _send(self, packet: bytes) -> bool:
        try:
            return self.end.send(packet)
        except PeerGone:
            return True


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

    def _end(self, place: int) -> None:
        self._join.end(place)
        self._ended(place)


def _private(memory: memoryview) -> memoryview:
    """A private copy; numpy's allocation is not zeroed first, unlike bytearray's."""
    copy = np.empty(len(memory), np.uint8)
    copy[:] = np.frombuffer(memory, np.uint8)
    return copy.data.toreadonly()
