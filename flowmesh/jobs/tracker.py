"""The tasks of one executor: which are unfinished, which have ended and were not yet given out, how many there were."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

from ..errors import StateError
from .future import Attempt, Task

KEPT = 100_000  # ended tasks that are held for as_completed()
_SAYS_AFTER = 2.0  # seconds that a submission waits for room before it says so

log = logging.getLogger("flowmesh")


class TaskTracker:
    """Counts tasks and wakes who waits for their ends."""

    def __init__(self, max_pending: int) -> None:
        self._max_pending = max_pending
        self._changed = threading.Condition()
        self._unfinished: dict[int, Task] = {}
        self._ended: OrderedDict[int, Task] = OrderedDict()
        self._internal: set[int] = set()
        self.outcomes: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.workers: Counter[str] = Counter()
        self.seconds = 0.0
        self.cost = 0.0
        self.closed = False
        self._said = False

    def add(self, task: Task, *, internal: bool = False) -> None:
        """A task is about to be submitted; waits while too many are unfinished. `internal`: not for as_completed()."""
        with self._changed:
            if self.closed:
                raise StateError("this executor was shut down: make a new one")
            begun = time.monotonic()
            while len(self._unfinished) >= self._max_pending:
                self._changed.wait(_SAYS_AFTER)
                if not self._said and time.monotonic() - begun >= _SAYS_AFTER:
                    self._said = True
                    log.warning("submit() waits: %d tasks are unfinished (max_pending)", len(self._unfinished))
            self._unfinished[task.number] = task
            if internal:
                self._internal.add(task.number)

    def remove(self, task: Task) -> None:
        """It was not submitted after all."""
        with self._changed:
            self._unfinished.pop(task.number, None)
            self._internal.discard(task.number)
            self._changed.notify_all()

    def ended(self, task: Task) -> None:
        """It is done, has failed or was cancelled."""
        with self._changed:
            if self._unfinished.pop(task.number, None) is None:
                return
            self.states[task.state] += 1
            if task.number in self._internal:
                self._internal.discard(task.number)
            else:
                self._ended[task.number] = task
                if len(self._ended) > KEPT:
                    self._ended.popitem(last=False)
            self._changed.notify_all()

    def attempt_ended(self, attempt: Attempt) -> None:
        """An attempt of any of them has ended."""
        with self._changed:
            self.outcomes[attempt.outcome] += 1
            self.workers[attempt.worker] += 1
            self.seconds += attempt.seconds
            self.cost += attempt.cost

    def unfinished(self) -> list[Task]:
        with self._changed:
            return list(self._unfinished.values())

    def known(self) -> list[Task]:
        """The unfinished ones, and those that have ended and were not given out."""
        with self._changed:
            return [*self._ended.values(), *self._unfinished.values()]

    def next_ended(self) -> Task | None:
        """Wait for the next task that ends; None when none is left."""
        with self._changed:
            while not self._ended:
                if len(self._unfinished) <= len(self._internal):
                    return None
                self._changed.wait()
            return self._ended.popitem(last=False)[1]

    def wait_all(self) -> None:
        """Wait until nothing is unfinished."""
        with self._changed:
            while self._unfinished:
                self._changed.wait()

    def summary(self) -> str:
        """A small table of what was done."""
        with self._changed:
            states = self.states + Counter({"unfinished": len(self._unfinished)})
            rows = [
                ("tasks", _listed(states)),
                ("attempts", _listed(self.outcomes)),
                ("workers", _listed(self.workers)),
                ("seconds", f"{self.seconds:.2f}"),
                ("cost", f"{self.cost:.4g}"),
            ]
        return "\n".join(f"{name:<9} {text}" for name, text in rows)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "none"


class EndedTasks:
    """The tasks of an executor as they end, with those that are submitted meanwhile; for `for` and `async for`."""

    def __init__(self, tracker: TaskTracker) -> None:
        self._tracker = tracker

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        task = self._tracker.next_ended()
        if task is None:
            raise StopIteration
        return task

    def __aiter__(self) -> EndedTasks:
        return self

    async def __anext__(self) -> Any:
        import asyncio

        task = await asyncio.to_thread(self._tracker.next_ended)
        if task is None:
            raise StopAsyncIteration
        return task
