"""The workers that take tasks: what they have, what runs there, and which of them is best for given needs."""

from __future__ import annotations

from ...wire.capacity import Capacity
from .tasks import AttemptState, Needs


class TaskWorker:
    """One worker: its capacity, and the attempts that it was given and has not ended."""

    def __init__(self, name: str, key: str, capacity: Capacity) -> None:
        self.name = name
        self.key = key
        self.capacity = capacity
        self.attempts: dict[tuple[int, int], AttemptState] = {}
        self.busy = 0  # slots that are taken; more than there are while an attempt that gave its slot away goes on
        self.codes: set[int] = set()
        self._labels = frozenset(capacity.labels)
        self._functions = frozenset(capacity.functions)

    @property
    def lent(self) -> int:
        """Attempts that hold no slot because they wait for tasks of their own."""
        return sum(not attempt.holds_slot for attempt in self.attempts.values())

    def fits(self, needs: Needs) -> bool:
        """Whether it could run such a task when nothing else runs here."""
        if not self.capacity.slots or needs.kind != self.capacity.kind or self.name in needs.avoid:
            return False
        if needs.function:
            if needs.function not in self._functions:
                return False
        elif self.capacity.only_registered:
            return False
        return needs.worker in (None, self.name) and needs.labels <= self._labels

    def describe(self) -> str:
        """A worker as an error names it."""
        return f"{self.name!r} (kind {self.capacity.kind!r}, {self.busy} of {self.capacity.slots} slots busy)"


class TaskWorkers:
    """All workers that take tasks, by their keys."""

    def __init__(self) -> None:
        self.by_key: dict[str, TaskWorker] = {}
        self.by_name: dict[str, TaskWorker] = {}

    def add(self, worker: TaskWorker) -> None:
        self.by_key[worker.key] = self.by_name[worker.name] = worker

    def remove(self, key: str) -> TaskWorker | None:
        """Take a worker out; None if it was not there."""
        worker = self.by_key.pop(key, None)
        if worker is not None:
            del self.by_name[worker.name]
        return worker

    def find_free(self, needs: Needs, ahead: int = 0) -> TaskWorker | None:
        """A worker with a free slot that fits: the cheapest, of equals the least loaded; if there is none, one that has fewer
        than so many calls a slot ahead."""
        fitting = self.fitting(needs)
        free = [worker for worker in fitting if worker.busy < worker.capacity.slots]
        if not free and ahead:
            free = [worker for worker in fitting if worker.busy < worker.capacity.slots * (1 + ahead)]
        return min(free, key=lambda worker: (worker.capacity.price, worker.busy / worker.capacity.slots), default=None)

    def fitting(self, needs: Needs) -> list[TaskWorker]:
        """All that fit, free or not."""
        return [worker for worker in self.by_key.values() if worker.fits(needs)]

    def describe(self) -> str:
        """All workers, as an error lists them."""
        return ", ".join(worker.describe() for worker in self.by_key.values()) or "none"
