"""The output of a node: each chunk is numbered and packed once, and goes along every edge.

A chunk is never delayed to be packed with others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ..channel.packet_socket import LARGEST
from ..chunk import DataChunk
from ..edges.output_edge import Lent, OutputEdge
from ..edges.slot_allocator import SlotAllocator
from ..wire import packets, values
from ..wire.packets import CHUNK, Origins, encode_fields

INLINE = 8 * 1024  # payloads up to this size travel inside the packet: a slot costs more than copying them twice
_LONG = LARGEST // 3  # a packet longer than this lies in a slot as well: the kernel's buffer takes only a few of them

# A chunk's cause: the index of the triggering edge (-1 in a source), the number on it, the emission within the step,
# whether it is the last, when (ns, the host's clock), and on: see packets.Chunk.
Label = tuple[int, int, int, bool, int, int, int, Origins]


class Outputs:
    """The one output of a node. `wait` is called while an emission can't go on: it returns False when it must not wait."""

    def __init__(
        self,
        index: int,
        run: int,
        epoch: int,
        slots: int,
        wait: Callable[[list[OutputEdge], int], bool],
    ) -> None:
        self.edges: list[OutputEdge] = []
        self.all_closed = False  # whether no consumer takes this node's output any more
        self._run = run
        self._epoch = epoch
        self._wait = wait
        self._number = 0
        self._lending = SlotAllocator(index, slots, self._collect, self._wait_for_slot)

    def emit(self, value: Any, label: Label) -> None:
        """Send a chunk along all edges; returns when no lossless edge blocks.

        Raises:
            ChunkError: a value can't be sent.
        """
        if not self.edges:
            return
        number = self._number + 1
        lent = None
        is_chunk = isinstance(value, DataChunk)
        rows = values.plain_rows(value.records()) if is_chunk else values.plain_default(value)
        if rows is not None:
            index, trigger, emission, last, created, offset, bound, origin = label  # a star would cost twice as much
            packet = encode_fields((
                CHUNK, self._run, self._epoch, number, index, trigger, emission, last, created, offset, bound, origin, rows
            ))  # fmt: skip
            size = len(packet)
        if rows is None or size > _LONG:
            packet, lent, size = self._place(values.pack(DataChunk.of(value).records(), self._pickles), number, label)
        self._number = number
        held_back = False
        for edge in self.edges:
            if edge.send_chunk(packet, number, lent, size):
                held_back = True
        if held_back:
            self.settle()

    def _encode(self, number: int, label: Label, *payload: Any) -> bytes:
        """Encode the packet; `payload` has its records and either their slot or the inline payload."""
        return encode_fields((CHUNK, self._run, self._epoch, number, *label, *payload))

    @cached_property
    def _pickles(self) -> bool:
        """Whether all targets take pickled values."""
        return all(edge.spec.pickle for edge in self.edges)

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array in a free slot, or in private memory when it is small or none is free; never waits."""
        dtype = np.dtype(dtype)
        array = None
        if self.edges and not dtype.hasobject and prod(shape) * dtype.itemsize > INLINE:
            array = self._lending.allocate(shape, dtype)
        return np.empty(shape, dtype) if array is None else array

    def send_marker(self, kind: int, number: int, origin: Origins) -> None:
        """Send a marker along all edges."""
        packet = packets.encode(packets.Marker(self._run, self._epoch, kind, number, origin))
        for edge in self.edges:
            edge.send_marker(packet, kind == packets.DONE)

    def account(self) -> None:
        """Record the number of chunks that wait here."""
        for edge in self.edges:
            edge.account()

    def flush(self) -> None:
        """Read credit, send the backlog, and note whether any consumer is left."""
        for edge in self.edges:
            if not edge.gone:
                edge.collect()
                edge.flush()
        self._see_who_listens()

    def settle(self) -> None:
        """Wait until no lossless edge has a backlog, and note whether any consumer is left."""
        while waiting := [edge for edge in self.edges if edge.backlog and edge.lossless]:
            if not self._wait(waiting, -1):
                return
            self.flush()
        self._see_who_listens()

    def _see_who_listens(self) -> None:
        kept_for = [edge for edge in self.edges if edge.spec.keeps_alive]
        self.all_closed = bool(kept_for) and all(edge.closed for edge in kept_for)

    def _collect(self) -> None:
        for edge in self.edges:
            if not edge.gone:
                edge.collect()

    def _wait_for_slot(self, bell: int) -> bool:
        waited = self._wait([edge for edge in self.edges if not edge.gone], bell)
        self.flush()
        return waited

    def _place(self, packed: values.Packed, number: int, label: Label) -> tuple[bytes, Lent | None, int]:
        """Place a chunk's payload in its packet or in a slot; returns the packet, the slot, and the bytes of both."""
        lent = None
        if packed.size > INLINE:
            lent = self._lending.place_payload(packed, len(self.edges))
            packet = self._encode(number, label, packed.records, lent[0].ident, lent[1], packed.size)
        else:
            payload = bytearray(packed.size)
            values.write(packed, memoryview(payload))
            packet = self._encode(number, label, packed.records, 0, 0, 0, payload)
        if len(packet) > _LONG:
            packet, lent = self._lengthen(packed, number, label, lent, packet)
        return packet, lent, len(packet) + packed.size

    def _lengthen(
        self, packed: values.Packed, number: int, label: Label, lent: Lent | None, packet: bytes
    ) -> tuple[bytes, Lent]:
        """Put a long packet (it has a large plain value) into a slot of ours, with the payload."""
        offset = -(-packed.size // values.ALIGNMENT) * values.ALIGNMENT if lent else 0
        arena, slot = self._lending.free_slot(offset + len(packet) + values.ALIGNMENT)
        memory = arena.memory(slot)
        if lent is not None:
            memory[: packed.size] = lent[0].memory(lent[1])[: packed.size]
            for _ in self.edges:
                lent[0].give_back(lent[1])
            packet = self._encode(number, label, packed.records, arena.ident, slot, packed.size)
        arena.lend(slot, len(self.edges))
        memory[offset : offset + len(packet)] = packet
        return packets.encode(packets.LongPacket(number, arena.ident, slot, offset, len(packet))), (arena, slot)
