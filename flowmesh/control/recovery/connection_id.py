"""The identity of an edge's connection, and the consumer's first message on a new one. No I/O.

A message that comes late on a replaced connection is discarded: its numbers mean nothing any more.
"""

from __future__ import annotations

from typing import NamedTuple


class ConnectionId(NamedTuple):
    """The name of one connection of an edge.

    Attributes:
        producer: the epoch of the producer, from 1: which of its incarnations.
        consumer: the epoch of the consumer.
        serial: which connection between these two; it rises when a link was lost and neither end died.
    """

    producer: int
    consumer: int
    serial: int = 0


class ResumePosition(NamedTuple):
    """Consumer → Producer, first on each connection: where to go on.

    Attributes:
        last: the newest number that has arrived; the next to be sent is the one behind it.
        taken: all up to this number was taken into a step, or dropped.
        settled: all up to this number may be forgotten.
        closed: the consumer has ended and settled all. Its worker says so for one that has left.
    """

    last: int = 0
    taken: int = 0
    settled: int = 0
    closed: bool = False
