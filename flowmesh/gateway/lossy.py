"""An outgoing lossy transfer. One chunk or batch is unacknowledged at a time; after its Ack the newest is sent. The
producer gets credit as soon as its slot is not needed any more: when the chunk is encoded."""

from __future__ import annotations

from collections.abc import Callable

from ..channel.counters import CounterPage
from ..control.gateway.send_scheduler import SendScheduler
from ..wire import link_messages
from ..wire.plan_specs import Transfer
from .codec_pipeline import CodecStream, CodedChunk
from .local_reader import LocalReader
from .outgoing import BUNDLE, Chunk, OutgoingTransfer


class LossyOutgoingTransfer(OutgoingTransfer):
    """An outgoing lossy transfer. Numbers rise, with gaps."""

    def __init__(
        self,
        transfer: Transfer,
        tap: LocalReader,
        page: CounterPage,
        stream: CodecStream,
        complain: Callable[[str], None],
    ) -> None:
        super().__init__(transfer, tap, page, stream, complain)
        edge = transfer.edges[0]
        self._most = edge.depth  # small chunks in a batch
        self._overtaken = "superseded" if edge.policy == "latest" else "oldest"
        self._under_way: list[int] = []  # numbers that the peer may not have

    def _resume(self, arrived: int) -> None:
        self._count(self._overtaken, sum(number > arrived for number in self._under_way))
        self._under_way.clear()
        self._bundle(list(self._marks), 0)

    def _may_read(self, sending: SendScheduler) -> bool:
        return not self._queue and not sending.is_unsettled(self._index)

    def _read(self) -> None:
        packets: list[bytes] = []
        size = 0
        self._under_way.clear()
        while len(self._under_way) < self._most and size < BUNDLE and (packet := self.tap.next_packet()) is not None:
            tag = link_messages.kind(packet)
            if tag in link_messages.CHUNKS:
                chunk = link_messages.read_chunk(packet)
                if self._is_overtaken(chunk):
                    continue
                self._position = chunk.number
                self._marks.clear()
                if chunk.arena:
                    self._bundle(packets, len(self._under_way))
                    self._under_way.append(chunk.number)
                    self._encode(packet, chunk)
                    return
                self._under_way.append(chunk.number)
            elif tag == link_messages.MARK:
                self._marks.append(packet)
            else:
                continue
            packets.append(packet)
            size += len(packet)
        self._bundle(packets, len(self._under_way))
        if self._under_way:
            self.tap.credit(self._position)

    def _is_overtaken(self, chunk: Chunk) -> bool:
        """Whether the chunk is older than one that was read, or lies in an arena without an announcement: as on any
        lossy edge, the producer takes back packets that wait, and sends some again."""
        if chunk.number > self._position and (not chunk.arena or chunk.arena in self.tap.views):
            return False
        self._count(self._overtaken)
        self._position = max(self._position, chunk.number)
        self.tap.credit(self._position)
        return True

    def _released(self, coded: CodedChunk) -> CodedChunk:
        detached = coded.detached()
        self.tap.credit(self._position)
        return detached
