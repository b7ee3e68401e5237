"""What a node sends: each chunk is numbered and packed once, and goes along every edge of the node's output.

A sender never holds a chunk back to pack it with others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from ..channel.packets import LARGEST
from ..wire import framing, values
from ..wire.framing import Origins
from .lending import Lending
from .outedge import Lent, OutEdge

INLINE = 8 * 1024  # payloads up to this size travel inside the packet: a slot costs more than copying them twice
_LONG = LARGEST // 3  # a packet longer than this lies in a slot as well: the kernel's buffer takes only a few of them

# What caused a step: the index of the triggering edge (-1 in a source), the number on it, the origin.
Cause = tuple[int, int, Origins]
# A chunk's making: its cause, the emission within the step, whether it is the last, and when (ns, the host's clock).
Label = tuple[int, int, Origins, int, bool, int]


class Outputs:
    """The one output of a node. `wait` is called while an emission can't go on: it returns False when it must not wait."""

    def __init__(
        self,
        index: int,
        run: int,
        epoch: int,
        slots: int,
        wait: Callable[[list[OutEdge], int], bool],
    ) -> None:
        self.edges: list[OutEdge] = []
        self.all_closed = False  # whether nobody takes any more what this node emits
        self._run = run
        self._epoch = epoch
        self._wait = wait
        self._number = 0
        self._lending = Lending(index, slots, self._collect, self._wait_for_slot)

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
        array = None
        if self.edges and not dtype.hasobject and prod(shape) * dtype.itemsize > INLINE:
            array = self._lending.allocate(shape, dtype)
        return np.empty(shape, dtype) if array is None else array

    def mark(self, kind: int, number: int, origin: Origins) -> None:
        """Send a mark along all edges."""
        packet = framing.encode(framing.Mark(self._run, self._epoch, kind, number, origin))
        for edge in self.edges:
            edge.mark(packet, kind == framing.DONE)

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

    def _collect(self) -> None:
        for edge in self.edges:
            if not edge.gone:
                edge.collect()

    def _wait_for_slot(self, bell: int) -> bool:
        waited = self._wait([edge for edge in self.edges if not edge.gone], bell)
        self.flush()
        return waited

    def _place(self, packed: values.Packed) -> tuple[Lent | None, bytes]:
        """Where the payload goes: into the packet or into a slot."""
        if packed.size > INLINE:
            return self._lending.place(packed, len(self.edges)), b""
        payload = bytearray(packed.size)
        values.write(packed, memoryview(payload))
        return None, bytes(payload)

    def _encode(self, packed: values.Packed, number: int, label: Label, lent: Lent | None, payload: bytes) -> bytes:
        place, trigger, origin, emission, last, created = label
        arena, slot, size = (lent[0].ident, lent[1], packed.size) if lent else (0, 0, 0)
        return framing.encode_chunk(
            self._run, self._epoch, number, place, trigger, emission, last, created, 0, 0,
            origin, packed.records, arena, slot, size, payload,
        )  # fmt: skip

    def _lengthen(
        self, packed: values.Packed, number: int, label: Label, lent: Lent | None, packet: bytes
    ) -> tuple[bytes, Lent]:
        """The packet itself is long (it holds a large plain value): it goes into a slot of ours, with the payload."""
        offset = -(-packed.size // values.ALIGNMENT) * values.ALIGNMENT if lent else 0
        arena, slot = self._lending.slot(offset + len(packet) + values.ALIGNMENT)
        memory = arena.memory(slot)
        if lent is not None:
            memory[: packed.size] = lent[0].memory(lent[1])[: packed.size]
            for _ in self.edges:
                lent[0].give_back(lent[1])
            packet = self._encode(packed, number, label, (arena, slot), b"")
        arena.lend(slot, len(self.edges))
        memory[offset : offset + len(packet)] = packet
        return framing.encode(framing.Long(number, arena.ident, slot, offset, len(packet))), (arena, slot)
