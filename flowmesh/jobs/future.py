"""Task: a `concurrent.futures.Future` of a call that runs on a worker, with what is known of its attempts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import StateError, TaskError
from ..wire.job_messages import AttemptRecord
from ..wire.task_states import TaskState

if TYPE_CHECKING:
    from .executor import Executor


@dataclass(frozen=True)
class Attempt:
    """One start of a task that has ended.

    Attributes:
        number: 1 for the first.
        worker: the name of the worker.
        seconds: how long it ran.
        outcome: done, raised, died, timeout, rejected, lost or cancelled.
        text: why it failed; "" where it did not.
        cost: in units.
    """

    number: int
    worker: str
    seconds: float
    outcome: str
    text: str
    cost: float


class Progress(NamedTuple):
    """What a running task has last said of how far it is."""

    done: float
    total: float | None


@dataclass(frozen=True)
class TaskCall:
    """What is to be called: a function or a `remote`, its arguments, and the options of all sources, merged."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    unpack: bool = False
    avoid: tuple[str, ...] = ()


class Task(Future[Any]):
    """A call that was submitted. `result`, `exception`, `add_done_callback`, `concurrent.futures.wait` and `as_completed`
    work as on any Future; it can be awaited in asyncio; as an argument of another call it is replaced by its value.

    Attributes:
        number: counts the tasks of this program, from 1.
        name: the option of that name, or the function's.
        attempts: the attempts that have ended, in order.
        worker: the worker of the last attempt; None before the first.
    """

    def __init__(self, executor: Executor, number: int, call: TaskCall) -> None:
        super().__init__()
        self.executor = executor
        self.number = number
        self.call = call
        self.name: str = call.options.get("name") or name_of(call.function)
        self.attempts: list[Attempt] = []
        self.worker: str | None = None
        self.progress: Progress | None = None
        self._task_state = TaskState.WAITING
        self._started_at: float | None = None
        self._log = ""
        self._inbox: SimpleQueue[tuple[int, Callable[[], Any]] | None] = SimpleQueue()

    @property
    def id(self) -> str:
        """The executor's name and the number: unique in this program."""
        return f"{self.executor.name}-{self.number}"

    @property
    def state(self) -> str:
        """waiting (to be started, for tasks or for a worker), running, done, failed or cancelled."""
        return self._task_state.value

    @property
    def running_time(self) -> float:
        """Seconds that all attempts ran, those that failed too, and the present one so far."""
        present = time.monotonic() - self._started_at if self._started_at is not None else 0.0
        return sum(attempt.seconds for attempt in self.attempts) + present

    @property
    def cost(self) -> float:
        """What its attempts have cost, in units."""
        return sum(attempt.cost for attempt in self.attempts)

    def log(self) -> str:
        """The last 64 KiB of what the last attempt that has ended printed, by subprocesses too."""
        return self._log

    def running(self) -> bool:
        """Whether an attempt was given to a worker and has not ended."""
        return self._task_state is TaskState.RUNNING

    def messages(self) -> Iterator[Any]:
        """The values that the task emits, as they come, until it ends. A retry emits anew. Each value is given once."""
        unread = 0
        while (item := self._inbox.get()) is not None:
            attempt, load = item
            unread += 1
            if unread >= 100 or self._inbox.empty():
                self.executor.backend.read(self, attempt, unread)
                unread = 0
            yield load()
        self._inbox.put(None)

    def result(self, timeout: float | None = None) -> Any:
        """What the call returned.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
            TaskError, DeadlineError: it failed otherwise than by an exception of its own.
        """
        try:
            return super().result(timeout)
        finally:
            self._taken()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or why it failed; None when it is done."""
        try:
            return super().exception(timeout)
        finally:
            self._taken()

    def _taken(self) -> None:
        if self._task_state is TaskState.FAILED:
            self.executor.backend.take_outcome(self)

    def cancel(self) -> bool:
        """End it, whether it is queued or runs; False when it is done already."""
        if not self._cancel_here():
            return self.cancelled()
        self.executor.backend.cancel(self)
        return True

    def _cancel_here(self) -> bool:
        """Cancel the Future; its callbacks see the new state. False if it has ended."""
        if self.done():
            return False
        before, self._task_state = self._task_state, TaskState.CANCELLED
        if not super().cancel():
            self._task_state = before
            return False
        self.set_running_or_notify_cancel()
        self._inbox.put(None)
        return True

    def reject(self, reason: str) -> Task:
        """The result is not good enough: a new Task for the same call, with the attempts that are left, and on another
        worker if there is one.

        Raises:
            StateError: it is not done.
            TaskError: no retry is left.
        """
        if self._task_state is not TaskState.DONE:
            raise StateError(f"reject() needs a task that is done; {self.name!r} is {self.state}")
        left = int(self.call.options.get("retries", 0)) - len(self.attempts)
        if left < 0:
            raise TaskError(f"the result of {self.name!r} was rejected ({reason}), and no retry is left: give retries=")
        options = self.call.options | {"retries": left}
        avoid = (*self.call.avoid, *(() if self.worker is None else (self.worker,)))
        call = TaskCall(self.call.function, self.call.args, self.call.kwargs, options, self.call.unpack, avoid)
        return self.executor.launch(call)

    def __rshift__(self, function: Any) -> Task:
        """A task that calls `function` with the value of this one; a tuple becomes several arguments."""
        return self.executor.submit_chained(self, function)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from asyncio.wrap_future(self).__await__())
        finally:
            self._taken()

    def __reduce__(self) -> tuple[Any, ...]:
        from .calling import refer_to  # it knows whether a call or a result is being pickled

        return refer_to(self)

    def __repr__(self) -> str:
        return f"<Task {self.name!r} {self.id} {self.state}>"

    # --- from the backend -----------------------------------------------------------------------------------------------

    def started(self, worker: str) -> None:
        """An attempt was given to a worker."""
        self.worker = worker
        self._started_at = time.monotonic()
        if not self.done():
            self._task_state = TaskState.RUNNING

    def attempt_ended(self, record: AttemptRecord, log: str) -> Attempt:
        """An attempt has ended."""
        self._started_at = None
        attempt = Attempt(record.number, record.worker, record.seconds, record.outcome, record.text, record.cost)
        self.attempts.append(attempt)
        self._log = log
        if self._task_state is TaskState.RUNNING:
            self._task_state = TaskState.WAITING
        return attempt

    def emitted(self, attempt: int, load: Callable[[], Any]) -> None:
        """The running attempt has emitted a value, which `load` unpickles."""
        self._inbox.put((attempt, load))

    def finish(self, value: Any = None, error: BaseException | None = None) -> None:
        """It is done, or has failed; nothing if it was cancelled meanwhile."""
        if self.done():
            return
        self._task_state = TaskState.DONE if error is None else TaskState.FAILED
        try:
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
        except Exception:  # cancelled in this very moment
            self._task_state = TaskState.CANCELLED
        self._inbox.put(None)

    def was_cancelled(self) -> None:
        """The Manager has cancelled it: its executor was closed."""
        self._cancel_here()


def name_of(function: Any) -> str:
    """What a function is called in messages."""
    while hasattr(function, "func") and not hasattr(function, "__name__"):  # functools.partial
        function = function.func
    return str(getattr(function, "__name__", None) or getattr(function, "name", None) or type(function).__name__)
