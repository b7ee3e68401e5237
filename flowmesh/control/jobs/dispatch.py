"""Which ready task goes to which worker now, and which waits are over. It starts and ends nothing itself."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import inf

from ...wire.job_messages import TaskFailure
from ...wire.task_states import TaskState
from .attempts import choose_avoided
from .budget import could_cover, covers, exceeded
from .ready import ReadyQueue
from .tasks import ExecutorRecord, Needs, TaskRecord
from .workers import TaskWorker, TaskWorkers

Timer = tuple[float, int, TaskRecord]


class Dispatcher:
    """The ready tasks, what they wait for, and the workers."""

    def __init__(self) -> None:
        self.workers = TaskWorkers()
        self._ready = ReadyQueue()
        self._delayed: list[Timer] = []  # backoff: when it may be queued
        self._impatient: list[Timer] = []  # wait_timeout: when it is over
        self._avoiding: dict[int, TaskRecord] = {}
        self._last = 0

    @property
    def due(self) -> float:
        """When `tick` has something to do; infinity for never."""
        heads = [timers[0][0] for timers in (self._delayed, self._impatient) if timers]
        return min([*heads, *(task.avoid_until for task in self._avoiding.values())], default=inf)

    def make_ready(self, task: TaskRecord, at: float, now: float) -> None:
        """The task is ready; it may start at this time, which is now or later."""
        task.ready_at = at
        if task.options.wait_timeout is not None:
            self._set_timer(self._impatient, at + task.options.wait_timeout, task)
        if at > now:
            self._set_timer(self._delayed, at, task)
        else:
            self._queue(task, now)

    def _set_timer(self, timers: list[Timer], at: float, task: TaskRecord) -> None:
        self._last += 1
        heapq.heappush(timers, (at, self._last, task))

    def _queue(self, task: TaskRecord, now: float) -> None:
        self._avoiding.pop(task.number, None)
        if task.failed_by or task.submitted.avoid:
            choose_avoided(task, self.workers, now)
            self._avoiding[task.number] = task
        self._ready.add(task)

    def workers_changed(self, now: float) -> None:
        """Tasks that avoid workers choose anew."""
        for task in list(self._avoiding.values()):
            if task.state is TaskState.READY:
                self._queue(task, now)
            else:
                del self._avoiding[task.number]

    def starts(self, now: float) -> Iterator[tuple[TaskRecord, TaskWorker | TaskFailure]]:
        """Each task that starts now, with its worker; or that can't start any more, with why. The caller moves its state
        before it asks for the next."""
        held: set[ExecutorRecord] = set()
        blocked: set[tuple[Needs, int]] = set()
        while (picked := self._ready.pick(now, self.workers.find_free, held, blocked)) is not None:
            task, worker = picked
            executor, timeout = task.executor, task.options.timeout or 0.0
            if covers(executor, worker.capacity.price * timeout):
                self._avoiding.pop(task.number, None)
                yield task, worker
                continue
            cheapest = min(each.capacity.price for each in self.workers.fitting(task.needs())) * timeout
            if could_cover(executor, cheapest):
                held.add(executor)  # until reservations end, or a cheaper worker has a slot
            else:
                yield task, TaskFailure("budget", exceeded(executor, cheapest))

    def tick(self, now: float) -> list[tuple[TaskRecord, TaskFailure]]:
        """Time has passed: the tasks that have waited for a worker for too long."""
        while self._delayed and self._delayed[0][0] <= now:
            at, _, task = heapq.heappop(self._delayed)
            if task.state is TaskState.READY and task.ready_at == at:
                self._queue(task, now)
        for task in [task for task in self._avoiding.values() if task.avoid_until <= now]:
            if task.state is TaskState.READY:
                self._queue(task, now)
            else:
                del self._avoiding[task.number]
        vain: list[tuple[TaskRecord, TaskFailure]] = []
        while self._impatient and self._impatient[0][0] <= now:
            at, _, task = heapq.heappop(self._impatient)
            patience = task.options.wait_timeout or 0.0
            if task.state is TaskState.READY and task.ready_at + patience == at:
                vain.append((task, TaskFailure("wait", self._vain_wait(task, patience))))
        return vain

    def _vain_wait(self, task: TaskRecord, patience: float) -> str:
        needs = task.needs()._replace(avoid=frozenset())
        there = self.workers.fitting(needs)
        listed = ", ".join(worker.describe() for worker in there) if there else self.workers.describe()
        state = "all that fit are busy" if there else "none that fits is registered"
        return f"no worker {needs.describe()} took the task within {patience:g} s: {state}; registered: {listed}"
