"""Numbered, acknowledged packets between two peers: each message arrives once and in order, or the peer is gone. No I/O.

A control link drops messages when too much waits and when a connection dies. A session resends what was not
acknowledged, from the first such packet on, and takes each packet once. An *epoch* separates a worker's registrations:
a packet of an earlier epoch is dropped, one of a later epoch begins the session anew.
"""

from __future__ import annotations

from collections import deque
from math import inf

from ...errors import LinkError
from ...wire.job_messages import AnyJobMessage, JobMessage, decode_batch, encode_batch, encode_job
from ...wire.messages import TaskPacket

WINDOW = 8  # packets under way
MOST_MESSAGES = 100  # of one packet: what a peer does with them takes a few milliseconds
MOST_BYTES = 256 * 1024  # of one packet, unless a single message is larger
RESEND_AFTER = 1.0  # seconds without an acknowledgement
ACKNOWLEDGE_AFTER = 0.05  # seconds: mostly an answer carries it before
ACKNOWLEDGE_BEYOND = WINDOW // 2  # packets that may wait for it


class Session:
    """One peer's end. `put` what is to be sent, send all `packets`, hand in what was `received`."""

    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch
        self._waiting: deque[bytes] = deque()
        self._unacknowledged: deque[tuple[int, bytes]] = deque()
        self._last_sent = 0
        self._last_received = 0
        self._last_acknowledged = 0
        self._acknowledge_at = inf
        self._resend_at = inf

    @property
    def due(self) -> float:
        """When `packets` has something to send that waits for its time; infinity for never."""
        return min(self._resend_at, self._acknowledge_at)

    @property
    def is_idle(self) -> bool:
        """Whether all that was put has arrived."""
        return not self._waiting and not self._unacknowledged

    @property
    def backlog(self) -> int:
        """Messages that wait for room in the window."""
        return len(self._waiting)

    def put(self, message: JobMessage) -> None:
        """Send this, behind all that was put before."""
        self._waiting.append(encode_job(message))

    def packets(self, now: float) -> list[TaskPacket]:
        """What is to be sent now: again what was not acknowledged in time, then new packets, or an acknowledgement."""
        bodies = list(self._unacknowledged) if now >= self._resend_at else []
        while self._waiting and len(self._unacknowledged) < WINDOW:
            self._last_sent += 1
            packet = (self._last_sent, self._next_body())
            self._unacknowledged.append(packet)
            bodies.append(packet)
        if bodies:
            self._resend_at = now + RESEND_AFTER
        elif now >= self._acknowledge_at or self._last_received - self._last_acknowledged >= ACKNOWLEDGE_BEYOND:
            bodies = [(0, b"")]
        else:
            return []
        self._last_acknowledged, self._acknowledge_at = self._last_received, inf
        return [TaskPacket(self.epoch, number, self._last_received, body) for number, body in bodies]

    def _next_body(self) -> bytes:
        taken = [self._waiting.popleft()]
        size = len(taken[0])
        while self._waiting and len(taken) < MOST_MESSAGES and size + len(self._waiting[0]) <= MOST_BYTES:
            taken.append(self._waiting.popleft())
            size += len(taken[-1])
        return encode_batch(taken)

    def received(self, packet: TaskPacket, now: float) -> list[AnyJobMessage]:
        """The messages of a packet that is the next one; none of any other.

        Raises:
            LinkError: the packet is damaged; it stays unacknowledged.
        """
        if packet.epoch != self.epoch:
            return []
        self._acknowledge(packet.acknowledged, now)
        if not packet.number:
            return []
        if packet.number != self._last_received + 1:
            self._acknowledge_at = now  # it missed our acknowledgement
            return []
        messages = decode_batch(packet.body)
        self._last_received = packet.number
        self._acknowledge_at = min(self._acknowledge_at, now + ACKNOWLEDGE_AFTER)
        return messages

    def _acknowledge(self, number: int, now: float) -> None:
        if number > self._last_sent:
            raise LinkError(f"a packet acknowledges number {number}, and only {self._last_sent} were sent")
        while self._unacknowledged and self._unacknowledged[0][0] <= number:
            self._unacknowledged.popleft()
            self._resend_at = now + RESEND_AFTER
        if not self._unacknowledged:
            self._resend_at = inf
