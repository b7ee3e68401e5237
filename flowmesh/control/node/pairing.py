"""Joins that pair items: zip by number, Align by time. No I/O. The interface is that of `joins`; besides:

watermark(index, progress)   all items of an input up to this number (zip) or time (Align) have come
drop_unpaired()              the items found to have no partner since the last call
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic

from .joins import Dropped, Item


class ZipJoin(Generic[Item]):
    """A step for each full set of partners: the i-th item of a number on one input with the i-th of it on every other.

    Numbers never fall on an input, so an item has no partner once another input is beyond its number, or its watermark
    is.

    Args:
        inputs: the number of inputs.
        number: the number by which an item of an input is paired.
    """

    def __init__(self, inputs: int, number: Callable[[int, Item], int]) -> None:
        self._number = number
        self._queues: list[deque[tuple[int, Item]]] = [deque() for _ in range(inputs)]
        self._reached = [0] * inputs  # everything of an input up to this number has come
        self._ended: set[int] = set()
        self._shed: list[Dropped[Item]] = []

    def add_chunk(self, index: int, item: Item) -> Dropped[Item] | None:
        number = self._number(index, item)
        self._queues[index].append((number, item))
        self.watermark(index, number - 1)
        return None

    def watermark(self, index: int, progress: int) -> None:
        self._reached[index] = max(self._reached[index], progress)

    def end_input(self, index: int) -> None:
        self._ended.add(index)

    def next_step(self) -> tuple[int, dict[int, Item]] | None:
        while any(self._queues) and not self.finished:
            heads = [queue[0][0] if queue else None for queue in self._queues]
            if None not in heads and len(set(heads)) == 1:
                return 0, {index: queue.popleft()[1] for index, queue in enumerate(self._queues)}
            if not self._shed_lone(heads):
                return None
        return None

    def _shed_lone(self, heads: list[int | None]) -> bool:
        """Drop the oldest items whose number another input has passed; returns whether there were any."""
        passed = [reached if head is None else head - 1 for head, reached in zip(heads, self._reached, strict=True)]
        found = False
        for index, head in enumerate(heads):
            others = passed[:index] + passed[index + 1 :]
            if head is not None and max(others) >= head:
                self._shed.append((index, self._queues[index].popleft()[1], "unmatched"))
                found = True
        return found

    @property
    def missing(self) -> list[int]:
        """The inputs without a waiting item: as long as one of them brings nothing, no step can come."""
        return [index for index, queue in enumerate(self._queues) if not queue]

    def drop_unpaired(self) -> list[Dropped[Item]]:
        gone, self._shed = self._shed, []
        return gone

    def waiting(self, index: int) -> int:
        return len(self._queues[index])

    def give_up(self, index: int) -> Item:
        return self._queues[index].popleft()[1]

    def drain_rest(self) -> list[tuple[int, Item]]:
        left = [(index, item) for index, queue in enumerate(self._queues) for _, item in queue]
        for queue in self._queues:
            queue.clear()
        return left

    @property
    def finished(self) -> bool:
        return any(not self._queues[index] for index in self._ended)


class AlignJoin(Generic[Item]):
    """A step for each item of the first input that has a partner in time on every other: the nearest within
    `tolerance`.

    It is decided once each other input has passed the item's time by `tolerance`, or has ended; or with the items at
    hand, when an input is full: the awaited item may come only after it. For the same reason an input that is full
    while no item of the first waits drops its oldest. An item may be the partner of several.

    Args:
        inputs: the number of inputs.
        tolerance: in the unit of `time`.
        time: the time of an item; it never falls on an input.
        full: whether the input at this index may bring nothing more while this number of its items wait.
    """

    def __init__(
        self, inputs: int, tolerance: int, time: Callable[[Item], int], full: Callable[[int, int], bool]
    ) -> None:
        self._tolerance = tolerance
        self._time = time
        self._full = full
        self._queues: list[deque[tuple[int, Item]]] = [deque() for _ in range(inputs)]
        self._reached = [-1] * inputs
        self._ended: set[int] = set()
        self._used: set[int] = set()  # indices of inputs whose oldest item was a partner already
        self._shed: list[Dropped[Item]] = []

    def add_chunk(self, index: int, item: Item) -> Dropped[Item] | None:
        time = self._time(item)
        self._queues[index].append((time, item))
        self.watermark(index, time - 1)
        return None

    def watermark(self, index: int, progress: int) -> None:
        self._reached[index] = max(self._reached[index], progress)

    def end_input(self, index: int) -> None:
        self._ended.add(index)

    def next_step(self) -> tuple[int, dict[int, Item]] | None:
        reference = self._queues[0]
        others = range(1, len(self._queues))
        while reference:
            time = reference[0][0]
            if not all(self._has_passed(index, time + self._tolerance) for index in others) and not self._any_full():
                return None
            partners = {index: near for index in others if (near := self._nearest(index, time)) is not None}
            item = reference.popleft()[1]
            if len(partners) == len(others):
                self._used.update(others)
                return 0, {0: item, **{index: near for index, (_, near) in partners.items()}}
            self._shed.append((0, item, "unaligned"))
        self._forget_old()
        for index in others:
            while self._is_full(index):
                self._drop_oldest(index)
        return None

    def _any_full(self) -> bool:
        return any(self._is_full(index) for index in range(len(self._queues)))

    def _is_full(self, index: int) -> bool:
        return self._full(index, len(self._queues[index]) - (index in self._used))

    def _has_passed(self, index: int, time: int) -> bool:
        return index in self._ended or self._reached[index] >= time

    def _nearest(self, index: int, time: int) -> tuple[int, Item] | None:
        """The nearest item of an input; older ones, which have no partner any more, are dropped."""
        queue = self._queues[index]
        while len(queue) > 1 and abs(queue[1][0] - time) <= abs(queue[0][0] - time):
            self._drop_oldest(index)
        if not queue or abs(queue[0][0] - time) > self._tolerance:
            return None
        return queue[0]

    def _forget_old(self) -> None:
        """Drop items older than the reference has reached, while none of the reference waits: they have no partner."""
        since = self._reached[0] - self._tolerance
        for index in range(1, len(self._queues)):
            queue = self._queues[index]
            while queue and (queue[0][0] < since or (0 in self._ended and not self._queues[0])):
                self._drop_oldest(index)

    def _drop_oldest(self, index: int) -> None:
        _, item = self._queues[index].popleft()
        if index not in self._used:
            self._shed.append((index, item, "unaligned"))
        self._used.discard(index)

    def drop_unpaired(self) -> list[Dropped[Item]]:
        gone, self._shed = self._shed, []
        return gone

    def waiting(self, index: int) -> int:
        return len(self._queues[index]) - (index in self._used)

    def give_up(self, index: int) -> Item:
        if index in self._used:
            self._drop_oldest(index)
        return self._queues[index].popleft()[1]

    def drain_rest(self) -> list[tuple[int, Item]]:
        left = []
        for index, queue in enumerate(self._queues):
            items = [item for _, item in queue]
            left += [(index, item) for item in items[1 if index in self._used else 0 :]]
            queue.clear()
        self._used.clear()
        return left

    @property
    def finished(self) -> bool:
        return 0 in self._ended and not self._queues[0]
