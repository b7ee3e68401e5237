"""What a node sends: each chunk is numbered and packed once, and goes along every edge of the node's output.

A sender never holds a chunk back to pack it with others. On a lossless edge it waits for room; on a lossy one it takes
back what the consumer has not yet read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..channel.packets import LARGEST, End, PeerGone
from ..channel.page import REASON_CELL, Page
from ..channel.slots import Arena, size_class
from ..control.delivery import Window
from ..wire import framing, values
from ..wire.framing import Origins
from ..wire.messages import EdgeEnd

INLINE = 8 * 1024  # payloads up to this size travel inside the packet: a slot costs more than copying them twice
_ALIGN = 64
_LONG = LARGEST // 3  # a packet longer than this lies in a slot as well: the kernel's buffer takes only a few of them


# What caused a step: the index of the triggering edge (-1 in a source), the number on it, the origin.
Cause = tuple[int, int, Origins]
# A chunk's making: its cause, the emission within the step, whether it is the last, and when (ns, the host's clock).
Label = tuple[int, int, Origins, int, bool, int]


_Lent = tuple[Arena, int]


class _Parcel(NamedTuple):
    """Something to send: a chunk (number > 0), or a mark or announcement. `lent` is the slot that the chunk lies in."""

    packet: bytes
    number: int = 0
    lent: _Lent | None = None
    descriptor: int | None = None


class OutEdge:
    """One edge of the output. `receiving`, of a lossy edge, is a duplicate of the consumer's end."""

    def __init__(self, spec: EdgeEnd, end: End, receiving: End | None, page: Page, block: int) -> None:
        self.spec = spec
        self.end = end
        self.window = Window(spec.depth, spec.slots)
        self.lossless = receiving is None
        self.gone = False
        self.closed = False
        self.backlog: deque[_Parcel] = deque()
        self._receiving = receiving
        self._cells = page.cells
        self._block = block
        self._lent: dict[int, _Lent] = {}
        self._announced: set[int] = set()

    @property
    def wants_room(self) -> bool:
        """Whether the kernel's buffer, not the window, is what holds the backlog back."""
        if not self.backlog:
            return False
        first = self.backlog[0]
        return not first.number or not self.lossless or self.window.has_room(first.lent is not None)

    def offer(self, packet: bytes, number: int, lent: _Lent | None) -> bool:
        """Send a chunk, or keep it as backlog until there is room; whether the edge needs to be looked after."""
        cells = self._cells
        cells[self._block] += 1
        cells[self._block + 1] += len(packet) if lent is None else lent[0].slot_size
        if lent is None and not self.backlog and not self.gone and self.lossless and self.window.has_room_for(number):
            try:
                if self.end.send(packet):
                    self.window.sent = number
                    return False
            except PeerGone:
                self._peer_gone()
        self._offer(_Parcel(packet, number, lent))
        return bool(self.backlog) or self.closed

    def _offer(self, parcel: _Parcel) -> None:
        if self.closed or self.gone:
            self._drop(parcel, "after_end" if self.closed else "died")
            return
        if self._receiving is not None:
            self._make_room(self._receiving)
        if parcel.lent is not None:
            self._announce(parcel.lent[0])
        self.backlog.append(parcel)
        self.flush()

    def mark(self, packet: bytes) -> None:
        """Send a mark behind all chunks; it takes no room in the window."""
        if not self.gone:
            self.backlog.append(_Parcel(packet))
            self.flush()

    def flush(self) -> None:
        """Send what waits, as far as window and kernel allow."""
        backlog, window = self.backlog, self.window
        try:
            while backlog:
                parcel = backlog[0]
                if parcel.number and self.lossless and not window.has_room(parcel.lent is not None):
                    self._collect()
                    if not window.has_room(parcel.lent is not None) or self.closed:
                        break
                if not self.end.send(parcel.packet, parcel.descriptor):
                    break
                backlog.popleft()
                if parcel.number:
                    window.send(parcel.number, parcel.lent is not None)
                    if parcel.lent is not None:
                        self._lent[parcel.number] = parcel.lent
        except PeerGone:
            self._peer_gone()
        if self.closed:
            self._drop_backlog("after_end")

    def collect(self) -> None:
        """Read the credit that has come back."""
        try:
            self._collect()
        except PeerGone:
            self._peer_gone()

    def _collect(self) -> None:
        while (packet := self.end.receive()) is not None:
            message = framing.decode(packet)
            if isinstance(message, framing.Close):
                self.closed = True
            elif isinstance(message, framing.Credit):
                for number in self.window.credit(message.taken):
                    self._return(number)

    def _make_room(self, receiving: End) -> None:
        """Take back the oldest chunks beyond depth - 1; marks and what is kept are sent again, in order."""
        self.collect()
        waiting = [*self._take_back(receiving), *self.backlog]
        self.backlog.clear()
        surplus = sum(parcel.number > 0 for parcel in waiting) - (self.spec.depth - 1)
        for parcel in waiting:
            if parcel.number and surplus > 0:
                surplus -= 1
                self._drop(parcel, "superseded" if self.spec.policy == "latest" else "oldest")
                continue
            if parcel.lent is not None:
                self._announce(parcel.lent[0])
            self.backlog.append(parcel)

    def _take_back(self, receiving: End) -> Iterator[_Parcel]:
        while (packet := receiving.receive()) is not None:
            message = framing.decode(packet)
            if isinstance(message, framing.CHUNKS):
                self.window.withdraw(message.number)
                yield _Parcel(packet, message.number, self._lent.pop(message.number, None))
            elif isinstance(message, framing.Mark):
                yield _Parcel(packet)
            elif isinstance(message, framing.Announce):  # its descriptor is closed with it: announced anew where needed
                self._announced.discard(message.arena)

    def _announce(self, arena: Arena) -> None:
        if arena.ident not in self._announced:
            self._announced.add(arena.ident)
            head = framing.Announce(arena=arena.ident, slots=arena.slots, slot_size=arena.slot_size)
            self.backlog.append(_Parcel(framing.encode(head)))
            rights = framing.encode(framing.Descriptor(arena=arena.ident))
            self.backlog.append(_Parcel(rights, descriptor=arena.descriptor))

    def _drop(self, parcel: _Parcel, reason: str) -> None:
        self._cells[self._block + REASON_CELL[reason]] += 1
        self.window.withdraw(parcel.number)
        if parcel.lent is not None:
            self._lent.pop(parcel.number, None)
            parcel.lent[0].give_back(parcel.lent[1])

    def _drop_backlog(self, reason: str) -> None:
        waiting, self.backlog = self.backlog, deque()
        for parcel in waiting:
            if parcel.number:
                self._drop(parcel, reason)
            elif reason == "after_end":
                self.end.send(parcel.packet, parcel.descriptor)

    def _return(self, number: int) -> None:
        lent = self._lent.pop(number, None)
        if lent is not None:
            lent[0].give_back(lent[1])

    def _peer_gone(self) -> None:
        self.gone = True
        self._drop_backlog("died")
        for number in list(self._lent):
            self._return(number)


class Outputs:
    """The one output of a node. `wait` is called while an emission can't go on: it returns False when it must not wait."""

    def __init__(
        self, index: int, run: int, epoch: int, edges: list[OutEdge], wait: Callable[[list[OutEdge]], bool]
    ) -> None:
        self.edges = edges
        self.all_closed = False  # whether nobody takes any more what this node emits
        self._index = index
        self._run = run
        self._epoch = epoch
        self._wait = wait
        self._number = 0
        self._serial = 0
        self._arena: Arena | None = None
        self._arenas: list[Arena] = []
        lossy = [edge for edge in edges if edge.spec.policy != "lossless"]
        deepest = max((edge.spec.slots for edge in edges if edge.spec.policy == "lossless"), default=0)
        self._slots = deepest + 1 + sum(edge.spec.depth + 2 for edge in lossy)

    def emit(self, records: Iterable[values.Record], label: Label) -> None:
        """Send a chunk of these records along all edges; returns when none of the lossless ones holds it back.

        Raises:
            ChunkError: a value can't be sent.
        """
        if not self.edges:
            return
        packed = values.pack(records)
        number = self._number + 1
        lent, payload = self._place(packed)
        packet = self._encode(packed, number, label, lent, payload)
        if len(packet) > _LONG:
            packet, lent = self._lengthen(packed, number, label, lent, packet)
        self._number = number
        if lent is not None:
            lent[0].lend(lent[1], len(self.edges))
        held_back = False
        for edge in self.edges:
            held_back |= edge.offer(packet, number, lent)
        if held_back:
            self._settle()

    def mark(self, kind: int, number: int, origin: Origins) -> None:
        """Send a mark along all edges."""
        packet = framing.encode(framing.Mark(self._run, self._epoch, kind, number, origin))
        for edge in self.edges:
            edge.mark(packet)

    def flush(self) -> None:
        """Read credit and send backlog."""
        for edge in self.edges:
            if not edge.gone:
                edge.collect()
                edge.flush()
        self.all_closed = bool(self.edges) and all(edge.closed for edge in self.edges)

    def _settle(self) -> None:
        """Wait until no lossless edge holds anything back, and see whether anybody still listens."""
        while waiting := [edge for edge in self.edges if edge.backlog and edge.lossless]:
            if not self._wait(waiting):
                return
            self.flush()
        self.all_closed = all(edge.closed for edge in self.edges)

    def _place(self, packed: values.Packed) -> tuple[_Lent | None, bytes]:
        if not packed.size:
            return None, b""
        if packed.size <= INLINE:
            payload = bytearray(packed.size)
            values.write(packed, memoryview(payload))
            return None, bytes(payload)
        arena, slot = self._slot(packed.size)
        values.write(packed, arena.memory(slot))
        return (arena, slot), b""

    def _encode(self, packed: values.Packed, number: int, label: Label, lent: _Lent | None, payload: bytes) -> bytes:
        place, trigger, origin, emission, last, created = label
        arena, slot, size = (lent[0].ident, lent[1], packed.size) if lent else (0, 0, 0)
        return framing.encode_chunk(
            self._run, self._epoch, number, place, trigger, emission, last, created, 0, 0,
            origin, packed.records, arena, slot, size, payload,
        )  # fmt: skip

    def _lengthen(
        self, packed: values.Packed, number: int, label: Label, lent: _Lent | None, packet: bytes
    ) -> tuple[bytes, _Lent]:
        """The packet itself is long (it holds a large plain value): it goes into a slot too, behind the payload."""
        offset = -(-packed.size // _ALIGN) * _ALIGN if lent else 0
        if lent is not None:
            lent[0].lend(lent[1], 0)  # too small for both
        lent = self._slot(offset + len(packet) + _ALIGN)
        memory = lent[0].memory(lent[1])
        if offset:
            values.write(packed, memory)
            packet = self._encode(packed, number, label, lent, b"")
        memory[offset : offset + len(packet)] = packet
        return framing.encode(framing.Long(number, lent[0].ident, lent[1], offset, len(packet))), lent

    def _slot(self, size: int) -> _Lent:
        """A free slot of that size; waits for one. An emission that must not wait gets an arena of its own."""
        if self._arena is None or self._arena.slot_size < size:
            self._arena = self._new_arena(size, self._slots)
        while (slot := self._arena.take()) is None:
            if not self._wait([edge for edge in self.edges if not edge.gone]):
                spare = self._new_arena(size, 1)
                return spare, spare.take() or 0
            self.flush()
        return self._arena, slot

    def _new_arena(self, size: int, slots: int) -> Arena:
        for old in [arena for arena in self._arenas if arena.idle]:
            old.close()
            self._arenas.remove(old)
        self._serial += 1
        arena = Arena(self._index << 20 | self._serial, size_class(size), slots)
        self._arenas.append(arena)
        return arena
