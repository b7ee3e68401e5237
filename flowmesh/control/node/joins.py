"""Joins of several inputs into one step. A join keeps what waits and picks what the next step gets; items are opaque.

add_chunk(index, item)   add an item; returns what must be dropped for it
end_input(index)         no more will come from that input
next_step()              (triggering input, {input: item}) of the next step, or None when it must wait
give_up(index)           remove the oldest waiting item of an input: no step will have it
drain_rest()             remove all items that no step has had
waiting(index)           the number of those items of an input
finished                 whether no step will come any more
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Dropped = tuple[int, Item, str]


class Join(Protocol[Item]):
    """The interface of joins; see the module's docstring."""

    def add_chunk(self, index: int, item: Item) -> Dropped[Item] | None: ...

    def end_input(self, index: int) -> None: ...

    def next_step(self) -> tuple[int, dict[int, Item]] | None: ...

    def give_up(self, index: int) -> Item: ...

    def drain_rest(self) -> list[tuple[int, Item]]: ...

    def waiting(self, index: int) -> int: ...

    @property
    def finished(self) -> bool: ...


class PairingJoin(Join[Item], Protocol):
    """A join that looks for partners; see `pairing`."""

    def watermark(self, index: int, progress: int) -> None: ...

    def drop_unpaired(self) -> list[Dropped[Item]]: ...


class AnyJoin(Generic[Item]):
    """A step for each item, in the order of arrival."""

    def __init__(self, inputs: int) -> None:
        self._open = set(range(inputs))
        self._queue: deque[tuple[int, Item]] = deque()

    def add_chunk(self, index: int, item: Item) -> Dropped[Item] | None:
        self._queue.append((index, item))
        return None

    def end_input(self, index: int) -> None:
        self._open.discard(index)

    def next_step(self) -> tuple[int, dict[int, Item]] | None:
        if not self._queue:
            return None
        index, item = self._queue.popleft()
        return index, {index: item}

    def waiting(self, index: int) -> int:
        return sum(where == index for where, _ in self._queue)

    def give_up(self, index: int) -> Item:
        oldest = next(each for each in self._queue if each[0] == index)
        self._queue.remove(oldest)
        return oldest[1]

    def drain_rest(self) -> list[tuple[int, Item]]:
        left = list(self._queue)
        self._queue.clear()
        return left

    @property
    def finished(self) -> bool:
        return not self._open and not self._queue


class FollowJoin(Generic[Item]):
    """A step for each item of the followed input, with the newest item of every other input.

    The first step waits until all inputs have brought something. Until then `keeps` items of the followed input wait as
    well; beyond that, the oldest is dropped.
    """

    def __init__(self, inputs: int, followed: int, keeps: int) -> None:
        self._followed = followed
        self._keeps = keeps
        self._queue: deque[Item] = deque()
        self._newest: dict[int, Item] = {}
        self._used: set[int] = set()
        self._missing = set(range(inputs)) - {followed}
        self._ended: set[int] = set()

    @property
    def never_fires(self) -> int | None:
        """An input that has ended without bringing anything: no step can come."""
        return min(self._missing & self._ended, default=None)

    def add_chunk(self, index: int, item: Item) -> Dropped[Item] | None:
        if index == self._followed:
            self._queue.append(item)
            if self._missing and len(self._queue) > self._keeps:
                return index, self._queue.popleft(), "before_first"
            return None
        unused = index in self._newest and index not in self._used
        dropped = (index, self._newest[index], "superseded") if unused else None
        self._newest[index] = item
        self._used.discard(index)
        self._missing.discard(index)
        return dropped

    def end_input(self, index: int) -> None:
        self._ended.add(index)

    def next_step(self) -> tuple[int, dict[int, Item]] | None:
        if self._missing or not self._queue:
            return None
        self._used.update(self._newest)
        return self._followed, {self._followed: self._queue.popleft(), **self._newest}

    def waiting(self, index: int) -> int:
        return len(self._queue) if index == self._followed else int(index in self._newest and index not in self._used)

    def give_up(self, index: int) -> Item:
        assert index == self._followed  # of each other input one waits at most
        return self._queue.popleft()

    def drain_rest(self) -> list[tuple[int, Item]]:
        left = [(self._followed, item) for item in self._queue]
        left += [(index, item) for index, item in self._newest.items() if index not in self._used]
        self._queue.clear()
        self._newest.clear()
        return left

    @property
    def finished(self) -> bool:
        return self.never_fires is not None or (self._followed in self._ended and not self._queue)
