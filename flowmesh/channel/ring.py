"""Rings of packets in shared memory: one process writes, one reads, and a packet costs no system call.

    cells, a cache line each: 0 tail   1 wrap   2 head   3 taken   4 the reader sleeps   5 the writer sleeps
    data: packets end to end, none split; where the next does not fit, the writer continues at the beginning

Tail and wrap are (packets << 32 | bytes) since the beginning of the data, one store each; wrap is where the last round
ended. Head is the reader's position in bytes: the writer stays behind it. Taken is the credit, any number.

A side that is about to sleep sets its cell, makes a fence and checks once more; a side that has written makes a fence
and checks that cell: one of the two sees the other. The doorbell is a packet on the socket beside the ring. Needs
stores and loads in order, as x86-64 has them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading

from ..errors import ChunkError
from .packet_socket import PacketSocket, PeerGone

SIZE = 256 * 1024  # of the data: a window of chunks of 1 kB; small enough to stay in a processor's cache
_LINE = 8  # cells to a cache line
TAIL, WRAP, HEAD, TAKEN, READER_SLEEPS, WRITER_SLEEPS = range(0, 6 * _LINE, _LINE)
_DATA = 4096
_PACKET = 1 << 32
_OFFSET = _PACKET - 1
BELL = b"\0"  # no packet of an edge is so short
_SEALS = 0x1 | 0x2 | 0x4  # F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW: a page that vanished would kill its reader


def make_ring() -> int:
    """The file descriptor of a new ring."""
    descriptor = os.memfd_create("flowmesh-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, _DATA + SIZE)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


class _Side:
    """The common part of both sides: the memory, a fence, and the doorbell of the other side."""

    def __init__(self, descriptor: int, end: PacketSocket) -> None:
        self._memory = mmap.mmap(descriptor, _DATA + SIZE)
        os.close(descriptor)
        with memoryview(self._memory) as memory:
            self._cells = memory[:_DATA].cast("Q")
            self._data = memory[_DATA:]
        self._end = end
        fence = threading.Lock()
        fence.acquire()  # always held: to release and take it is the cheapest full fence
        self._release, self._acquire = fence.release, fence.acquire

    def close(self) -> None:
        """Release the memory; the caller closes the socket."""
        self._cells.release()
        self._data.release()
        self._memory.close()

    def _wake(self, sleeper: int) -> None:
        """Ring the other side's doorbell if that side sleeps."""
        self._release()
        self._acquire()
        if self._cells[sleeper]:
            self._ring(sleeper)

    def _ring(self, sleeper: int) -> None:
        self._cells[sleeper] = 0
        try:
            self._end.send(BELL)  # a full socket wakes the other side anyway
        except PeerGone:
            pass


class RingWriter(_Side):
    """The writer's side."""

    def __init__(self, descriptor: int, end: PacketSocket) -> None:
        super().__init__(descriptor, end)
        self._tail = 0
        self._offset = 0  # the tail's bytes
        self._limit = SIZE
        self._head = 0

    def put(self, packet: bytes) -> bool:
        """Add a packet, which is visible at once; False when there is no room for it now."""
        size = len(packet)
        end = self._offset + size
        if end > self._limit:
            if not self._has_room(size):
                return False
            end = self._offset + size
        self._data[self._offset : end] = packet
        self._offset = end
        cells = self._cells
        cells[TAIL] = self._tail = self._tail + _PACKET + size
        self._release()  # as in _wake: this runs for each packet
        self._acquire()
        if cells[READER_SLEEPS]:
            self._ring(READER_SLEEPS)
        return True

    def _has_room(self, size: int) -> bool:
        """Whether a packet fits, here or at the beginning. The tail never comes up to a head that is ahead of it."""
        self._head = head = self._cells[HEAD]
        if head > self._offset:
            self._limit = head - 1
        elif self._offset + size > SIZE and size < head:
            self._cells[WRAP] = self._tail
            self._offset = self._tail = 0
            self._limit = head - 1
        else:
            self._limit = SIZE
        return self._offset + size <= self._limit

    @property
    def taken(self) -> int:
        """The newest credit."""
        return self._cells[TAKEN]

    @property
    def has_moved(self) -> bool:
        """Whether the reader has read on since there was no room."""
        return self._cells[HEAD] != self._head

    def sleeps(self, asleep: bool) -> None:
        """Ask for the doorbell on credit and room; a fence and a check of both must follow."""
        self._cells[WRITER_SLEEPS] = asleep


class RingReader(_Side):
    """The reader's side."""

    def __init__(self, descriptor: int, end: PacketSocket) -> None:
        super().__init__(descriptor, end)
        self._tail = 0

    @property
    def is_empty(self) -> bool:
        return self._cells[TAIL] == self._tail

    def take(self) -> tuple[int, bytes]:
        """Take all packets that wait: their number, and their bytes, end to end.

        Raises:
            ChunkError: the ring is damaged.
        """
        tail = self._cells[TAIL]
        if tail == self._tail:
            return 0, b""
        begun, start = self._tail >> 32, self._tail & _OFFSET
        count, end = tail >> 32, tail & _OFFSET
        if end < start:
            wrap = self._cells[WRAP]
            count += wrap >> 32
            packets = bytes(self._data[start : wrap & _OFFSET]) + self._data[:end]
        else:
            packets = bytes(self._data[start:end])
        if not 0 < count - begun <= len(packets):
            raise ChunkError("a ring of packets is damaged")
        self._tail = tail
        self._cells[HEAD] = end
        self._wake(WRITER_SLEEPS)
        return count - begun, packets

    def give(self, taken: int) -> None:
        """Give credit."""
        self._cells[TAKEN] = taken
        self._wake(WRITER_SLEEPS)

    def sleeps(self, asleep: bool) -> None:
        """Ask for the doorbell on packets; a fence and a check of `is_empty` must follow."""
        self._cells[READER_SLEEPS] = asleep
