"""What an Executor needs of whoever runs its tasks: a Manager, the task that it is used in, or this very process."""

from __future__ import annotations

from typing import Protocol

from .future import Task


class TaskBackend(Protocol):
    """Runs the tasks of executors."""

    def next_number(self) -> int:
        """A number for a further task."""
        ...

    def launch(self, task: Task) -> None:
        """Run this task; raises what is wrong with its call."""
        ...

    def cancel(self, task: Task) -> None:
        """End it, wherever it is."""
        ...

    def take_outcome(self, task: Task) -> None:
        """The program has looked at why it failed."""
        ...

    def read(self, task: Task, attempt: int, count: int) -> None:
        """The program has read so many of the values that this attempt emitted."""
        ...

    def put(self, task: Task, value: object) -> None:
        """A task that is done with this value."""
        ...
