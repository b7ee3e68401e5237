"""An incoming transfer, on its target's host: from the peer into slots of our own, and along an edge to each consumer.

Everything from the peer is checked first; it may send no more than it has credit for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from ..channel.arena import Arena
from ..channel.counters import CounterPage
from ..channel.packet_socket import PacketSocket
from ..control.gateway.reassembly import Complete, Reassembly
from ..edges.output_edge import OutputEdge
from ..edges.slot_allocator import SlotAllocator
from ..errors import ChunkError, LinkError
from ..wire import link_messages, packets
from ..wire.messages import EdgeEnd
from ..wire.plan_specs import Transfer
from .codec_pipeline import CodecPipeline, decode_into
from .local_writer import LocalWriter

ARENAS = 1 << 19  # the ids of a gateway's arenas begin after those of all nodes
LINKS = 20  # the bits above hold the number of earlier gateways, whose arenas may still be read

Small = tuple[link_messages.ChunkHeader | packets.Marker, bytes]  # a packet of a batch, and its header


class PendingChunk:
    """A packet to deliver in order, or a chunk whose slot is being filled."""

    __slots__ = ("done", "lent", "number", "packet", "ready", "size")

    def __init__(self, packet: bytes, number: int, size: int, lent: tuple[Arena, int] | None = None) -> None:
        self.packet = packet
        self.number = number  # 0: a marker
        self.size = size
        self.lent = lent
        self.ready = lent is None
        self.done = False  # of a marker: whether a newer one may replace it


class IncomingTransfer:
    """One incoming transfer."""

    def __init__(
        self,
        transfer: Transfer,
        descriptors: Sequence[int],
        page: CounterPage,
        coding: CodecPipeline,
        run: int,
        again: int,
        complain: Callable[[str], None],
    ) -> None:
        self.transfer = transfer
        self._coding = coding
        self._complain = complain
        self._lossless = transfer.edges[0].policy == "lossless"
        self._depth = transfer.edges[0].depth
        self._assembly = Reassembly()
        self._queue: deque[PendingChunk] = deque()
        self._credited = 0
        self._told = 0  # of that, what was sent on the present connection
        self._position: int | None = None  # the last number received; None until all consumers have reported theirs
        self._ended = False
        self._over = False  # whether what is still being decoded has no consumer any more
        self._arena = 0  # the one that is in use
        files = iter(descriptors)
        self.deliveries: list[LocalWriter] = []
        for place, spec in enumerate(transfer.edges):
            end = EdgeEnd(
                spec.index, transfer.source, spec.policy, spec.depth, spec.slots, spec.follow, bytes=spec.bytes
            )
            ends = [PacketSocket(next(files)) for _ in range(1 if self._lossless else 2)]
            edge = OutputEdge(end, ends[0], None if self._lossless else ends[1], page, page.output(place))
            self.deliveries.append(LocalWriter(edge, ends, None if again else 0))
        self._end_mark = packets.encode(packets.Marker(run, 0, packets.END, 0, {}))
        index = (again % 128) << LINKS | ARENAS | transfer.index
        self._lending = SlotAllocator(index, transfer.slots, self._collect, lambda bell: False)
        self._told_closed = False

    # --- the peer ----------------------------------------------------------------------------------------------------

    def resume(self) -> int | None:
        """The number after which the peer continues on a new connection; None when that is not known yet."""
        if self._position is None and all(each.arrived is not None for each in self.deliveries):
            living = [each.arrived or 0 for each in self.deliveries if each.living]
            self._position = self._credited = min(living, default=0)
            if not living:
                self.end()
        return self._position

    def link_lost(self) -> None:
        """Note that the connection is lost; an incomplete chunk comes again."""
        self._assembly = Reassembly()
        self._told_closed = False
        self._told = 0

    def received_from_link(
        self,
        said: link_messages.EncodedChunk | link_messages.Fragment | link_messages.PacketBatch,
        data: link_messages.Data,
    ) -> bool:
        """Handle a message of the transfer; returns whether the peer waits for an Ack of it.

        After the end, everything is ignored.

        Raises:
            LinkError, ChunkError: it is damaged, or not allowed now.
        """
        if self._ended:
            return True
        match said:
            case link_messages.PacketBatch():
                self._assembly.check_idle()
                small = link_messages.read_bundle(said, data)
                (self._wait_behind if self._queue else self._hand_on)(small)
            case link_messages.EncodedChunk():
                self._check_parcel(said)
                self._complete(self._assembly.begin_chunk(said, data))
            case link_messages.Fragment():
                self._complete(self._assembly.add_fragment(said, data))
        self._deliver()
        return not self._lossless

    def _hand_on(self, small: list[Small]) -> None:
        """Deliver a packet batch at once: nothing waits before it."""
        edges = [(each.arrived or 0, each.edge) for each in self.deliveries]
        for head, packet in small:
            if isinstance(head, packets.Marker):
                for _, edge in edges:
                    edge.send_marker(packet, head.kind == packets.DONE)
                continue
            number = head.number
            self._check_number(number)
            self._position = number
            for arrived, edge in edges:
                if number > arrived:
                    edge.send_chunk(packet, number, None, len(packet))

    def _wait_behind(self, small: list[Small]) -> None:
        """Queue packets after a chunk that is still being decoded."""
        for head, packet in small:
            if isinstance(head, packets.Marker):
                item = PendingChunk(packet, 0, 0)
                item.done = head.kind == packets.DONE
            else:
                self._check_number(head.number)
                self._position = head.number
                item = PendingChunk(packet, head.number, len(packet))
            self._queue.append(item)

    def _check_parcel(self, parcel: link_messages.EncodedChunk) -> None:
        chunk = link_messages.read_chunk(parcel.packet)
        self._check_number(chunk.number)
        used = chunk.size if isinstance(chunk, link_messages.ChunkHeader) else chunk.offset + chunk.size
        if not 0 < used <= parcel.size or not chunk.arena:
            raise LinkError(f"chunk {chunk.number} is said to need {used} bytes of a slot, but {parcel.size} come")

    def _check_number(self, number: int) -> None:
        before = self._position
        if before is None or number <= before or (self._lossless and number != before + 1):
            raise LinkError(f"chunk {number} came after chunk {before}")
        if self._lossless and number > self._credited + self._depth:
            raise LinkError(f"chunk {number} came without credit")

    def _complete(self, complete: Complete | None) -> None:
        """Decode a chunk into a slot, if it is complete."""
        if complete is None:
            return
        parcel, data = complete
        chunk = link_messages.read_chunk(parcel.packet)
        self._position = chunk.number
        if not any(each.living for each in self.deliveries):
            self._queue.append(PendingChunk(parcel.packet, chunk.number, parcel.size))
            return
        arena, slot = self._lending.free_slot(parcel.size)
        arena.lend(slot, len(self.deliveries))
        packet = (
            chunk.moved(arena.ident, slot)
            if isinstance(chunk, link_messages.ChunkHeader)
            else packets.encode(packets.LongPacket(chunk.number, arena.ident, slot, chunk.offset, chunk.size))
        )
        item = PendingChunk(packet, chunk.number, len(packet) + parcel.size, (arena, slot))
        self._queue.append(item)
        if arena.ident != self._arena:  # the old one was outgrown
            self._coding.kept.pop(self._arena, None)
            self._arena = arena.ident
        self._coding.forget(arena.ident, slot)
        work = partial(decode_into, parcel.blobs, data, arena.memory(slot))
        self._coding.pool.submit(parcel.size, work, partial(self._decoded, item, parcel, data, arena.ident, slot))

    def _decoded(
        self,
        item: PendingChunk,
        parcel: link_messages.EncodedChunk,
        data: link_messages.Data,
        arena: int,
        slot: int,
        error: ChunkError | None,
    ) -> None:
        if error is not None:
            self._fail(str(error))
        if self._over:
            return
        self._coding.keep(arena, slot, parcel.blobs, data)
        item.ready = True
        self._deliver()

    def _fail(self, text: str) -> None:
        """End the transfer: a chunk can't be decoded, so the consumers get no more."""
        self._over = True
        self._complain(f"what {self.transfer.source!r} sends can't be decoded, its stream ends here: {text}")
        self._queue.clear()
        self.end()

    # --- the consumers -----------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        """Deliver what is ready, in order."""
        queue, deliveries = self._queue, self.deliveries
        while queue and queue[0].ready:
            item = queue.popleft()
            number, lent = item.number, item.lent
            for each in deliveries:
                if not number:
                    each.edge.send_marker(item.packet, item.done)
                elif number > (each.arrived or 0):
                    each.edge.send_chunk(item.packet, number, lent, item.size)
                elif lent is not None:
                    lent[0].give_back(lent[1])
        if self._ended:
            self._close_when_empty()

    def _collect(self) -> None:
        for each in self.deliveries:
            if not (each.edge.gone or each.over):
                each.edge.collect()

    def listen(self, delivery: LocalWriter) -> None:
        """Read from a consumer, and send to it if its channel has room again."""
        delivery.listen()
        if self._ended:
            self._close_when_empty()

    def credit(self) -> int | None:
        """The number up to which all consumers have taken all, if that is news to the peer."""
        if self._position is None or not self._lossless:
            return None
        living = [each.edge.window.taken for each in self.deliveries if each.living]
        self._credited = max(self._credited, min(living, default=self._position))
        if self._credited == self._told:
            return None
        self._told = self._credited
        return self._told

    @property
    def closed(self) -> bool:
        """Whether no consumer takes any more; true once on each connection."""
        if self._told_closed or any(each.living for each in self.deliveries):
            return False
        self._told_closed = True
        return True

    def end(self) -> None:
        """End the transfer: when all is delivered, close the consumers' channels with an END marker."""
        if not self._ended:
            self._ended = True
            self._queue.append(PendingChunk(self._end_mark, 0, 0))
        self._deliver()

    def _close_when_empty(self) -> None:
        for each in self.deliveries:
            if not self._queue and (not each.edge.backlog or each.edge.gone):
                each.close()

    def close(self) -> None:
        """Close the channels; what waits is dropped."""
        self._over = True
        self._queue.clear()
        for each in self.deliveries:
            each.close()
