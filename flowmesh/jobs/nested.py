"""Tasks that a running task submits, and the values that it emits: its process speaks to the Manager through the worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..errors import TaskError
from ..shipping.pickling import Reached
from ..wire.job_messages import (
    FromTask,
    JobMessage,
    RunTask,
    TaskEmitted,
)
from .calling import CallPacker, pickle_with_tasks
from .future import Task
from .messenger import TaskMessenger

LARGEST_MESSAGE = 64 * 1024
MOST_UNREAD = 1000


class NestedBackend(TaskMessenger):
    """The submitter that one attempt is."""

    def __init__(self, run: RunTask, say: Callable[[JobMessage], None]) -> None:
        super().__init__(run.executor, CallPacker())
        self._run = run
        self._say = say
        self.code_number = run.code
        self._unread = 0
        self._has_room = threading.Condition()

    def say(self, message: JobMessage) -> None:
        self._say(FromTask(self._run.task, self._run.attempt, message))  # type: ignore[arg-type]

    def ship(self, code: bytes) -> int:
        """Nothing is sent: what a task submits is found in the code that it runs with."""
        return self._run.code

    def belongs(self, task: int, attempt: int) -> bool:
        """Whether a message is for this attempt."""
        return (task, attempt) == (self._run.task, self._run.attempt)

    def pickle_result(self, value: Any) -> tuple[bytes, tuple[int, ...]]:
        """A result as a pickle, and the numbers of the tasks in it."""
        refers: dict[int, None] = {}

        def refer(task: Task) -> int:
            if not self.owns(task):
                raise TaskError(f"{task!r} was not submitted by this task: return its result instead")
            refers[task.number] = None
            return task.number

        return pickle_with_tasks(value, refer, Reached()), tuple(refers)

    def emit(self, value: Any) -> None:
        """Send a value to the submitter; wait while too many were not read."""
        data = pickle_with_tasks(value, lambda task: task.number, Reached())
        if len(data) > LARGEST_MESSAGE:
            raise TaskError(f"an emitted value must have at most {LARGEST_MESSAGE} bytes, got {len(data)}: return it")
        with self._has_room:
            while self._unread >= MOST_UNREAD:
                self._has_room.wait()
            self._unread += 1
        self._say(TaskEmitted(self._run.task, self._run.attempt, data))

    def read_by_submitter(self, attempt: int, count: int) -> None:
        """The submitter has read so many."""
        if attempt == self._run.attempt:
            with self._has_room:
                self._unread = max(0, self._unread - count)
                self._has_room.notify_all()
