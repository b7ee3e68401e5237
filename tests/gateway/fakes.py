"""A producer and its consumers on two hosts, moved by the test."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from typing import Any

import numpy as np

from flowmesh.channel.counters import CounterPage
from flowmesh.channel.packet_socket import LARGEST, PacketSocket, pair
from flowmesh.chunk import DataChunk
from flowmesh.edges.input_edge import LeaseHolder
from flowmesh.edges.remote_input import RemoteInputEdge
from flowmesh.edges.remote_output import LossyRemoteOutputEdge, RemoteOutputEdge
from flowmesh.edges.slot_allocator import SlotAllocator
from flowmesh.wire import packets, values
from flowmesh.wire.messages import EdgeEnd
from flowmesh.wire.plan_specs import Transfer

from ..conftest import SCALE

INLINE = 8 * 1024
WITHIN = 30.0  # seconds
NAMES = ("film", "edges", "sink", "sink1", "sink2", "sink3")


class Producer:
    """The node at the transfer's source. `page` is the link's; `theirs` the end that the link gets."""

    def __init__(self, transfer: Transfer) -> None:
        ours, self.theirs = pair()
        spec = transfer.edges[0]
        lossy = spec.policy != "lossless"
        end = EdgeEnd(spec.index, spec.target, spec.policy, spec.depth, spec.slots, False, linked=True)
        self.own = CounterPage.make(1, 0)
        self.page = CounterPage.make(1, 0)
        receiving = PacketSocket(os.dup(self.theirs)) if lossy else None
        kind = LossyRemoteOutputEdge if lossy else RemoteOutputEdge
        self.edge = kind(end, PacketSocket(ours), receiving, self.own, self.own.output(0))
        self.lending = SlotAllocator(transfer.output, 12, self.edge.collect, self._wait_on)
        self.number = 0

    def emit(self, value: Any, content_type: str = "other", within: float = WITHIN) -> None:
        """Send a chunk; waits while a lossless edge holds it back."""
        self.start(value, content_type)
        deadline = time.monotonic() + within * SCALE
        while self.edge.lossless and self.edge.backlog:
            assert time.monotonic() < deadline, "the edge is full"
            self.wait(deadline - time.monotonic())

    def start(self, value: Any, content_type: str = "other") -> None:
        """Send a chunk, or leave it in the backlog."""
        packed = values.pack([("default", value, content_type)])
        self.number += 1
        lent, index, payload = None, (0, 0, 0), b""
        if packed.size > INLINE:
            lent = self.lending.place_payload(packed, 1)
            index = (lent[0].ident, lent[1], packed.size)
        else:
            memory = bytearray(packed.size)
            values.write(packed, memoryview(memory))
            payload = bytes(memory)
        packet = packets.encode_fields(
            (packets.CHUNK, 1, 1, self.number, -1, self.number, 0, True, time.time_ns(), 0, 0, {}, packed.records,
             *index, payload)
        )  # fmt: skip
        if len(packet) > LARGEST // 3:
            arena, slot = lent = self.lending.free_slot(len(packet))
            arena.memory(slot)[: len(packet)] = packet
            arena.lend(slot, 1)
            packet = packets.encode(packets.LongPacket(self.number, arena.ident, slot, 0, len(packet)))
        self.edge.send_chunk(packet, self.number, lent, len(packet) + packed.size)

    def wait(self, within: float = WITHIN) -> None:
        """Until the link has said something."""
        poll = select.poll()
        poll.register(self.edge.end, select.POLLIN | (select.POLLOUT if self.edge.wants_room else 0))
        poll.poll(within * 1000)
        self.edge.collect()
        self.edge.flush()

    def _wait_on(self, bell: int) -> bool:
        self.wait(WITHIN * SCALE)
        return True

    def rewire(self) -> None:
        """The link was restarted."""
        ours, self.theirs = pair()
        receiving = None if self.edge.lossless else PacketSocket(os.dup(self.theirs))
        self.edge.rewire(PacketSocket(ours), receiving)

    def mark(self, kind: int, number: int) -> None:
        self.edge.send_marker(packets.encode(packets.Marker(1, 1, kind, number, {})), kind == packets.DONE)

    def close(self) -> None:
        self.edge.end.close()

    @property
    def sent(self) -> tuple[int, int]:
        """Chunks and bytes that the link has put on the wire."""
        block = self.page.output(0)
        return self.page.cells[block], self.page.cells[block + 1]

    @property
    def dropped(self) -> int:
        """Chunks that were dropped before they were put on the wire, by the producer or by its link."""
        return sum(sum(page.dropped(page.output(0)).values()) for page in (self.own, self.page))


class Consumer:
    """A node at the transfer's target. `theirs` are the ends that the link gets."""

    def __init__(self, transfer: Transfer, index: int = 0, hold: int = 4) -> None:
        self.spec = transfer.edges[index]
        self.page = CounterPage.make(0, 1)
        self.holder = LeaseHolder(NAMES.index(self.spec.target), hold, lambda text: None)
        self.waiting: deque[Any] = deque()
        self.marks: list[tuple[int, int]] = []  # kind, and how many chunks had come before
        self.arrived = 0
        self.edge: RemoteInputEdge = None  # type: ignore[assignment]
        self.connect()

    def connect(self) -> None:
        spec = self.spec
        theirs, ours = pair()
        self.theirs = [theirs] if spec.policy == "lossless" else [theirs, os.dup(ours)]
        end = EdgeEnd(spec.index, spec.source, spec.policy, spec.depth, spec.slots, False, linked=True)
        if self.edge is None:
            self.edge = RemoteInputEdge(end, NAMES, self.holder, PacketSocket(ours), self.page, self.page.input(0))
        else:
            self.edge.rewire(PacketSocket(ours))

    @property
    def end(self) -> PacketSocket:
        return self.edge.end

    def receive(self) -> None:
        """Take what is there, without waiting."""
        for packet in self.edge.receive():
            if isinstance(packet, packets.CHUNKS):
                self.waiting.append(self.edge.arrived(packet))
                self.arrived += 1
            elif isinstance(packet, packets.Marker):
                self.marks.append((packet.kind, self.arrived))

    def take(self, within: float = WITHIN) -> DataChunk:
        """The next chunk."""
        deadline = time.monotonic() + within * SCALE
        while not self.waiting:
            left = deadline - time.monotonic()
            assert left > 0, f"nothing more came after {self.arrived} chunks"
            select.select([self.end], [], [], left)
            self.receive()
            assert self.waiting or not self.edge.gone, "the channel was closed"
        item = self.waiting.popleft()
        chunk = item.open()
        self.edge.taken(item.chunk.number, item.shared)
        return chunk

    def value(self, within: float = WITHIN) -> Any:
        return self.take(within).get("default")["value"]

    def wait_for(self, what: Any, within: float = WITHIN) -> None:
        """Receive until `what()` is true."""
        deadline = time.monotonic() + within * SCALE
        while not what():
            left = deadline - time.monotonic()
            assert left > 0, "it did not come"
            select.select([self.end], [], [], left)
            self.receive()

    def close(self) -> None:
        self.end.close()


def frame(number: int, shape: tuple[int, ...] = (1080, 1920, 3)) -> np.ndarray:
    """Content that no codec can guess, and that tells its number."""
    rows = np.random.default_rng(number).integers(0, 256, shape[1:], np.uint8)
    made = np.empty(shape, np.uint8)
    made[:] = rows
    made[0] = number % 256
    return made
