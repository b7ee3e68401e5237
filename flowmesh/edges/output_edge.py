"""The producer's end of an edge within a host: backlog, send window, lent slots, and drops of a lossy edge.

On a lossless edge a chunk waits for room in the window; on a lossy one, what the consumer has not yet read is taken
back to make room. Markers are never dropped and take no room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ..channel.counters import REASON_CELL, WAITING, CounterPage
from ..channel.packet_socket import PacketSocket, PeerGone
from ..channel.ring import BELL, RingWriter
from ..control.node.flow_control import SendWindow
from ..wire import packets
from ..wire.messages import EdgeEnd


class SlotOwner(Protocol):
    """The owner of a slot: an arena of ours, or a forwarded slot."""

    ident: int
    slots: int
    slot_size: int
    descriptor: int
    bell: int
    door: int

    def memory(self, slot: int) -> memoryview: ...

    def give_back(self, slot: int) -> None: ...


Lent = tuple[SlotOwner, int]


class QueuedPacket(NamedTuple):
    """A packet to send: a chunk (number > 0), or a marker. `lent` is the chunk's slot, `size` its bytes."""

    packet: bytes
    number: int = 0
    lent: Lent | None = None
    size: int = 0
    progress: bool = False


class OutputEdge:
    """One edge of the output. `receiving`, of a lossy edge, is a duplicate of the consumer's end; packets go through
    the ring if there is one, file descriptors always through the socket."""

    def __init__(
        self,
        spec: EdgeEnd,
        end: PacketSocket,
        receiving: PacketSocket | None,
        page: CounterPage,
        block: int,
        ring: RingWriter | None = None,
    ) -> None:
        self.spec = spec
        self.end = end
        self.window = SendWindow(spec.depth, spec.slots, spec.bytes)
        self.lossless = receiving is None
        self.gone = False
        self.closed = False
        self.backlog: deque[QueuedPacket] = deque()
        self.wants_room = False  # whether the socket, not the window or the ring, blocks the backlog
        self._ring_full = False  # whether it is the ring
        self._receiving = receiving
        self._ring = ring
        self._put = self._send if ring is None else ring.put
        self._cells = page.cells
        self._block = block
        self._sent = self._cells[block]  # the count goes on after a restart of the gateway
        self._bytes = self._cells[block + 1]
        self._until = self.window.last if self.lossless else 0  # the last number that needs no further check
        self._lent: dict[int, Lent] = {}
        self._announced: set[int] = set()

    def send_chunk(self, packet: bytes, number: int, lent: Lent | None, size: int) -> bool:
        """Send a chunk, or queue it until there is room; returns whether the edge needs a `flush` later."""
        cells, block = self._cells, self._block
        self._sent = cells[block] = self._sent + 1
        self._bytes = cells[block + 1] = self._bytes + size
        if number <= self._until and lent is None and self._put(packet):
            self.window.sent = number
            return False
        self._offer(QueuedPacket(packet, number, lent, size))
        return bool(self.backlog) or self.closed

    def _send(self, packet: bytes) -> bool:
        try:
            return self.end.send(packet)
        except PeerGone:
            self._peer_gone()
            return False

    def _offer(self, parcel: QueuedPacket) -> None:
        if self.closed or self.gone:
            self._drop(parcel, "after_end" if self.closed else "died")
            return
        if self._receiving is not None:
            self._make_room(self._receiving, parcel.size)
        self.backlog.append(parcel)
        self.flush()

    def send_marker(self, packet: bytes, done: bool) -> None:
        """Send a marker after all chunks; it takes no room in the window. A watermark replaces one that waits."""
        if self.gone:
            return
        if done and self.backlog and self.backlog[-1].progress:
            self.backlog.pop()
        self.backlog.append(QueuedPacket(packet, progress=done))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as window, ring and socket allow."""
        try:
            self._send_backlog()
            if self.closed and self.backlog:
                self._drop_backlog("after_end")
                self._send_backlog()
        except PeerGone:
            self._peer_gone()
        free = self.lossless and not (self.backlog or self.gone or self.closed)
        self._until = self.window.last if free else 0

    def _send_backlog(self) -> None:
        backlog, window = self.backlog, self.window
        self.wants_room = self._ring_full = False
        while backlog:
            parcel = backlog[0]
            lent = parcel.lent
            if parcel.number and self.lossless and not window.has_room(lent is not None, parcel.size):
                self._collect()
                if not window.has_room(lent is not None, parcel.size) or self.closed:
                    return
            if lent is not None and not self._announce(lent[0]):
                self.wants_room = True
                return
            if not self._put(parcel.packet):
                self._ring_full = self._ring is not None
                self.wants_room = not self._ring_full and not self.gone
                return
            backlog.popleft()
            self._went(parcel)

    def _went(self, parcel: QueuedPacket) -> None:
        if parcel.number:
            self.window.record_sent(parcel.number, parcel.lent is not None, parcel.size)
            if parcel.lent is not None:
                self._lent[parcel.number] = parcel.lent

    def account(self) -> None:
        """Record the number of chunks that wait here."""
        self._cells[self._block + WAITING] = sum(parcel.number > 0 for parcel in self.backlog)

    def collect(self) -> None:
        """Read the credit that has come."""
        try:
            self._collect()
        except PeerGone:
            self._peer_gone()

    def _collect(self) -> None:
        if self._ring is not None:
            self._credit(self._ring.taken)
        while (packet := self.end.receive()) is not None:
            if packet == BELL:
                continue
            message = packets.decode(packet)
            if isinstance(message, packets.CloseEdge):
                self.closed = True
                self._until = 0
            elif isinstance(message, packets.Credit):
                self._credit(message.taken)
            elif isinstance(message, packets.ResumeAfter):
                self._resume(message.arrived)

    def _credit(self, taken: int) -> None:
        if taken > self.window.taken:
            for number in self.window.receive_credit(taken):
                self._return(number)

    def _resume(self, arrived: int) -> None:
        """Handle the gateway's request to resume after that number; see remote_output."""

    def sleeps(self, asleep: bool) -> None:
        """Note that the node is about to wait for this edge, or has waited."""
        if self._ring is not None:
            self._ring.sleeps(asleep)

    @property
    def has_news(self) -> bool:
        """Whether credit or room has come that no doorbell will announce."""
        ring = self._ring
        return ring is not None and (ring.taken > self.window.taken or (self._ring_full and ring.has_moved))

    def _make_room(self, receiving: PacketSocket, size: int) -> None:
        """Take back the oldest chunks beyond depth - 1, or beyond the bytes that leave room for this many; markers and
        the chunks that stay are sent again, in order."""
        self.collect()
        waiting = [*self._take_back(receiving), *self.backlog]
        self.backlog.clear()
        surplus = sum(parcel.number > 0 for parcel in waiting) - (self.spec.depth - 1)
        excess = sum(parcel.size for parcel in waiting) + size - self.spec.bytes if self.spec.bytes else 0
        for parcel in waiting:
            if parcel.number and (surplus > 0 or excess > 0):
                surplus -= 1
                excess -= parcel.size
                self._drop(parcel, "superseded" if self.spec.policy == "latest" else "oldest")
            else:
                self.backlog.append(parcel)

    def _take_back(self, receiving: PacketSocket) -> Iterator[QueuedPacket]:
        while (packet := receiving.receive()) is not None:
            message = packets.decode(packet)
            if isinstance(message, packets.CHUNKS):
                self.window.withdraw(message.number)
                size = len(packet) + message.size
                yield QueuedPacket(packet, message.number, self._lent.pop(message.number, None), size)
            elif isinstance(message, packets.Marker):
                yield QueuedPacket(packet)
            elif isinstance(
                message, packets.ArenaAnnouncement | packets.ArenaDescriptor
            ):  # its files are closed: announced anew
                self._announced.discard(message.arena)

    def _announce(self, arena: SlotOwner) -> bool:
        """Send an arena's file descriptors, unless the consumer has them; returns whether it has now. After a partial
        send, both parts are sent again."""
        if arena.ident in self._announced:
            return True
        head = packets.ArenaAnnouncement(arena=arena.ident, slots=arena.slots, slot_size=arena.slot_size)
        if not self.end.send(packets.encode(head)):
            return False
        rights = packets.encode(packets.ArenaDescriptor(arena=arena.ident))
        if not self.end.send(rights, (arena.descriptor, arena.bell, arena.door)):
            return False
        self._announced.add(arena.ident)
        return True

    def _drop(self, parcel: QueuedPacket, reason: str) -> None:
        self._cells[self._block + REASON_CELL[reason]] += 1
        self.window.withdraw(parcel.number)
        if parcel.lent is not None:
            self._lent.pop(parcel.number, None)
            parcel.lent[0].give_back(parcel.lent[1])

    def _drop_backlog(self, reason: str) -> None:
        """Drop the chunks that wait; markers stay as long as there is a reader."""
        waiting, self.backlog = self.backlog, deque()
        for parcel in waiting:
            if parcel.number:
                self._drop(parcel, reason)
            elif not self.gone:
                self.backlog.append(parcel)

    def _return(self, number: int) -> None:
        lent = self._lent.pop(number, None)
        if lent is not None:
            lent[0].give_back(lent[1])

    def _peer_gone(self) -> None:
        self.gone = True
        self._until = 0
        self._drop_backlog("died")
        for number in list(self._lent):
            self._return(number)
