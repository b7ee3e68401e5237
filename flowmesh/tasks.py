"""The vocabulary of functions as tasks: `task`, `remote`, `File`, `context`. Nothing is sent here.

The module is `tasks`, because `flowmesh.task` is the decorator.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .errors import StateError, TaskError

if TYPE_CHECKING:
    from .jobs.executor import Executor

Function = TypeVar("Function", bound=Callable[..., Any])

LARGEST_FILE = 16 * 1024**2  # bytes: files travel inside of messages


def task(**options: Any) -> Callable[[Function], Function]:
    """Give a function default options for when it is submitted; the function itself stays as it is.

    >>> @task(timeout=60, retries=2)
    ... def work(x): return x + 1
    >>> work(1)
    2

    Raises:
        TaskError: an option is unknown or has a wrong value.
    """
    check_options(options)

    def mark(function: Function) -> Function:
        function.__flowmesh_task__ = options  # type: ignore[attr-defined]
        return function

    return mark


class remote(NamedTuple):  # noqa: N801  # it reads as a function: fm.remote("echo")
    """A function that is defined on workers and called by its name there: give it to `submit` in place of a function.

    Attributes:
        name: as the worker's `functions` has it.
        kind: the kind of worker; None: the executor's or "python".
    """

    name: str
    kind: str | None = None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_positive(name: str, value: Any) -> None:
    if value is not None and not (_is_number(value) and value > 0):
        raise TaskError(f"{name} must be a positive number of seconds or None, got {value!r}")


def _check_backoff(name: str, value: Any) -> None:
    if not (_is_number(value) and value >= 0):
        raise TaskError(f"{name} must be a number of seconds from 0, got {value!r}")


def _check_retries(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1000:
        raise TaskError(f"{name} must be an integer from 0 to 1000, got {value!r}")


def _check_priority(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not abs(value) <= 1_000_000:
        raise TaskError(f"{name} must be an integer from -1000000 to 1000000, got {value!r}")


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise TaskError(f"{name} must be True or False, got {value!r}")


def _check_text(name: str, value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise TaskError(f"{name} must be a text or None, got {value!r}")


def _check_labels(name: str, value: Any) -> None:
    is_text = isinstance(value, str)
    if is_text or not isinstance(value, Iterable) or not all(isinstance(each, str) for each in value):
        raise TaskError(f"{name} must be a set of texts, got {value!r}")


def _check_validate(name: str, value: Any) -> None:
    if value is not None and not callable(value):
        raise TaskError(f"{name} must be a function of the result or None, got {value!r}")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "timeout": _check_positive,
    "wait_timeout": _check_positive,
    "retries": _check_retries,
    "backoff": _check_backoff,
    "priority": _check_priority,
    "validate": _check_validate,
    "other_worker": _check_flag,
    "fresh": _check_flag,
    "kind": _check_text,
    "worker": _check_text,
    "labels": _check_labels,
    "name": _check_text,
    "detached": _check_flag,
}


def check_options(options: Mapping[str, Any]) -> None:
    """Raise TaskError for an unknown option, with the nearest one, or for a wrong value."""
    for name, value in options.items():
        check = _CHECKS.get(name)
        if check is None:
            near = difflib.get_close_matches(name, _CHECKS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(_CHECKS)}"
            raise TaskError(f"unknown option {name!r}: {hint}")
        check(name, value)


def options_of(function: Any) -> dict[str, Any]:
    """The defaults that `task` gave a function."""
    return dict(getattr(function, "__flowmesh_task__", {}))


class File:
    """A file that goes with a task. As an argument it arrives as a read-only path on the worker; returned by a task, its
    content comes back.

    It is read when the task is submitted or returns; at most 16 MiB.

    >>> File("scene.blend")                                    # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path: Path | None = Path(path)
        self.name = self._path.name
        self._content: bytes | None = None

    def __fspath__(self) -> str:
        if self._path is None:
            raise StateError(f"the file {self.name!r} has no path here: save(path) it first")
        return str(self._path)

    def read_bytes(self) -> bytes:
        """The content.

        Raises:
            TaskError: there is no such file, it is a folder, too large, or changed while it was read.
        """
        return self._content if self._content is not None else _read(Path(os.fspath(self)))

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.read_bytes())

    @property
    def sha256(self) -> str:
        """The hash of the content, in hexadecimal."""
        return hashlib.sha256(self.read_bytes()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the content to a path, which is returned; what is there is replaced."""
        target = Path(path)
        target.write_bytes(self.read_bytes())
        return target

    def __reduce__(self) -> tuple[Any, ...]:
        return _received_file, (self.name, self.read_bytes())

    def __repr__(self) -> str:
        return f"File({str(self._path) if self._path is not None else self.name!r})"


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise TaskError(f"File({str(path)!r}) must be a file, got a folder")
        before = path.stat()
        if before.st_size > LARGEST_FILE:
            raise TaskError(f"File({str(path)!r}) must have at most {LARGEST_FILE} bytes, got {before.st_size}")
        content = path.read_bytes()
        after = path.stat()
    except OSError as error:
        raise TaskError(f"File({str(path)!r}) can't be read: {error}") from error
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or len(content) != after.st_size:
        raise TaskError(f"File({str(path)!r}) changed while it was read: submit it when it is complete")
    return content


def _received_file(name: str, content: bytes) -> File:
    """A file that came in a message: inside a task a read-only path in a folder of its own, else only its content."""
    file = File.__new__(File)
    file.name, file._content, file._path = name, content, None
    if _context is not None:
        folder = Path(_context.workdir, ".files", hashlib.sha256(content).hexdigest()[:16])
        folder.mkdir(parents=True, exist_ok=True)
        file._path = folder / (name or "file")
        if not file._path.exists():
            file._path.write_bytes(content)
            file._path.chmod(0o400)
    return file


class Context:
    """The context of a running task; `context()` returns it.

    Attributes:
        task: the task's name.
        attempt: 1 for the first start.
        worker: the name of the worker.
        workdir: the private folder that is the working directory; it is removed afterwards.
        deadline: when the attempt's timeout is over, on the clock of `time.monotonic()`; None without a timeout.
        executor: submits tasks of this task, which is done when they are.
        logger: its lines go to the task's log.
    """

    def __init__(
        self,
        *,
        task: str,
        attempt: int,
        worker: str,
        workdir: str,
        deadline: float | None,
        executor: Executor,
        emit: Callable[[Any], None],
        progress: Callable[[float, float | None], None],
    ) -> None:
        self.task = task
        self.attempt = attempt
        self.worker = worker
        self.workdir = workdir
        self.deadline = deadline
        self.executor = executor
        self.logger = logging.getLogger("flowmesh.task")
        self._emit = emit
        self._progress = progress

    def emit(self, value: Any) -> None:
        """Send a value to the submitter of the task, now; `Task.messages()` gives it there. At most 64 KiB, pickled. It
        waits while 1,000 were not read."""
        self._emit(value)

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far the task is; `Task.progress` shows it."""
        self._progress(done, total)


_context: Context | None = None


def context() -> Context:
    """The context of the task that runs in this process.

    Raises:
        StateError: none does.
    """
    if _context is None:
        raise StateError("context() works only inside a task: call it in a function that an Executor runs")
    return _context


def set_context(new: Context | None) -> Context | None:
    """For the process of a task: set what `context` gives; returns what it gave before."""
    global _context  # a process runs one task at a time, in whatever threads
    before, _context = _context, new
    return before
