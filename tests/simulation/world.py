"""A world of virtual time: a seeded scheduler, and edges whose messages are late but in order on each connection.

Nothing here knows the rules of delivery. A message that was sent on a connection which is over may still come, after
messages of the next one: whoever receives it must refuse it.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, NamedTuple

from flowmesh.control.recovery.connection_id import ConnectionId


class Broken(AssertionError):
    """A rule was broken; the text says which and where."""


class Clock:
    """Runs what was put off, in the order of its time. The seed decides every time, so a seed is a schedule."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.events = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()

    def later(self, delay: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._serial), act))

    def step(self) -> bool:
        """Run the next event; whether there was one."""
        if not self._queue:
            return False
        self.now, _, act = heapq.heappop(self._queue)
        self.events += 1
        act()
        return True


class Message(NamedTuple):
    """Something on its way. `at` is when it can be read."""

    at: float
    serial: int
    connection: ConnectionId
    kind: str  # "connected" | "chunk" | "mark" | "end" | "report" | "credit"
    body: Any


class Way:
    """One direction of an edge: messages in order on each connection, late, and arbitrary across connections."""

    def __init__(self, clock: Clock, latency: float, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._latency = latency
        self._wake = wake
        self._last = 0.0
        self._serial = count()
        self._open: ConnectionId | None = None
        self.messages: list[Message] = []

    def send(self, connection: ConnectionId, kind: str, body: Any) -> bool:
        """Send; False when the connection is lost already, and with it what is sent."""
        if connection != self._open:
            return False
        random = self._clock.random
        self._last = max(self._last, self._clock.now + random.random() * self._latency)
        insort(self.messages, Message(self._last, next(self._serial), connection, kind, body))
        self._clock.later(self._last - self._clock.now, self._wake)
        return True

    def open(self, connection: ConnectionId, notify: bool) -> None:
        """A new connection; its receiver, if there is one, learns it at once."""
        self._open = connection
        if not notify:
            return
        insort(self.messages, Message(self._clock.now, -1, connection, "connected", None))
        self._last = self._clock.now
        self._clock.later(0.0, self._wake)

    @property
    def can_be_read(self) -> bool:
        return bool(self.messages) and self.messages[0].at <= self._clock.now

    def receive(self) -> Message | None:
        return self.messages.pop(0) if self.can_be_read else None

    def take_out(self, message: Message) -> None:
        """The producer of a lossy edge takes back what the consumer has not read."""
        self.messages.remove(message)

    def lose(self) -> list[Message]:
        """The connection is lost: with it the newest messages, any number of them; others come late, even very late."""
        random = self._clock.random
        self._open = None
        self.messages = [message for message in self.messages if message.kind != "connected"]
        keep = random.randint(0, len(self.messages)) if random.random() < 0.7 else len(self.messages)
        lost, self.messages = self.messages[keep:], self.messages[:keep]
        shift = random.choice((0.0, self._latency, 5 * self._latency, 20 * self._latency))
        if shift:
            self.messages = [message._replace(at=message.at + shift) for message in self.messages]
            for message in self.messages:
                self._clock.later(message.at - self._clock.now, self._wake)
        self._last = self._clock.now
        return lost
