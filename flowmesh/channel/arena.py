"""Arenas, shared memory for larger payloads: a memfd cut into slots, written by its producer only, read by all
consumers.

    | header | slot 0 | slot 1 | ... | slot n-1 |        each slot `slot_size` bytes, a multiple of the page

The header's first 64 bits say whether the producer waits for a free slot, the next whether it has given the arena up.

It is sealed: no process can shrink or grow it, and only the producer can map it for writing. It has no name, so it
vanishes with its last file descriptor. It is never made for one frame: slots are reused, the lowest first.
"""

from __future__ import annotations

import fcntl
import heapq
import mmap
import os
from collections.abc import Iterable

from ..errors import ChunkError
from .leases import fence
from .message_socket import close_all

# Not in Python 3.11's fcntl. From linux/fcntl.h.
F_ADD_SEALS = 1033
F_GET_SEALS = 1034
F_SEAL_SEAL = 0x01
F_SEAL_SHRINK = 0x02
F_SEAL_GROW = 0x04
F_SEAL_FUTURE_WRITE = 0x10
SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE


HEADER = mmap.PAGESIZE


class Arena:
    """The producer's side of a set of slots.

    Args:
        bell: the doorbell, an eventfd that wakes the producer when it waits for a free slot.
        door: the registration socket of readers.
    """

    def __init__(self, ident: int, slot_size: int, slots: int, bell: int, door: int) -> None:
        self.ident = ident
        self.slot_size = slot_size
        self.slots = slots
        self.bell = bell
        self.door = door
        size = HEADER + slot_size * slots
        self.descriptor = os.memfd_create("flowmesh-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, size)
        self._memory = memoryview(mmap.mmap(self.descriptor, size))
        self._header = self._memory[:HEADER].cast("Q")
        fcntl.fcntl(self.descriptor, F_ADD_SEALS, SEALS)
        self._free = list(range(slots))
        self._readers = [0] * slots
        self._returned: set[int] = set()  # no edge holds them; a reader may still have a lease

    @property
    def idle(self) -> bool:
        """Whether no slot is in use."""
        return len(self._free) == self.slots

    def take(self) -> int | None:
        """Take the lowest free slot, the likeliest to be in the processor's cache. None when all are in use."""
        return heapq.heappop(self._free) if self._free else None

    def memory(self, slot: int) -> memoryview:
        start = HEADER + slot * self.slot_size
        return self._memory[start : start + self.slot_size]

    def lend(self, slot: int, readers: int) -> None:
        """Lend the slot to `readers` edges, which read or forward it; with 0 it is returned at once."""
        self._readers[slot] = readers
        if not readers:
            self._returned.add(slot)

    def lend_more(self, slot: int, readers: int) -> None:
        """Lend the slot to `readers` more."""
        self._readers[slot] += readers

    def give_back(self, slot: int) -> None:
        """Note that one of them is done with the slot, or has a lease on it."""
        self._readers[slot] -= 1
        if not self._readers[slot]:
            self._returned.add(slot)

    @property
    def returned(self) -> frozenset[int]:
        """The slots that are free unless a reader has a lease on them."""
        return frozenset(self._returned)

    def reclaim(self, slots: Iterable[int]) -> None:
        """Free these returned slots, which have no lease."""
        for slot in slots:
            self._returned.discard(slot)
            heapq.heappush(self._free, slot)

    def ask_for_slots(self, asking: bool) -> None:
        """Set whether a reader that ends a lease rings the doorbell."""
        self._header[0] = asking

    def close(self) -> None:
        """Close the file, and mark it as retired for its readers; the mapping goes with its last view."""
        if self.descriptor >= 0:
            self._header[1] = True
            os.close(self.descriptor)
            self.descriptor = -1


class ArenaView:
    """A consumer's side: a read-only mapping of another process's arena. Owns the descriptors, to pass them on.

    Attributes:
        introduced: whether the owner knows this reader; nothing may be leased before.

    Raises:
        ChunkError: the file is not what was announced, or could be shrunk under the mapping.
    """

    def __init__(self, ident: int, descriptor: int, bell: int, door: int, slot_size: int, slots: int) -> None:
        self.ident = ident
        self.descriptor = descriptor
        self.bell = bell
        self.door = door
        self.introduced = False
        self.slot_size = slot_size
        self.slots = slots
        size = HEADER + slot_size * slots
        try:
            if slot_size <= 0 or slots <= 0 or os.fstat(descriptor).st_size != size:
                raise ChunkError("an arena is not of the size that was announced")
            if fcntl.fcntl(descriptor, F_GET_SEALS) & SEALS != SEALS:
                raise ChunkError("an arena is not sealed")
            self._memory = memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ))
        except ChunkError:
            self.close()
            raise
        except (OSError, OverflowError) as error:
            self.close()
            raise ChunkError(f"an arena can't be mapped: {error}") from error
        self._header = self._memory[:HEADER].cast("Q")

    @property
    def retired(self) -> bool:
        """Whether the producer has given it up: no slot is in transit or leased."""
        return bool(self._header[1])

    def memory(self, slot: int, size: int) -> memoryview:
        """The first `size` bytes of a slot.

        Raises:
            ChunkError: there is no such slot, or it is smaller.
        """
        if not (0 <= slot < self.slots and 0 <= size <= self.slot_size):
            raise ChunkError(f"a chunk names slot {slot} with {size} bytes, which its arena does not have")
        start = HEADER + slot * self.slot_size
        return self._memory[start : start + size]

    def lease_ended(self) -> None:
        """Wake the producer if it waits for the end of a lease; called after one has ended."""
        fence()
        if self._header[0]:
            os.eventfd_write(self.bell, 1)

    def close(self) -> None:
        """Close the descriptors; the mapping goes with its last view."""
        close_all([descriptor for descriptor in (self.descriptor, self.bell, self.door) if descriptor >= 0])
        self.descriptor = self.bell = self.door = -1


def size_class(size: int) -> int:
    """The slot size for payloads of `size` bytes: pages, in steps of an eighth of a power of two, so that frames that
    grow a little seldom need a new arena and never waste more than an eighth."""
    step = max(mmap.PAGESIZE, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step
