"""Tasks in the calling process: `submit` makes the call itself and returns a Task that has ended.

Retries and `validate` work as on workers. Limits of time, of workers and of money are not enforced, `kind`, `worker` and
`labels` choose nothing, and a function by name has nobody to look it up.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from itertools import count
from typing import Any

from ..errors import TaskError
from ..tasks import Context, remote, set_context
from ..wire.job_messages import AttemptRecord
from .future import Progress, Task
from .values import filled, flaw_of

WORKER = "inline"


class InlineBackend:
    """Runs each task when it is launched."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next_number(self) -> int:
        return next(self._numbers)

    def launch(self, task: Task) -> None:
        call = task.call
        if isinstance(call.function, remote):
            raise TaskError(
                f"remote({call.function.name!r}) needs a worker that has it: with inline=True there is none"
            )
        retries = int(call.options.get("retries", 0))
        for attempt in range(1, retries + 2):
            task.executor.started(task, WORKER)
            begun = time.monotonic()
            value, error, outcome = self._attempt(task, attempt)
            text = "" if error is None else str(error)
            record = AttemptRecord(attempt, WORKER, time.monotonic() - begun, outcome, text)
            task.executor.attempt_ended(task, task.attempt_ended(record, ""))
            if error is None or attempt == retries + 1:
                task.finish(value, error)
                return

    def _attempt(self, task: Task, attempt: int) -> tuple[Any, BaseException | None, str]:
        call, folder, home = task.call, tempfile.mkdtemp(prefix="flowmesh-task-"), os.getcwd()
        before = set_context(self._context(task, attempt, folder))
        try:
            os.chdir(folder)
            args, kwargs = filled(call.args), filled(call.kwargs)
            if call.unpack and isinstance(args[0], tuple):
                args = args[0]
            value = filled(call.function(*args, **kwargs))
            flaw = flaw_of(value, call.options.get("validate"))
            if flaw:
                return None, TaskError(f"the result of {task.name!r} was rejected: {flaw}"), "rejected"
            return value, None, "done"
        except Exception as error:
            return None, error, "raised"
        finally:
            set_context(before)
            os.chdir(home)
            shutil.rmtree(folder, ignore_errors=True)

    def _context(self, task: Task, attempt: int, folder: str) -> Context:
        from .executor import Executor

        def progress(done: float, total: float | None) -> None:
            task.progress = Progress(done, total)

        return Context(
            task=task.name,
            attempt=attempt,
            worker=WORKER,
            workdir=folder,
            deadline=None,
            executor=Executor.over(self, task.name),
            emit=lambda value: task.emitted(attempt, lambda: value),
            progress=progress,
        )

    def cancel(self, task: Task) -> None:
        """Nothing is left to end."""

    def take_outcome(self, task: Task) -> None:
        """Nobody joins it."""

    def read(self, task: Task, attempt: int, count: int) -> None:
        """Nobody waits for room."""

    def put(self, task: Task, value: object) -> None:
        task.finish(value)
