"""Scheduling of the segments that go to one peer: transfers alternate by bytes, and few bytes are unacknowledged. No
I/O.

Deficit round robin (Shreedhar and Varghese, 1995): a transfer of large arrays gets as many bytes as one of small chunks
that has as much to send, and a small one waits for no more than one quantum of each other. Unacknowledged bytes lie in
buffers where they can be neither overtaken nor replaced: hence the limit. Requests and answers go first and do not
count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import LinkError

AHEAD = 256 * 1024  # unacknowledged bytes: at 100 Mbit/s 21 ms, and 250 MB/s when an answer takes 1 ms
QUANTUM = 32 * 1024  # bytes by which a transfer's share grows in each round


class Segment(NamedTuple):
    """One message of a transfer: its head and its data."""

    head: bytes
    data: bytes | memoryview

    @property
    def size(self) -> int:
        """The bytes that it takes of the limit."""
        return len(self.head) + len(self.data)


class SendScheduler:
    """The encoded chunks and packet batches that go to one peer on one connection."""

    def __init__(self, ahead: int = AHEAD, quantum: int = QUANTUM) -> None:
        self._ahead = ahead
        self._quantum = quantum
        self._queues: dict[int, deque[Segment]] = {}
        self._waiting: dict[int, int] = {}  # bytes, by transfer
        self._turns: deque[int] = deque()  # the transfers that have something to send
        self._shares: dict[int, int] = {}
        self._until: dict[int, int] = {}  # where on the connection the last segment of a transfer ended
        self.sent = 0
        self.acknowledged = 0

    def enqueue_segments(self, transfer: int, pieces: Sequence[Segment]) -> None:
        """Queue segments, at least one, in order."""
        queue = self._queues.setdefault(transfer, deque())
        if not queue:
            self._turns.append(transfer)
            self._shares[transfer] = 0
        queue.extend(pieces)
        self._waiting[transfer] = self._waiting.get(transfer, 0) + sum(piece.size for piece in pieces)

    def next_segment(self) -> Segment | None:
        """The segment to send now; None when nothing waits, or the peer has to acknowledge something first."""
        while self._turns:
            transfer = self._turns[0]
            size = self._queues[transfer][0].size
            under_way = self.sent - self.acknowledged
            if under_way and under_way + size > self._ahead:
                return None
            if size <= self._shares[transfer]:
                return self._take(transfer, size)
            self._shares[transfer] += self._quantum
            self._turns.rotate(-1)
        return None

    def _take(self, transfer: int, size: int) -> Segment:
        queue = self._queues[transfer]
        piece = queue.popleft()
        self.sent += size
        self._shares[transfer] -= size
        self._waiting[transfer] -= size
        self._until[transfer] = self.sent
        if not queue:
            self._turns.popleft()
        return piece

    def acknowledge(self, received: int) -> None:
        """Note that the peer has received this number of bytes.

        Raises:
            LinkError: the peer acknowledges bytes that were not sent, or fewer than before.
        """
        if not self.acknowledged <= received <= self.sent:
            raise LinkError(f"{received} bytes are confirmed after {self.acknowledged}, but {self.sent} were sent")
        self.acknowledged = received

    def waiting_bytes(self, transfer: int) -> int:
        """The bytes of a transfer that were not sent yet."""
        return self._waiting.get(transfer, 0)

    def is_unsettled(self, transfer: int) -> bool:
        """Whether the transfer has unacknowledged or queued bytes."""
        return self.waiting_bytes(transfer) > 0 or self._until.get(transfer, 0) > self.acknowledged
