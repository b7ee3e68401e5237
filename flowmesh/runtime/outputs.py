"""What a node sends: each chunk is numbered and packed once, and goes along every edge of the node's output.

A sender never holds a chunk back to pack it with others. On a lossless edge it waits for room; on a lossy one it takes
back what the consumer has not yet read.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..channel.leases import Lease, Tables, fence, key, lease_of, offset_in
from ..channel.packets import LARGEST, End, PeerGone
from ..channel.page import REASON_CELL, Page
from ..channel.slots import Arena, ArenaView, size_class
from ..control.delivery import Window
from ..wire import framing, values
from ..wire.framing import Origins
from ..wire.messages import EdgeEnd

INLINE = 8 * 1024  # payloads up to this size travel inside the packet: a slot costs more than copying them twice
_LONG = LARGEST // 3  # a packet longer than this lies in a slot as well: the kernel's buffer takes only a few of them


# What caused a step: the index of the triggering edge (-1 in a source), the number on it, the origin.
Cause = tuple[int, int, Origins]
# A chunk's making: its cause, the emission within the step, whether it is the last, and when (ns, the host's clock).
Label = tuple[int, int, Origins, int, bool, int]


class Lender(Protocol):
    """What a slot belongs to: an arena of ours, or what was received and is passed on."""

    ident: int
    slots: int
    slot_size: int
    descriptor: int
    bell: int

    def memory(self, slot: int) -> memoryview: ...

    def give_back(self, slot: int) -> None: ...


class Passed:
    """A received slot that is passed on: our own lease lasts until all takers have theirs. Until then it counts as what
    lies on our edges; if the node keeps the frame longer, as what the node holds."""

    def __init__(self, view: ArenaView, lease: Lease, takers: int) -> None:
        self.ident = view.ident
        self.slots = view.slots
        self.slot_size = view.slot_size
        self.descriptor = view.descriptor
        self.bell = view.bell
        self._lease: Lease | None = lease
        self._takers = takers
        if lease.count is not None:
            lease.count(False)

    def memory(self, slot: int) -> memoryview:
        return memoryview(self._lease)  # type: ignore[arg-type]

    def give_back(self, slot: int) -> None:
        self._takers -= 1
        if not self._takers and self._lease is not None:
            if self._lease.count is not None:
                self._lease.count(True)
            self._lease = None


_Lent = tuple[Lender, int]


class _Parcel(NamedTuple):
    """Something to send: a chunk (number > 0), or a mark or announcement. `lent` is the slot that the chunk lies in."""

    packet: bytes
    number: int = 0
    lent: _Lent | None = None
    descriptors: tuple[int, ...] = ()


class OutEdge:
    """One edge of the output. `receiving`, of a lossy edge, is a duplicate of the consumer's end."""

    def __init__(
        self,
        spec: EdgeEnd,
        end: End,
        receiving: End | None,
        page: Page,
        block: int,
        reader: Callable[[int, int], None],
    ) -> None:
        self.spec = spec
        self._reader = reader  # called with the place of a node that may read our slots, and its lease table
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

    def offer(self, packet: bytes, number: int, lent: _Lent | None, size: int) -> bool:
        """Send a chunk, or keep it as backlog until there is room; whether the edge needs to be looked after."""
        cells = self._cells
        cells[self._block] += 1
        cells[self._block + 1] += size
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
                if not self.end.send(parcel.packet, parcel.descriptors):
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
        while (received := self.end.receive_with_descriptors()) is not None:
            message = framing.decode(received[0])
            if isinstance(message, framing.Close):
                self.closed = True
            elif isinstance(message, framing.Reader):
                self._reader(message.index, received[1][0])
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

    def _announce(self, arena: Lender) -> None:
        if arena.ident not in self._announced:
            self._announced.add(arena.ident)
            head = framing.Announce(arena=arena.ident, slots=arena.slots, slot_size=arena.slot_size)
            self.backlog.append(_Parcel(framing.encode(head)))
            rights = framing.encode(framing.Descriptor(arena=arena.ident))
            self.backlog.append(_Parcel(rights, descriptors=(arena.descriptor, arena.bell)))

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
                self.end.send(parcel.packet, parcel.descriptors)

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
        self,
        index: int,
        run: int,
        epoch: int,
        slots: int,
        wait: Callable[[list[OutEdge], int], bool],
        send_up: Callable[[int, int], None],
    ) -> None:
        self.edges: list[OutEdge] = []
        self.all_closed = False  # whether nobody takes any more what this node emits
        self._index = index
        self._run = run
        self._epoch = epoch
        self._slots = slots
        self._wait = wait
        self._send_up = send_up
        self._number = 0
        self._serial = 0
        self._arena: Arena | None = None
        self._arenas: list[Arena] = []
        self._tables = Tables()

    @cached_property
    def _bell(self) -> int:
        return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def reader(self, index: int, descriptor: int) -> None:
        """A node further down may read our slots, and those that we pass on: its lease table."""
        if index not in self._tables:
            self._send_up(index, descriptor)
        self._tables.add(index, descriptor)

    def emit(self, records: Iterable[values.Record], label: Label) -> None:
        """Send a chunk of these records along all edges; returns when none of the lossless ones holds it back.

        Raises:
            ChunkError: a value can't be sent.
        """
        if not self.edges:
            return
        packed = values.pack(records)
        number = self._number + 1
        size = packed.size
        lent, payload = self._place(packed) if size else (None, b"")
        packet = self._encode(packed, number, label, lent, payload)
        if len(packet) > _LONG:
            packet, lent = self._lengthen(packed, number, label, lent, packet)
        self._number = number
        held_back = False
        for edge in self.edges:
            held_back |= edge.offer(packet, number, lent, len(packet) + size)
        if held_back:
            self._settle()

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array in a free slot, or in private memory when it is small or none is free; never waits."""
        dtype = np.dtype(dtype)
        size = prod(shape) * dtype.itemsize
        if not self.edges or size <= INLINE or dtype.hasobject:
            return np.empty(shape, dtype)
        arena = self._fitting(size)
        self._reclaim(arena)
        slot = arena.take()
        if slot is None:
            return np.empty(shape, dtype)
        arena.lend(slot, 1)  # to the user, until the array is collected
        lease = Lease.on(arena.memory(slot)[:size], arena, slot, partial(arena.give_back, slot))
        return np.ndarray(shape, dtype, memoryview(lease))

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
            if not self._wait(waiting, -1):
                return
            self.flush()
        self.all_closed = all(edge.closed for edge in self.edges)

    def _place(self, packed: values.Packed) -> tuple[_Lent | None, bytes]:
        """Where the payload goes: into the packet, a slot, or nowhere, as it lies in a slot already."""
        if packed.size <= INLINE:
            payload = bytearray(packed.size)
            values.write(packed, memoryview(payload))
            return None, bytes(payload)
        there = self._lies_in_slot(packed)
        if there is not None:
            return there, b""
        arena, slot = self._slot(packed.size)
        values.write(packed, arena.memory(slot))
        arena.lend(slot, len(self.edges))
        return (arena, slot), b""

    def _lies_in_slot(self, packed: values.Packed) -> _Lent | None:
        """The slot that all of it lies in already: one that was allocated, or received and is passed on."""
        arrays = [blob for _, blob in packed.blobs]
        lease = lease_of(arrays)
        if lease is None:
            return None
        places = {}
        for offset, array in packed.blobs:
            places[offset] = offset_in(lease, array)
            if not array.flags.c_contiguous or places[offset] % values.ALIGNMENT:
                return None
        packed.move(places, lease.nbytes)
        if isinstance(lease.lender, ArenaView):
            return Passed(lease.lender, lease, len(self.edges)), lease.slot
        for array in arrays:
            array.flags.writeable = False
        lease.lender.lend_more(lease.slot, len(self.edges))
        return lease.lender, lease.slot

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
        """The packet itself is long (it holds a large plain value): it goes into a slot of ours, with the payload."""
        offset = -(-packed.size // values.ALIGNMENT) * values.ALIGNMENT if lent else 0
        arena, slot = self._slot(offset + len(packet) + values.ALIGNMENT)
        memory = arena.memory(slot)
        if lent is not None:
            memory[: packed.size] = lent[0].memory(lent[1])[: packed.size]
            for _ in self.edges:
                lent[0].give_back(lent[1])
            packet = self._encode(packed, number, label, (arena, slot), b"")
        arena.lend(slot, len(self.edges))
        memory[offset : offset + len(packet)] = packet
        return framing.encode(framing.Long(number, arena.ident, slot, offset, len(packet))), (arena, slot)

    def _slot(self, size: int) -> tuple[Arena, int]:
        """A free slot of that size; waits for one. An emission that must not wait gets an arena of its own."""
        arena = self._fitting(size)
        self._reclaim(arena)
        slot = arena.take()
        while slot is None:
            arena.ask_for_slots(True)
            fence()
            self._reclaim(arena)
            slot = arena.take()
            if slot is None and not self._wait([edge for edge in self.edges if not edge.gone], self._bell):
                arena = self._new_arena(size, 1)
                slot = arena.take()
            arena.ask_for_slots(False)
            self._quieten()
        return arena, slot

    def _quieten(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass

    def _fitting(self, size: int) -> Arena:
        if self._arena is None or self._arena.slot_size < size:
            self._arena = self._new_arena(size, self._slots)
        return self._arena

    def _reclaim(self, arena: Arena) -> None:
        """Free what was returned and nobody has a lease on. A reader that is heard of meanwhile has to be looked at too:
        its lease may have been handed to it by one that we found without."""
        candidates = arena.returned
        if not candidates:
            return
        while True:
            known = len(self._tables)
            held = self._tables.held()
            for edge in self.edges:
                if not edge.gone:
                    edge.collect()
            if len(self._tables) == known:
                break
        arena.reclaim(slot for slot in candidates if key(arena.ident, slot) not in held)

    def _new_arena(self, size: int, slots: int) -> Arena:
        for old in list(self._arenas):
            self._reclaim(old)
            if old.idle:
                old.close()
                self._arenas.remove(old)
        self._serial += 1
        arena = Arena(self._index << 20 | self._serial, size_class(size), slots, self._bell)
        self._arenas.append(arena)
        return arena
