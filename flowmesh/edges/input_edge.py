"""The consumer's end of an edge within a host: checks and maps packets, leases slots, returns credit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import msgspec
import numpy as np

from ..channel.arena import ArenaView
from ..channel.counters import REASON_CELL, WAITING, CounterPage
from ..channel.leases import Lease, LeaseTable
from ..channel.message_socket import close_all
from ..channel.packet_socket import PacketSocket, PeerGone
from ..channel.ring import BELL, RingReader
from ..chunk import DataChunk, ReadStamp
from ..control.node.flow_control import ReceiveWindow
from ..errors import ChunkError
from ..wire import packets, values
from ..wire.messages import EdgeEnd

_PARTNERS = 256  # chunks in no slot that may wait for a partner on a lossy edge: a lossless one's window holds as many
_BATCH = 64  # packets taken from a socket before the other edges are looked at


class LeaseHolder:
    """The node as a holder of slots: its index in the graph, its limit per input, its lease table (made late)."""

    def __init__(self, index: int, hold: int, warn: Callable[[str], None]) -> None:
        self.index = index
        self.hold = hold
        self._warn = warn
        self._warned: set[str] = set()

    @cached_property
    def table(self) -> LeaseTable:
        return LeaseTable()

    def lease(self, view: ArenaView, slot: int) -> int | None:
        """Lease a slot; returns the lease's cell, None when that is not possible now."""
        if not view.introduced:
            view.introduced = self.table.introduce(self.index, view.door)
        return self.table.take(view.ident, slot) if view.introduced else None

    def copied(self, sender: str) -> None:
        """Warn, once per input, that a chunk was copied."""
        if sender not in self._warned:
            self._warned.add(sender)
            self._warn(
                f"keeps more than {self.hold} chunks of {sender!r}: further ones are copied to private memory; "
                "raise the node's hold= to keep more without copies"
            )


class ReceivedChunk(msgspec.Struct, gc=False):
    """A waiting chunk, packed; opened once, when a step needs it. `view`: the arena of its slot, if it has one."""

    chunk: packets.Chunk
    edge: InputEdge
    view: ArenaView | None = None
    slot: int = 0
    opened: DataChunk | None = None

    @property
    def shared(self) -> bool:
        """Whether the producer keeps a slot for it until credit is given."""
        return self.view is not None

    def open(self) -> DataChunk:
        """The user's DataChunk; a payload in a slot is read in place, under a lease."""
        if self.opened is not None:
            return self.opened
        chunk, edge = self.chunk, self.edge
        payload: bytes | memoryview = chunk.payload
        if self.view is not None and chunk.arena:
            payload = edge.lease(self.view, self.slot, chunk.size)
        self.opened = opened = edge.open(chunk, payload)
        return opened


class InputEdge:
    """One edge into the node."""

    def __init__(
        self,
        spec: EdgeEnd,
        names: tuple[str, ...],
        holder: LeaseHolder,
        end: PacketSocket,
        page: CounterPage,
        block: int,
        ring: RingReader | None = None,
    ) -> None:
        self.peer = spec.peer
        self.sender = names.index(spec.peer)  # the index of the producer's output
        self.end = end
        self.lossless = spec.policy == "lossless"
        self.overtaken = "superseded" if spec.policy == "latest" else "oldest"  # why a lossy edge drops
        self.follow = spec.follow
        self.frames = min(spec.depth, spec.slots)  # how many chunks in slots its window has room for
        self._waits = spec.max_waiting
        self._pickles = spec.pickle
        self._brings_frames = False
        self._counts_bytes = spec.bytes > 0
        self.intake = ReceiveWindow(spec.depth, self.lossless, spec.bytes)
        self.gone = False
        self._holder = holder
        self._held: set[int] = set()
        self._ring = ring
        self._stamp: ReadStamp = partial(packets.stamp, names=names, output=self.sender)
        self._cells = page.cells
        self._block = block
        self._received = self._cells[block]
        self._announced: packets.ArenaAnnouncement | None = None
        self._views: dict[int, ArenaView] = {}
        self._owed = 0
        self._closing = False

    @property
    def wants_room(self) -> bool:
        """Whether a packet to the producer waits because the kernel had no room."""
        return self._owed > 0 or self._closing

    def open(self, chunk: packets.Chunk, payload: bytes | memoryview) -> DataChunk:
        """The user's DataChunk."""
        return DataChunk(values.unpack(chunk.records, payload, self._pickles), (self._stamp, chunk))

    def receive(self) -> list[packets.Packet]:
        """The packets that wait, except those about arenas.

        Raises:
            PeerGone, ChunkError
        """
        if self._ring is None:
            return self._receive_some()
        count, data = self._ring.take()
        if not count:
            try:
                self._listen()
            except PeerGone:  # what it wrote before can still be read
                count, data = self._ring.take()
                if not count:
                    raise
        return packets.decode_all(count, data) if count else []

    def _receive_some(self) -> list[packets.Packet]:
        """Read from the socket; on a lossy edge one chunk, as its producer may take back what waits."""
        received: list[packets.Packet] = []
        most = _BATCH if self.lossless else 1
        try:
            while len(received) < most and (packet := self._next_on_socket()) is not None:
                received.append(packet)
        except PeerGone:
            if not received:
                raise
        return received

    def _next_on_socket(self) -> packets.Packet | None:
        while (message := self._next()) is not None:
            if isinstance(message, packets.ArenaAnnouncement):
                self._announced = message
            elif isinstance(message, packets.CHUNKS):
                if self.lossless or not self._is_overtaken(message):
                    return message
            elif not isinstance(message, packets.ArenaDescriptor):
                return message
        return None

    def _listen(self) -> None:
        """Read the socket beside a ring: it carries only arenas and doorbells."""
        while self._next_on_socket() is not None:
            raise ChunkError(f"the edge from {self.peer!r} brought a chunk beside its ring")

    def _is_overtaken(self, packet: packets.Chunk | packets.LongPacket) -> bool:
        """Whether a chunk of a lossy edge is older than one that was read, or its arena's announcement is missing: the
        producer takes packets back while we read. Such a chunk is dropped and counted here."""
        number, intake = packet.number, self.intake
        if number > intake.arrived:
            if not packet.arena or packet.arena in self._views:
                return False
            intake.record_arrival(number)
        self._cells[self._block + REASON_CELL[self.overtaken]] += 1
        if number <= intake.taken:  # else credit goes with a later one: what came before may still wait here
            self._credit(intake.taken)
        return True

    def _next(self) -> packets.Packet | None:
        """The next packet. Behind an announcement comes the arena's file, unless a lossy producer took it back."""
        if self._announced is None:
            while (packet := self.end.receive()) == BELL:
                pass
            return None if packet is None else packets.decode(packet)
        while (carried := self.end.receive_with_descriptors()) is not None and carried[0] == BELL:
            pass
        if carried is None:
            return None
        announced, self._announced = self._announced, None
        if len(carried[1]) == 3:
            self._map(announced, *carried[1])
        else:
            close_all(carried[1])
        return packets.decode(carried[0])

    def _map(self, announced: packets.ArenaAnnouncement, file: int, bell: int, door: int) -> None:
        if announced.arena in self._views:  # a lossy producer took it back too late
            close_all([file, bell, door])
            return
        for old in [view for view in self._views.values() if view.retired]:
            self._views.pop(old.ident).close()
        view = ArenaView(announced.arena, file, bell, door, announced.slot_size, announced.slots)
        self._views[view.ident] = view

    def is_full(self, waiting: int) -> bool:
        """Whether, with `waiting` chunks here, the producer may be unable to send more, or only by dropping one."""
        if self._counts_bytes:
            return waiting > 0
        if self.has_too_many(waiting + 1, for_partners=True):
            return True
        return waiting >= (self.frames if self.lossless and self._brings_frames else self.intake.full)

    def has_too_many(self, waiting: int, for_partners: bool) -> bool:
        """Whether one of `waiting` chunks in the node has to be dropped, so that chunks are fresh and slots stay free.
        A chunk without a slot may wait longer for a partner; a lossless edge has no such limit."""
        if not self._waits:
            return False
        most = max(self._waits, _PARTNERS) if for_partners and not self._brings_frames else self._waits
        return waiting > most

    def arrived(self, packet: packets.Chunk | packets.LongPacket) -> ReceivedChunk:
        """Check the number of a chunk in a packet, and wrap it."""
        self.intake.record_arrival(packet.number)
        if not packet.arena:
            return ReceivedChunk(packet, self)  # type: ignore[arg-type]  # a LongPacket has an arena
        self._brings_frames = True
        view = self._view(packet.arena)
        if type(packet) is packets.Chunk:
            return ReceivedChunk(packet, self, view, packet.slot)
        memory = view.memory(packet.slot, packet.offset + packet.size)
        chunk = packets.decode(bytes(memory[packet.offset :]))
        if not isinstance(chunk, packets.Chunk):
            raise ChunkError("a long packet does not hold a chunk")
        return ReceivedChunk(chunk, self, view, packet.slot)

    def lease(self, view: ArenaView, slot: int, size: int) -> memoryview:
        """The payload in a slot, leased until nothing refers to it; beyond the node's `hold`, a private copy."""
        memory = view.memory(slot, size)
        holder = self._holder
        cell = holder.lease(view, slot) if len(self._held) < holder.hold else None
        if cell is None:
            self._cells[self._block + 1] += 1
            holder.copied(self.peer)
            return _private(memory)
        self._count(cell, True)
        ended, count = partial(self._lease_ended, cell, view), partial(self._count, cell)
        return Lease.on(memory, view, slot, ended, count).data

    def _count(self, cell: int, counts: bool) -> None:
        (self._held.add if counts else self._held.discard)(cell)

    def _lease_ended(self, cell: int, view: ArenaView) -> None:
        self._holder.table.end(cell)
        self._held.discard(cell)
        view.lease_ended()

    def _view(self, arena: int) -> ArenaView:
        if arena not in self._views and self._ring is not None:
            try:
                self._listen()  # its announcement went along the socket, before the chunk went into the ring
            except PeerGone:  # the producer has died since, but what it sent before can be read
                pass
        try:
            return self._views[arena]
        except KeyError:
            raise ChunkError(f"a chunk names the arena {arena}, which was not announced") from None

    def taken(self, number: int, shared: bool) -> None:
        """Note that a chunk was taken into a step; send credit when it is due."""
        self._received = self._cells[self._block] = self._received + 1
        if due := self.intake.record_taken(number, shared):
            self._credit(due)

    def dropped(self, number: int, reason: str) -> None:
        """Count a chunk as dropped for a reason; send credit at once, if possible."""
        self._cells[self._block + REASON_CELL[reason]] += 1
        self._credit(self.intake.record_taken(number, True))

    def account(self, waiting: int) -> None:
        """Record that `waiting` chunks wait for a step."""
        self._cells[self._block + WAITING] = waiting

    def retry(self) -> None:
        """Send the packets that the kernel had no room for."""
        if self._closing:
            self._closing = not self._send(packets.encode(packets.CloseEdge()))
        if self._owed:
            self._credit(self._owed)

    def sleeps(self, asleep: bool) -> None:
        """Note that the node is about to wait for this edge, or has waited."""
        if self._ring is not None:
            self._ring.sleeps(asleep)

    @property
    def has_news(self) -> bool:
        """Whether something has arrived that no doorbell will announce."""
        return self._ring is not None and not self._ring.is_empty

    def close(self) -> None:
        """Tell the producer that no more is taken, and close the channel."""
        self._closing = not self.gone
        self.retry()

    def _credit(self, number: int) -> None:
        if self._ring is not None:
            self._ring.give(number)
        elif number and not self.gone:
            sent = self._send(packets.encode(packets.Credit(0, 0, number, number)))
            self._owed = 0 if sent else number

    def _send(self, packet: bytes) -> bool:
        try:
            return self.end.send(packet)
        except PeerGone:
            return True


def _private(memory: memoryview) -> memoryview:
    """A private copy; numpy's allocation is not zeroed first, unlike bytearray's."""
    copy = np.empty(len(memory), np.uint8)
    copy[:] = np.frombuffer(memory, np.uint8)
    return copy.data.toreadonly()
