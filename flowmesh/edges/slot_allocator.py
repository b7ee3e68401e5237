"""Allocation of shared-memory slots for a node's payloads: in its own arenas, or in a received slot that is forwarded.

A slot is written again only when no edge holds it and no reader has a lease on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from ..channel.arena import Arena, ArenaView, size_class
from ..channel.leases import Lease, ReaderTables, fence, key, lease_of, offset_in
from ..wire import values
from ..wire.plan_specs import ALLOCATED
from .output_edge import Lent


class ForwardedSlot:
    """A received slot that is sent on: our own lease lasts until all takers have theirs. Until then it counts as part
    of our edges; if the node keeps the frame longer, it counts against the node's `hold`."""

    def __init__(self, view: ArenaView, lease: Lease, takers: int) -> None:
        self.ident = view.ident
        self.slots = view.slots
        self.slot_size = view.slot_size
        self.descriptor = view.descriptor
        self.bell = view.bell
        self.door = view.door
        self._lease: Lease | None = lease
        self._takers = takers
        lease.passing += 1
        if lease.count is not None:
            lease.count(False)

    def memory(self, slot: int) -> memoryview:
        return memoryview(self._lease)  # type: ignore[arg-type]

    def give_back(self, slot: int) -> None:
        self._takers -= 1
        lease = self._lease
        if not self._takers and lease is not None:
            self._lease = None
            lease.passing -= 1
            if not lease.passing and lease.count is not None:
                lease.count(True)


class SlotAllocator:
    """The slots of one node's output.

    Args:
        index: the node's index in the graph; its arenas' ids begin with it.
        slots: the number of slots of an arena.
        collect: reads the credit that consumers have sent back.
        wait: waits until a consumer has sent something, or the eventfd that it is given rings; False when it must not
            wait.
    """

    def __init__(
        self,
        index: int,
        slots: int,
        collect: Callable[[], None],
        wait: Callable[[int], bool],
    ) -> None:
        self._index = index
        self._slots = slots
        self._collect = collect
        self._wait = wait
        self._serial = 0
        self._arena: Arena | None = None
        self._arenas: list[Arena] = []
        self._tables = ReaderTables()
        self._allocated: set[int] = set()

    def allocate(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
        """An array in a free slot; None when none is free, or the node keeps too many already. Never waits."""
        if len(self._allocated) >= ALLOCATED:
            return None
        size = prod(shape) * dtype.itemsize
        arena = self._fitting(size)
        self._reclaim(arena)
        slot = arena.take()
        if slot is None:
            return None
        arena.lend(slot, 1)  # to the user, until the array is collected
        self._allocated.add(key(arena.ident, slot))
        lease = Lease.on(arena.memory(slot)[:size], arena, slot, partial(self._collected, arena, slot))
        return np.ndarray(shape, dtype, lease.data)

    def _collected(self, arena: Arena, slot: int) -> None:
        self._allocated.discard(key(arena.ident, slot))
        arena.give_back(slot)

    def place_payload(self, packed: values.Packed, takers: int) -> Lent:
        """Put a payload into a slot for `takers` edges, unless it lies in one already."""
        there = self._lies_in_slot(packed, takers)
        if there is not None:
            return there
        arena, slot = self.free_slot(packed.size)
        values.write(packed, arena.memory(slot))
        arena.lend(slot, takers)
        return arena, slot

    def _lies_in_slot(self, packed: values.Packed, takers: int) -> Lent | None:
        """The slot that all of it lies in already: one that was allocated, or received and is forwarded."""
        arrays = [blob for _, blob in packed.blobs if isinstance(blob, np.ndarray)]
        lease = lease_of(arrays) if len(arrays) == len(packed.blobs) else None
        if lease is None:
            return None
        places = {}
        for (offset, _), array in zip(packed.blobs, arrays, strict=True):
            places[offset] = offset_in(lease, array)
            if not array.flags.c_contiguous or places[offset] % values.ALIGNMENT:
                return None
        packed.move(places, lease.nbytes)
        if isinstance(lease.lender, ArenaView):
            return ForwardedSlot(lease.lender, lease, takers), lease.slot
        for array in arrays:
            _freeze(array)
        lease.lender.lend_more(lease.slot, takers)
        return lease.lender, lease.slot

    def free_slot(self, size: int) -> tuple[Arena, int]:
        """A free slot of that size; waits for one. An emission that must not wait gets an arena of its own."""
        arena = self._fitting(size)
        self._reclaim(arena)
        slot = arena.take()
        while slot is None:
            arena.ask_for_slots(True)
            fence()
            self._reclaim(arena)
            slot = arena.take()
            if slot is None and not self._wait(self._bell):
                arena = self._new_arena(size, 1)
                slot = arena.take()
            arena.ask_for_slots(False)
            self._quieten()
        return arena, slot

    @cached_property
    def _bell(self) -> int:
        return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def _quieten(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass

    def _fitting(self, size: int) -> Arena:
        if self._arena is None or self._arena.slot_size < size:
            self._arena = None  # it may go as well
            self._arena = self._new_arena(size, self._slots)
        return self._arena

    def _reclaim(self, arena: Arena) -> None:
        """Free the returned slots without a lease. A reader that registers meanwhile has to be checked too: it may have
        got its lease from one whose table was checked already."""
        self._collect()
        candidates = arena.returned
        if not candidates:
            return
        held = self._tables.held()
        while self._tables.listen():
            held = self._tables.held()
        arena.reclaim(slot for slot in candidates if key(arena.ident, slot) not in held)

    def _new_arena(self, size: int, slots: int) -> Arena:
        for old in list(self._arenas):
            self._reclaim(old)
            if old.idle and old is not self._arena:
                old.close()
                self._arenas.remove(old)
        self._serial += 1
        arena = Arena(self._index << 20 | self._serial, size_class(size), slots, self._bell, self._tables.door)
        self._arenas.append(arena)
        return arena


def _freeze(array: np.ndarray) -> None:
    """Make an emitted array read-only, and the arrays that it is a view of."""
    base: object = array
    while type(base) is np.ndarray:
        base.flags.writeable = False
        base = base.base
