"""The base of outgoing transfers, from the producer's channel to the peer. Chunks that wait stay in the channel.

`lossless` and `lossy` have the two ways of reading the channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial

from ..channel.counters import BUSY, ERRORS, REASON_CELL, STEPS, CounterPage
from ..control.gateway.send_scheduler import Segment, SendScheduler
from ..errors import ChunkError
from ..wire import link_messages, packets
from ..wire.plan_specs import Transfer
from .codec_pipeline import CodecStream, CodedChunk
from .local_reader import LocalReader

BUNDLE = 60 * 1024  # bytes of packets in a batch, beyond which none is added: the longest one just fits
LAST_MARKS = 4  # markers after the last chunk that are sent again on a new connection

Chunk = link_messages.ChunkHeader | packets.LongPacket


class OutgoingTransfer(ABC):
    """One outgoing transfer.

    Attributes:
        tap: the gateway's end of the producer's channel.
        sending: the scheduler of the peer's connection, from the peer's ResumeTransfer until the connection is lost.
    """

    def __init__(
        self,
        transfer: Transfer,
        tap: LocalReader,
        page: CounterPage,
        stream: CodecStream,
        complain: Callable[[str], None],
    ) -> None:
        self.transfer = transfer
        self.tap = tap
        self.sending: SendScheduler | None = None
        self._index = transfer.index
        self._cells = page.cells
        self._block = page.output(0)
        self._stream = stream
        self._complain = complain
        self._position = 0  # the last number that was read
        self._asked = 0  # how many requests to begin again the producer has not answered yet
        self._dropped = 0  # of what is dropped, the last number for which credit was given
        self._discards: str | None = None  # the reason for which all that comes is dropped
        self._queue: deque[list[Segment]] = deque()  # in order; an empty list is being encoded
        self._encoding = 0
        self._marks: deque[bytes] = deque(maxlen=LAST_MARKS)  # those after the last chunk
        self._told_end = False

    # --- the peer ----------------------------------------------------------------------------------------------------

    def resume(self, sending: SendScheduler, arrived: int) -> None:
        """Begin to send: the peer is connected and has all up to a number."""
        if self._discards is None:
            self.link_lost()
            self.sending = sending
            self._told_end = False
            self._resume(arrived)

    def link_lost(self) -> None:
        """Note that the connection is lost, with all that was on it."""
        self.sending = None
        self._queue.clear()
        self._encoding = 0

    def credit(self, taken: int) -> None:  # noqa: B027
        """Note that the remote consumers have taken all up to a number."""

    def discard(self, reason: str) -> None:
        """Drop everything from now on under that reason: no consumer takes any more."""
        if self._discards is None:
            self._discards = reason
            self.link_lost()
            self.tap.close_edge()
            self._credit_dropped()

    def refuse(self) -> None:
        """Count a message about this transfer from a peer that it does not concern."""
        self._cells[ERRORS] += 1

    def close(self) -> None:
        """Close the channel."""
        self.link_lost()
        self.tap.close()

    @property
    def at_end(self) -> bool:
        """Whether the producer has gone and all its packets were sent; true once on each connection."""
        sending = self.sending
        if not self.tap.gone or self._told_end or sending is None or self._queue or sending.waiting_bytes(self._index):
            return False
        self._told_end = True
        return True

    # --- the channel -------------------------------------------------------------------------------------------------

    @property
    def wants(self) -> bool:
        """Whether the channel is to be read."""
        if self.tap.gone:
            return False
        return self._discards is not None or (self.sending is not None and self._may_read(self.sending))

    def serve(self) -> None:
        """Take from the channel what can be sent soon, and send the producer the packets that had to wait."""
        self.tap.flush()
        try:
            if self._discards is not None and not self.tap.gone:
                self._read_to_drop(self._discards)
            elif self.wants:
                self._read()
        except ChunkError as error:
            self._complain(f"what {self.transfer.source!r} sends can't be read, its stream ends here: {error}")
            self.tap.gone = True

    def _read_to_drop(self, reason: str) -> None:
        while (packet := self.tap.next_packet()) is not None:
            tag = link_messages.kind(packet)
            if tag == link_messages.RESUME:
                self._begin_again(packet)
            elif tag != link_messages.MARK and not self._asked:
                self._position = max(self._position, link_messages.read_chunk(packet).number)
                self._count(reason)
        self._credit_dropped()

    def _credit_dropped(self) -> None:
        if self._position > self._dropped and not self._asked:
            self._dropped = self._position
            self.tap.credit(self._position)

    def _begin_again(self, packet: bytes) -> None:
        """Handle the producer's ResumeAfter: it begins again after a number, and repeats what came later."""
        resume = packets.decode(packet)
        if isinstance(resume, packets.ResumeAfter):
            self._position = resume.arrived
            self._asked = max(0, self._asked - 1)

    @abstractmethod
    def _resume(self, arrived: int) -> None:
        """Continue after a number."""

    @abstractmethod
    def _may_read(self, sending: SendScheduler) -> bool:
        """Whether more can be sent soon."""

    @abstractmethod
    def _read(self) -> None:
        """Read what waits, and batch or encode it."""

    # --- sending -----------------------------------------------------------------------------------------------------

    def _bundle(self, encoded: list[bytes], chunks: int) -> None:
        """Send these packets as one batch; `chunks` of them are chunks."""
        if encoded:
            head = link_messages.encode(link_messages.PacketBatch(self._index, list(map(len, encoded))))
            self._cells[self._block] += chunks
            self._queue.append([Segment(head, b"".join(encoded))])
            self._pump()

    def _encode(self, packet: bytes, chunk: Chunk) -> None:
        """Send a chunk that lies in a slot."""
        memory = self.tap.memory(chunk)
        index: list[Segment] = []
        self._queue.append(index)
        self._encoding += 1
        then = partial(self._encoded, self.sending, index, packet, len(memory))
        self._stream.encode(chunk.number, packet, memory, then)

    def _encoded(
        self, sending: SendScheduler | None, index: list[Segment], packet: bytes, size: int, coded: CodedChunk
    ) -> None:
        coded = self._released(coded)
        if sending is not self.sending:
            return  # for a connection that was lost
        self._encoding -= 1
        self._cells[STEPS] += coded.fresh
        for blob in coded.blobs:
            self._cells[BUSY] |= 1 << blob.codec
        self._cells[self._block] += 1
        index += [Segment(head, data) for head, data in coded.messages(self._index, packet, size)]
        self._pump()

    def _released(self, coded: CodedChunk) -> CodedChunk:
        """The encoded chunk, independent of its slot."""
        return coded

    def _pump(self) -> None:
        """Pass what is ready to the scheduler, in order."""
        while self._queue and self._queue[0] and self.sending is not None:
            pieces = self._queue.popleft()
            self._cells[self._block + 1] += sum(piece.size for piece in pieces)
            self.sending.enqueue_segments(self._index, pieces)

    def _count(self, reason: str, chunks: int = 1) -> None:
        self._cells[self._block + REASON_CELL[reason]] += chunks
