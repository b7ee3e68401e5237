"""Retransmission on the producer's side: chunks are kept until they are settled. Chunks are opaque. No I/O.

    given ──► kept ──► settled by all lossless edges: forgotten
                └────► sent, as far as an edge's window goes; again on each new connection, from what its consumer has

The end of the stream is a number like any other; it is kept until each consumer has closed its edge.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

from ...errors import ChunkError
from ...wire.packets import Origins
from ..node.flow_control import SendWindow
from .connection_id import ConnectionId, ResumePosition

Item = TypeVar("Item")


class RetransmitBuffer(Generic[Item]):
    """The numbers of an output, and its chunks that some lossless edge has not settled.

    Args:
        edges: the indices of its lossless edges.
        cap: the most chunks that may be unsettled; then the node waits.
        first: the number of the first chunk: 1, or `next` of the checkpoint of an earlier incarnation.
        marked: the node's watermark in that checkpoint.
    """

    def __init__(self, edges: Iterable[int], cap: int, first: int = 1, marked: Origins | None = None) -> None:
        self.cap = cap
        self.marked: Origins = marked or {}  # the newest watermark; it is sent again on each new connection
        self.marked_behind = first - 1  # the number of the chunk before it
        self.highest = first - 1  # the number given last
        self.end = 0  # the number of the end; 0 until it is given
        self._settled = dict.fromkeys(edges, first - 1)
        self._items: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    @property
    def kept(self) -> Collection[int]:
        """The numbers of what is kept."""
        return self._items.keys()

    @property
    def has_room(self) -> bool:
        """Whether one more chunk may be given."""
        return len(self._items) < self.cap

    @property
    def settled(self) -> int:
        """All up to this number is settled on every lossless edge. A new incarnation may not have emitted it yet."""
        return min(self._settled.values(), default=self.highest)

    def keep(self, item: Item) -> int:
        """Keep a chunk that a step emits; returns its number. A chunk that an earlier incarnation emitted gets its old
        number, and is kept until it is settled as if it were new."""
        self.highest += 1
        if self.settled < self.highest:
            self._items[self.highest] = item
        return self.highest

    def keep_end(self, item: Item) -> int:
        """Keep the end of the stream, which needs no room."""
        self.end = self.keep(item)
        return self.end

    def watermark_passed(self, origin: Origins) -> None:
        """Replace the node's watermark."""
        self.marked = origin
        self.marked_behind = self.highest

    def item(self, number: int) -> Item:
        """A kept chunk.

        Raises:
            ChunkError: it was forgotten, although a consumer has not settled it.
        """
        try:
            return self._items[number]
        except KeyError:
            raise ChunkError(f"chunk {number} was forgotten before it was settled") from None

    def consumer_settled(self, index: int, number: int) -> list[int]:
        """Note that an edge has settled all up to a number; returns the numbers that are forgotten for it."""
        self._settled[index] = max(self._settled[index], number)
        return self._forget()

    def consumer_closed(self, index: int) -> list[int]:
        """Note that an edge has settled everything, the end too; returns the numbers that are forgotten for it."""
        self._settled.pop(index, None)
        return self._forget()

    def _forget(self) -> list[int]:
        settled = self.settled
        gone = [number for number in self._items if number <= settled]
        for number in gone:
            del self._items[number]
        return gone


class ReliableSender(Generic[Item]):
    """One lossless edge, over several connections. Nothing is sent until the consumer has reported."""

    def __init__(self, index: int, keeping: RetransmitBuffer[Item], depth: int, slots: int) -> None:
        self._place = index
        self._keeping = keeping
        self._depth = depth
        self._slots = slots
        self.connection: ConnectionId | None = None
        self.window: SendWindow | None = None  # of this connection, once the consumer has reported
        self.closed = False
        self._told: Origins = {}  # the watermark that was sent on this connection

    @property
    def held_back(self) -> bool:
        """Whether the window prevents sending; without a connection, only the output's cap does."""
        return self.window is not None and not self.closed and self.window.sent < self._keeping.highest

    def connected(self, connection: ConnectionId) -> None:
        """Begin a new connection, which replaces any other."""
        self.connection = connection
        self.window = None
        self._told = {}

    def position_reported(self, connection: ConnectionId, report: ResumePosition) -> list[int]:
        """Handle the consumer's resume position; returns the numbers that are forgotten for it."""
        if connection != self.connection:
            return []
        self.window = SendWindow(self._depth, self._slots)
        self.window.sent = report.last
        self.window.taken = report.taken
        if report.closed:
            self.closed = True
            return self._keeping.consumer_closed(self._place)
        return self._keeping.consumer_settled(self._place, report.settled)

    def credit_received(self, connection: ConnectionId, taken: int, settled: int) -> list[int]:
        """Handle credit: the consumer has taken, and settled, all up to these numbers; returns the numbers that are
        forgotten for it.

        Raises:
            ChunkError: the credit covers chunks that were never sent.
        """
        if connection != self.connection or self.window is None or self.closed:
            return []
        if settled > self.window.sent:
            raise ChunkError(f"chunk {settled} is settled, but only {self.window.sent} were sent")
        self.window.receive_credit(taken)
        return self._keeping.consumer_settled(self._place, settled)

    def next_due(self) -> tuple[int, Item] | None:
        """The next chunk to send, which the consumer does not have, with its number. The end needs no room."""
        window = self.window
        if window is None or self.closed or window.sent >= self._keeping.highest:
            return None
        number = window.sent + 1
        if number != self._keeping.end and number > window.last:
            return None
        return number, self._keeping.item(number)

    def watermark_due(self) -> Origins | None:
        """The node's newest watermark, once all chunks before it are sent, unless it was sent already."""
        keeping = self._keeping
        if self.window is None or self.closed or self.window.sent < keeping.marked_behind:
            return None
        if keeping.marked == self._told:
            return None
        self._told = keeping.marked
        return self._told

    def sent(self, number: int, shared: bool = False) -> None:
        """Note that the due chunk was sent."""
        if self.window is not None:
            self.window.record_sent(number, shared)


class LatestSender(Generic[Item]):
    """One lossy edge, over several connections: only the newest chunk is kept, and given to each new incarnation of the
    consumer that wants one.

    `newest` must outlive the producer: the step that made it is not repeated, as a chunk on a lossy edge is settled at
    once.
    """

    def __init__(self, newest: tuple[int, Item] | None = None) -> None:
        self.newest = newest
        self.connection: ConnectionId | None = None
        self.closed = False
        self._end: tuple[int, Item] | None = None
        self._sent: int | None = None  # None until the consumer has reported

    def replace_newest(self, number: int, item: Item) -> int:
        """Keep an emitted chunk; returns the number of the unsent chunk that it replaces, 0 for none."""
        if self.newest is None:
            self.newest = number, item
            return 0
        before = self.newest[0]
        if number <= before:
            return 0  # an earlier incarnation emitted it
        self.newest = number, item
        return before if self._sent is None or before > self._sent else 0

    def replace_with_end(self, number: int, item: Item) -> None:
        """Keep the end of the stream."""
        self._end = number, item

    def connected(self, connection: ConnectionId) -> None:
        """Begin a new connection, which replaces any other."""
        self.connection = connection
        self._sent = None

    def position_reported(self, connection: ConnectionId, report: ResumePosition) -> None:
        """Handle the consumer's resume position."""
        if connection == self.connection:
            self._sent = report.last
            self.closed = self.closed or report.closed

    def next_due(self) -> tuple[int, Item] | None:
        """The chunk to send now, with its number."""
        if self._sent is None or self.closed:
            return None
        if self.newest is not None and self.newest[0] > self._sent:
            return self.newest
        if self._end is not None and self._end[0] > self._sent:
            return self._end
        return None

    def sent(self, number: int) -> None:
        """Note that the due chunk was sent."""
        self._sent = number
