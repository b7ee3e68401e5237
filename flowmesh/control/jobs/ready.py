"""The order of ready tasks, and the shares of executors. It decides whose turn it is, not where a task runs.

Within an executor: tasks of tasks before what their submitters' clients have queued, deeper ones first; then by the time of
submission less 60 s for each point of priority. Between executors: the one whose head has the highest priority, each
whole minute without a slot counting one point; of equals the one with the fewest running tasks, then the one that was
served longest ago. Tasks with equal needs share a queue, so that a head that fits nowhere blocks only its like.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TypeVar

from ...wire.task_states import TaskState
from .tasks import ExecutorRecord, Needs, TaskRecord

AGE_OF_A_POINT = 60.0  # seconds

Place = TypeVar("Place")
Entry = tuple[tuple[int, float], int, TaskRecord]


class ReadyQueue:
    """All tasks that are ready and may start."""

    def __init__(self) -> None:
        self._queues: dict[ExecutorRecord, dict[Needs, list[Entry]]] = {}
        self._last = 0

    def add(self, task: TaskRecord) -> None:
        """Queue a ready task; if it was queued before, that place does not count any more."""
        self._last += 1
        task.queued = self._last
        rank = (-task.depth, task.submitted_at - AGE_OF_A_POINT * task.options.priority)
        queue = self._queues.setdefault(task.executor, {}).setdefault(task.needs(), [])
        heapq.heappush(queue, (rank, self._last, task))

    def pick(
        self,
        now: float,
        find: Callable[[Needs, int], Place | None],
        held: set[ExecutorRecord],
        blocked: set[tuple[Needs, int]],
    ) -> tuple[TaskRecord, Place] | None:
        """The task whose turn it is and its place, or None; it stays queued until its state changes.

        Args:
            find: a free place for these needs, where so many calls may be sent ahead.
            held: executors that get no turn now.
            blocked: for which there is no place; further ones are added.
        """
        best: tuple[tuple[float, int, int], TaskRecord, Place] | None = None
        for executor in list(self._queues):
            if executor in held or executor.running >= executor.max_workers:
                continue
            found = self._head(executor, find, blocked)
            if found is None:
                continue
            task, place = found
            minutes = (now - max(executor.served_at, task.ready_at)) // AGE_OF_A_POINT
            turn = (-(task.options.priority + minutes), executor.running, executor.turn)
            if best is None or turn < best[0]:
                best = (turn, task, place)
        return None if best is None else (best[1], best[2])

    def _head(
        self, executor: ExecutorRecord, find: Callable[[Needs, int], Place | None], blocked: set[tuple[Needs, int]]
    ) -> tuple[TaskRecord, Place] | None:
        """The first task of this executor for which there is a place."""
        queues = self._queues[executor]
        first: tuple[Entry, Place] | None = None
        for needs in list(queues):
            entry = self._first(queues, needs)
            if entry is None or (first is not None and first[0][:2] < entry[:2]):
                continue
            alone = len(self._queues) == len(queues) == 1  # else what is sent ahead would take the turns of others
            ahead = executor.ahead() if alone and not entry[2].options.fresh else 0
            place = find(needs, ahead) if (needs, ahead) not in blocked else None
            if place is None:
                blocked.add((needs, ahead))
            else:
                first = (entry, place)
        if not queues:
            del self._queues[executor]
        return None if first is None else (first[0][2], first[1])

    def _first(self, queues: dict[Needs, list[Entry]], needs: Needs) -> Entry | None:
        """The first entry that still counts; the queue is dropped when there is none."""
        queue = queues[needs]
        while queue:
            _, number, task = queue[0]
            if task.state is TaskState.READY and task.queued == number:
                return queue[0]
            heapq.heappop(queue)
        del queues[needs]
        return None
