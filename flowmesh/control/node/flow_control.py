"""Flow control of one edge: send and receive windows. No I/O; chunks are known by their numbers only."""

from __future__ import annotations

from ...errors import ChunkError


class SendWindow:
    """The producer's side of an edge: the limit of what is sent but not taken by the consumer.

    A chunk counts as one of `depth`, and as one of `slots` as well when its payload lies in shared memory. With
    `bytes`, the chunks that are sent but not taken are no larger than that, unless there is a single one.
    """

    def __init__(self, depth: int, slots: int, bytes: int = 0) -> None:
        self.depth = depth
        self.slots = slots
        self.bytes = bytes
        self.sent = 0  # the number of the newest chunk that was sent
        self.taken = 0  # the number of the newest that the consumer has taken
        self.lent: list[int] = []  # numbers of chunks in shared slots that are not yet taken
        self._sizes: dict[int, int] = {}  # of what is not yet taken, where bytes count

    def has_room(self, shared: bool, size: int = 0) -> bool:
        """Whether one more chunk, of `size` bytes, may be sent."""
        if self.sent - self.taken >= self.depth or (shared and len(self.lent) >= self.slots):
            return False
        return not self._sizes or sum(self._sizes.values()) + size <= self.bytes

    def record_sent(self, number: int, shared: bool, size: int = 0) -> None:
        """Count the chunk of that number as sent."""
        self.sent = max(self.sent, number)
        if shared:
            self.lent.append(number)
        if self.bytes:
            self._sizes[number] = size

    @property
    def last(self) -> int:
        """The last number that has room, of chunks that lie in no slot, where bytes do not count."""
        return 0 if self.bytes else self.taken + self.depth

    def receive_credit(self, taken: int) -> list[int]:
        """Note that the consumer has taken all up to a number; returns the numbers of chunks whose slots it no longer
        needs.

        Raises:
            ChunkError: the consumer claims a chunk that was never sent.
        """
        if taken > self.sent:
            raise ChunkError(f"credit for chunk {taken}, but only {self.sent} were sent")
        self.taken = max(self.taken, taken)
        done = [number for number in self.lent if number <= self.taken]
        self.lent = [number for number in self.lent if number > self.taken]  # in any order: some were taken back
        self._sizes = {number: size for number, size in self._sizes.items() if number > self.taken}
        return done

    def withdraw(self, number: int) -> bool:
        """Take back a chunk that the consumer has not read; returns whether it held a slot, which is free now."""
        self._sizes.pop(number, None)
        if number in self.lent:
            self.lent.remove(number)
            return True
        return False

    def withdraw_beyond(self, number: int) -> None:
        """Take back all chunks beyond that number: they will be sent again."""
        self.sent = number
        self.lent = [lent for lent in self.lent if lent <= number]
        self._sizes = {sent: size for sent, size in self._sizes.items() if sent <= number}


class ReceiveWindow:
    """The consumer's side of an edge: the order of chunks, and when credit is due.

    Credit is returned in batches of a quarter of the window: the producer is woken once for many chunks, and three
    quarters of the window are always its own, so that withheld credit never stops it. Where the window is one of bytes
    as
    well, it is returned for each chunk: a few can fill it.
    """

    def __init__(self, depth: int, lossless: bool, bytes: int = 0) -> None:
        self._depth = depth
        self._batch = 1 if bytes else max(1, depth // 4)
        self._lossless = lossless
        self.arrived = 0
        self.taken = 0
        self.due = self._batch  # the number with which credit is due

    @property
    def full(self) -> int:
        """The number of small waiting chunks at which the producer may have to wait; on a lossy edge it never has to,
        and one more waits."""
        return self._depth - self._batch + 1 if self._lossless else self._depth + 1

    def record_arrival(self, number: int) -> None:
        """Check the number of a chunk that has arrived.

        Raises:
            ChunkError: it arrived before, or on a lossless edge one before it is missing.
        """
        if number <= self.arrived or (self._lossless and number != self.arrived + 1):
            raise ChunkError(f"chunk {number} came after chunk {self.arrived}")
        self.arrived = number

    def record_taken(self, number: int, shared: bool) -> int:
        """Note that a chunk was taken or dropped; returns the number to give credit for now, 0 when that can wait."""
        if number > self.taken:
            self.taken = number
            if number < self.due and not shared:
                return 0
        elif not shared:
            return 0
        self.due = self.taken + self._batch
        return self.taken
