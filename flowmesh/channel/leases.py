"""Leases of slots: each reader writes only its own table. The slots' owner reads the tables of all nodes that its slots
can reach, in the graph's order, givers before takers: a lease that is passed on is seen in one or the other.

    a table: 1,024 cells of 64 bits, one per lease: 0, or arena << 16 | slot

A lease is taken before credit is given for its chunk and before the giver lets go. It ends when the last array on its
slot is collected. Before its first lease a reader registers at the owner's registration socket, which comes with each
arena: there is no third process between the two that could be slow or die. Needs ordered stores and loads, as x86-64
has them.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np

from ..wire import packets
from .message_socket import close_all
from .packet_socket import PacketSocket, PeerGone, pair

CELLS = 1024


def fence() -> None:
    """A full memory fence: a store before it is visible to every process that acts on a load after it.

    It uses a lock that no other thread has: leases end in other threads too, and whenever the garbage collector runs.
    """
    threading.Lock().acquire()


def key(arena: int, slot: int) -> int:
    """The name of a slot in a table."""
    return arena << 16 | slot


class LeaseTable:
    """The reader's side. `descriptor` goes to the owners of the slots."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("flowmesh-leases", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, 8 * CELLS)
        self._cells = memoryview(mmap.mmap(self.descriptor, 8 * CELLS)).cast("Q")
        self._free = list(range(CELLS - 1, -1, -1))

    def take(self, arena: int, slot: int) -> int | None:
        """Lease a slot; returns the lease's cell, None when the table is full."""
        if not self._free:
            return None
        cell = self._free.pop()
        self._cells[cell] = key(arena, slot)
        return cell

    def end(self, cell: int) -> None:
        self._cells[cell] = 0
        self._free.append(cell)

    def introduce(self, reader: int, door: int) -> bool:
        """Register with an owner of slots as the node of that index; False when the kernel has no room now."""
        end = PacketSocket(os.dup(door))
        try:
            return end.send(packets.encode(packets.ReaderHello(reader)), [self.descriptor])
        except PeerGone:
            return True  # the owner will never write to its slots again
        finally:
            end.close()


class ReaderTables:
    """The owner's side: the tables of the readers of its slots, by their index in the graph's order."""

    def __init__(self) -> None:
        self._tables: dict[int, np.ndarray] = {}
        self._callers: PacketSocket | None = None

    @cached_property
    def door(self) -> int:
        """The registration socket of readers; it is sent with each arena."""
        ours, theirs = pair()
        self._callers = PacketSocket(ours)
        return theirs

    def listen(self) -> bool:
        """Accept the readers that register; returns whether any has."""
        anybody = False
        while self._callers is not None and (received := self._callers.receive_with_descriptors()) is not None:
            anybody = True
            message = packets.decode(received[0])
            if isinstance(message, packets.ReaderHello) and len(received[1]) == 1:
                self.add(message.index, received[1][0])
            else:
                close_all(received[1])
        return anybody

    def add(self, reader: int, descriptor: int) -> None:
        """Add a reader; takes over the descriptor and closes it. A known reader is kept."""
        try:
            if reader not in self._tables:
                memory = mmap.mmap(descriptor, 8 * CELLS, prot=mmap.PROT_READ)
                self._tables[reader] = np.frombuffer(memory, np.uint64)
                self._tables = dict(sorted(self._tables.items()))
        finally:
            os.close(descriptor)

    def held(self) -> set[int]:
        """The keys of all slots with a lease."""
        keys: set[int] = set()
        for cells in self._tables.values():
            seen = cells.copy()  # its owner goes on writing meanwhile
            keys.update(seen[seen != 0].tolist())
        return keys


class Lease(np.ndarray):
    """The bytes of a leased slot: arrays on them keep this alive, and its end is reported.

    Attributes:
        lender: the owner of the slot (an ArenaView or an Arena).
        slot: its index there.
        count: called with whether the lease counts against the holder's limit; while it is forwarded, it does not.
        passing: the number of times that it is being forwarded.
    """

    lender: Any = None
    slot: int = -1
    passing: int = 0
    count: Callable[[bool], None] | None = None
    _ended: Callable[[], None] | None = None

    @classmethod
    def on(
        cls,
        memory: memoryview,
        lender: object,
        slot: int,
        ended: Callable[[], None],
        count: Callable[[bool], None] | None = None,
    ) -> Lease:
        """Make a lease on `memory`; `ended` is called when nothing refers to it any more."""
        lease = np.ndarray.__new__(cls, (len(memory),), np.uint8, memory)
        lease.lender = lender
        lease.slot = slot
        lease.count = count
        lease._ended = ended
        return lease

    def __del__(self) -> None:
        if self._ended is not None:
            self._ended()


def lease_of(arrays: Iterable[object]) -> Lease | None:
    """The one lease that all these lie in; None when they do not, or when one of them is no array."""
    found: Lease | None = None
    for array in arrays:
        base = array.base if isinstance(array, np.ndarray) else None
        while type(base) is np.ndarray:  # a view of a leased array
            base = base.base
        if not isinstance(base, Lease) or (found is not None and base is not found):
            return None
        found = base
    return found


def offset_in(lease: Lease, array: np.ndarray) -> int:
    """The offset of an array from the lease's first byte."""
    address: int = array.__array_interface__["data"][0]
    return address - int(lease.__array_interface__["data"][0])
