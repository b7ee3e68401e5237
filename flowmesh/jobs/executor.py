"""Executor: the interface of `concurrent.futures` to the tasks of a Manager's workers, or of this process."""

from __future__ import annotations

import concurrent.futures
import copy
import inspect
import itertools
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import TaskError
from ..tasks import check_options, options_of, remote
from .backend import TaskBackend
from .future import Attempt, Task, TaskCall
from .tracker import EndedTasks, TaskTracker

log = logging.getLogger("flowmesh")
_executors = itertools.count(1)


@dataclass(frozen=True)
class TaskEvent:
    """What `on_event` is called with.

    Attributes:
        kind: started, attempt (one has ended), done, failed or cancelled.
        task: the Task.
        worker: where the attempt runs or ran; None where there was none.
        attempt: the attempt that has ended; None for other events.
    """

    kind: str
    task: Task
    worker: str | None = None
    attempt: Attempt | None = None


class Executor(concurrent.futures.Executor):
    """Runs functions as tasks on workers.

    >>> with Executor(inline=True) as executor:
    ...     executor.submit(sum, [1, 2]).result()
    3

    Args:
        at: a Manager, or the "host:port" of one of this user on this machine; None: the one that the variable
            FLOWMESH_MANAGER names, else a Manager and a worker of its own.
        name: what it is called in logs.
        max_workers: most tasks that run at a time; None: as many as there are slots.
        budget: units that its tasks may cost together; each needs a timeout then. No money moves.
        deadline: seconds after which its unfinished tasks fail.
        max_pending: most tasks that are unfinished; `submit` waits beyond.
        on_event: called with a TaskEvent in a thread of flowmesh; it must return soon.
        packages: folders (or single Python files) that are shipped as packages.
        inline: run each call in `submit` itself, in this process: breakpoints and profilers work. Limits of time, of
            workers and of money are not enforced then.
        options: defaults for all tasks; see docs/jobs.md.

    Raises:
        TaskError: an option is unknown or has a wrong value.
        LinkError: no Manager answers there.
    """

    def __init__(
        self,
        at: Any = None,
        *,
        name: str | None = None,
        max_workers: int | None = None,
        budget: float | None = None,
        deadline: float | None = None,
        max_pending: int = 100_000,
        on_event: Callable[[TaskEvent], None] | None = None,
        packages: Iterable[str | Path] = (),
        inline: bool = False,
        **options: Any,
    ) -> None:
        check_options(options)
        _check_limits(max_workers=max_workers, budget=budget, deadline=deadline, max_pending=max_pending)
        if inline and at is not None:
            raise TaskError("inline=True runs all tasks in this process: leave at= out")
        self.name = name or f"executor{next(_executors)}"
        self.budget = budget
        self._options = options
        self._tracker = TaskTracker(max_pending)
        self._on_event = on_event
        self._is_open = True
        self.backend: TaskBackend = _make_backend(self, at, inline, max_workers, budget, deadline, packages)

    @classmethod
    def over(cls, backend: TaskBackend, name: str) -> Executor:
        """An executor over a backend that is there: the one that a running task gets."""
        made = cls.__new__(cls)
        made.name, made.budget, made._options, made._on_event = name, None, {}, None
        made._tracker, made.backend, made._is_open = TaskTracker(100_000), backend, True
        return made

    # --- submitting -----------------------------------------------------------------------------------------------------

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Task:
        """Have a function called. A Task among the arguments is replaced by its value; if that one fails, so does this.

        Raises:
            TaskError: the function is a generator, or an option of it is wrong.
            ShippingError: the function or an argument can't be pickled; the text leads to it.
            StateError: the executor was shut down.
        """
        return self.launch(self._call(fn, args, kwargs))

    def submit_chained(self, task: Task, fn: Any) -> Task:
        """What `task >> fn` does."""
        return self.launch(self._call(fn, (task,), {}, unpack=True))

    def __rshift__(self, fn: Any) -> Task:
        """Begin a chain: `executor >> first >> second`."""
        return self.submit(fn)

    def _call(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, unpack: bool = False) -> TaskCall:
        if not callable(fn) and not isinstance(fn, remote):
            raise TaskError(f"submit() needs a function or a remote, got {type(fn).__name__}")
        if inspect.isgeneratorfunction(fn) or inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
            raise TaskError(
                f"{fn.__name__!r} must be a plain function, got a generator or coroutine function: return a list, or "
                "context().emit() values as they come"
            )
        options = options_of(fn) | self._options
        check_options(options)
        if isinstance(fn, remote):
            options["function"] = fn.name
            options["kind"] = fn.kind or options.get("kind")
        if self.budget is not None and options.get("timeout") is None:
            raise TaskError(
                "under a budget a task needs timeout=: what an attempt may cost is reserved before it starts"
            )
        return TaskCall(fn, args, kwargs, options, unpack)

    def launch(self, call: TaskCall, *, internal: bool = False) -> Task:
        """Submit a call that was checked."""
        task = Task(self, self.backend.next_number(), call)
        self._tracker.add(task, internal=internal)
        task.add_done_callback(self._ended)
        try:
            self.backend.launch(task)
        except BaseException:
            self._tracker.remove(task)
            raise
        return task

    def options(self, **options: Any) -> Executor:
        """The same executor, with other options for what is submitted through the returned one."""
        check_options(options)
        view = copy.copy(self)
        view._options = self._options | options
        return view

    def put(self, value: Any) -> Task:
        """A task that is done with this value: give it to many calls, and it is pickled and sent once."""
        task = Task(self, self.backend.next_number(), TaskCall(_given, (), {}))
        self._tracker.add(task, internal=True)
        task.add_done_callback(self._ended)
        try:
            self.backend.put(task, value)
        except BaseException:
            self._tracker.remove(task)
            raise
        return task

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """The results of `fn` for each item, in the order of the input.

        The input is taken lazily: at most `buffersize` calls (1,000 by default) are under way, so it may be endless.

        Args:
            timeout: seconds that each result is waited for.
            chunksize: calls that one task makes.
        """
        if chunksize < 1 or (buffersize is not None and buffersize < 1):
            raise TaskError("chunksize and buffersize must be integers from 1")
        calls: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
        chunks = iter(lambda: list(itertools.islice(calls, chunksize)), [])
        window: list[Task] = []
        most = 1000 if buffersize is None else buffersize

        def fill() -> None:
            for chunk in itertools.islice(chunks, most - len(window)):
                plain = chunksize == 1
                call = self._call(fn, chunk[0], {}) if plain else self._call(_call_each, (fn, chunk), {})
                window.append(self.launch(call, internal=True))

        def results() -> Iterator[Any]:
            try:
                while window:
                    result = window.pop(0).result(timeout)
                    fill()
                    yield from [result] if chunksize == 1 else result
            finally:
                for task in window:
                    task.cancel()

        fill()
        return results()

    def repeat(self, fn: Any, /, *args: Any, at_once: int = 1, **kwargs: Any) -> Generator[Any, None, None]:
        """The results of the same call, made again and again, as they come; ending the loop ends the calls.

        Args:
            at_once: calls that are under way at a time.
        """
        if at_once < 1:
            raise TaskError(f"at_once must be an integer from 1, got {at_once!r}")
        call = self._call(fn, args, kwargs)
        running: set[concurrent.futures.Future[Any]] = set()
        try:
            while True:
                while len(running) < at_once:
                    running.add(self.launch(call, internal=True))
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    running.remove(ended)
                    yield ended.result()
        finally:
            for task in running:
                task.cancel()

    # --- looking on -----------------------------------------------------------------------------------------------------

    def as_completed(self) -> EndedTasks:
        """The tasks of `submit` as they end, each once, with those that are submitted meanwhile; also for `async for`."""
        return EndedTasks(self._tracker)

    def tasks(self, state: str | None = None, limit: int = 1000) -> list[Task]:
        """Tasks that are unfinished, or have ended and were not given by `as_completed()`; of one state if it is given."""
        return [task for task in self._tracker.known() if state in (None, task.state)][:limit]

    @property
    def spent(self) -> float:
        """Units that attempts have cost so far."""
        return max(self._tracker.cost, getattr(self.backend, "spent", 0.0))

    def summary(self) -> str:
        """A table of tasks, attempts by outcome, workers, seconds and cost."""
        return self._tracker.summary()

    # --- what the backend reports ---------------------------------------------------------------------------------------

    def _ended(self, task: concurrent.futures.Future[Any]) -> None:
        assert isinstance(task, Task)
        self._tracker.ended(task)
        self._event(TaskEvent(task.state, task, task.worker))

    def started(self, task: Task, worker: str) -> None:
        """An attempt of it was given to a worker."""
        task.started(worker)
        self._event(TaskEvent("started", task, worker))

    def attempt_ended(self, task: Task, attempt: Attempt) -> None:
        """An attempt of it has ended."""
        self._tracker.attempt_ended(attempt)
        self._event(TaskEvent("attempt", task, attempt.worker, attempt))

    def _event(self, event: TaskEvent) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:
            log.exception("on_event of %s raised", self.name)

    # --- the end --------------------------------------------------------------------------------------------------------

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no further task; with `wait`, return when all have ended, and close. Twice does no harm.

        Args:
            cancel_futures: cancel all that has not started.
        """
        if not self._is_open:
            return
        self._tracker.closed = True
        if cancel_futures:
            self._drop_queued()
        if not wait:
            return
        try:
            self._tracker.wait_all()
        finally:
            self._close()

    def _drop_queued(self) -> None:
        for task in self._tracker.unfinished():
            if task.state == "waiting":
                task.cancel()

    def _close(self) -> None:
        self._is_open = False
        close = getattr(self.backend, "close", None)
        if close is not None:
            close()
        if self._tracker.states:
            log.info("%s:\n%s", self.name, self.summary())

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an exception (Ctrl+C) what runs may end and what is queued is dropped; a second one ends all at once."""
        self.shutdown(cancel_futures=error is not None)

    def __copy__(self) -> Executor:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an Executor can't be pickled: inside of a task use context().executor")

    def __repr__(self) -> str:
        return f"<Executor {self.name!r}>"


def _given() -> None:
    """Stands for the call of a task that `put` made."""


def _call_each(fn: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
    return [fn(*call) for call in calls]


def _check_limits(**limits: Any) -> None:
    for name, value in limits.items():
        whole = name in ("max_workers", "max_pending")
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and value > 0
        if not fits and (value is not None or name == "max_pending"):
            kind = "an integer from 1" if whole else "a positive number"
            raise TaskError(f"{name} must be {kind}, got {value!r}")


def _make_backend(
    executor: Executor,
    at: Any,
    inline: bool,
    max_workers: int | None,
    budget: float | None,
    deadline: float | None,
    packages: Iterable[str | Path],
) -> TaskBackend:
    if inline:
        from .inline import InlineBackend

        return InlineBackend()
    from ..wire.job_messages import OpenExecutor
    from .client import connect  # it needs ZeroMQ

    return connect(at, OpenExecutor(1, executor.name, max_workers, budget, deadline), packages)
