"""An outgoing lossless transfer. It gives no credit of its own but passes on that of the remote consumers, so that the
producer keeps every chunk until they have it. After a lost connection it asks the producer to send again."""

from __future__ import annotations

from ..control.gateway.send_scheduler import AHEAD, SendScheduler
from ..wire import link_messages
from .outgoing import BUNDLE, OutgoingTransfer

CODING = 2  # chunks that are encoded at a time
CHUNKS = 1024  # in a batch


class LosslessOutgoingTransfer(OutgoingTransfer):
    """An outgoing lossless transfer. Numbers have no gaps, so chunks are counted and only those in slots opened."""

    _skip_to = 0  # what the peer has already
    _taken = 0  # what the remote consumers have taken
    _passed = 0  # of that, the credit that the producer got

    def credit(self, taken: int) -> None:
        self._taken = max(self._taken, taken)
        self._pass_credit()

    def _pass_credit(self) -> None:
        """Pass credit to the producer, never beyond what was read: a new channel's producer counts the rest as
        unsent."""
        taken = min(self._taken, self._position)
        if taken > self._passed and not self._asked:
            self._passed = taken
            self.tap.credit(taken)

    def _resume(self, arrived: int) -> None:
        self._skip_to = arrived
        if arrived < self._position:
            self._asked += 1
            self.tap.resume(arrived)
        elif arrived == self._position and not self._asked:
            self._bundle(list(self._marks), 0)

    def _may_read(self, sending: SendScheduler) -> bool:
        return self._encoding < CODING and sending.waiting_bytes(self._index) < AHEAD

    def _read(self) -> None:
        packets: list[bytes] = []
        chunks = size = 0
        tap = self.tap
        while size < BUNDLE and chunks < CHUNKS and (packet := tap.next_packet()) is not None:
            tag = link_messages.kind(packet)
            if tag == link_messages.RESUME:
                self._begin_again(packet)
                continue
            if self._asked:
                continue
            if tag == link_messages.MARK:
                if self._position < self._skip_to:
                    continue
                self._marks.append(packet)
            else:
                self._position += 1
                if self._position <= self._skip_to:
                    continue
                self._marks.clear()
                if (tap.views or tag == link_messages.LONG) and (chunk := link_messages.read_chunk(packet)).arena:
                    self._bundle(packets, chunks)
                    packets = []
                    self._encode(packet, chunk)
                    break
                chunks += 1
            packets.append(packet)
            size += len(packet)
        self._bundle(packets, chunks)
        if self._taken > self._passed:
            self._pass_credit()
