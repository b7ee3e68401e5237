"""The process of a slot: it takes one task after the other, calls the function on its main thread, and tells how it ended.

A second thread reads what the worker sends. When the worker goes, it removes the folder and ends the process; SIGTERM raises
SystemExit in the function, so that its `finally` runs.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from ..channel.message_socket import MessageSocket
from ..errors import LinkError, TaskError
from ..runtime.tracebacks import describe
from ..shipping import installer
from ..tasks import Context, set_context
from ..wire.job_messages import (
    INLINE_LIMIT,
    AttemptBegan,
    AttemptOutcome,
    RunTask,
    SetUpSlot,
    ShipCode,
    TakeMessages,
    TaskFailure,
    TaskProgress,
    ToTask,
    decode_job,
    encode_job,
)
from ..wire.plan_specs import decode_code
from .calling import unpickle_with_values
from .executor import Executor
from .failures import pickled_exception
from .named import named_function
from .nested import NestedBackend
from .values import flaw_of

_LOG_KEPT = 64 * 1024  # bytes
_TRIES = 20  # to remove a folder that a call still writes to
_SENDS_WITHIN = 30.0  # seconds that the worker may take to read an outcome


class Terminated(SystemExit):
    """SIGTERM has come while a function ran."""


def main(descriptor: int) -> None:
    """Serve as the process of one slot; `descriptor` is the pipe to the worker."""
    pipe = MessageSocket(descriptor)
    received = pipe.wait()
    if received is None:
        return
    setup, files = decode_job(received[0]), received[1]
    if not isinstance(setup, SetUpSlot):
        raise LinkError(f"a slot's process must get SetUpSlot first, got {type(setup).__name__}")
    _take_output(files[0])
    _step_back()
    SlotRunner(pipe, setup).run()


def _take_output(log: int) -> None:
    """What is printed, by subprocesses too, goes to this file."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout = open(1, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115


def _step_back() -> None:
    """Graphs come first: nice alone does nothing between sessions, so the session's group steps back, too."""
    os.nice(10)
    for path, value in (("/proc/self/autogroup", "10"), ("/proc/self/oom_score_adj", "500")):
        try:
            with open(path, "w") as file:
                file.write(value)
        except OSError:
            pass  # this kernel has none, or does not let us


def _remove(folder: str) -> None:
    """Remove the folder while the call may still run: under another name, so that nothing new begins in it; again, where the
    call has written meanwhile."""
    leaving = f"{folder}-leaving"
    try:
        os.rename(folder, leaving)
    except FileNotFoundError:
        return
    for _ in range(_TRIES):
        shutil.rmtree(leaving, ignore_errors=True)
        if not os.path.exists(leaving):
            return


class SlotRunner:
    """One slot's process."""

    def __init__(self, pipe: MessageSocket, setup: SetUpSlot) -> None:
        self._pipe = pipe
        self._setup = setup
        self._runs: queue.SimpleQueue[RunTask] = queue.SimpleQueue()
        self._codes: dict[int, bytes] = {}
        self._installed = 0
        self._nested: NestedBackend | None = None
        self._is_calling = False
        self._leaving = threading.Lock()
        self._folder = ""
        self._folders = 0

    def run(self) -> None:
        """Until SIGTERM, or the worker goes."""
        signal.signal(signal.SIGTERM, self._terminated)
        os.mkdir(self._setup.folder, 0o700)
        threading.Thread(target=self._read, name="flowmesh-slot", daemon=True).start()
        try:
            while True:
                self._attempt(self._runs.get())
        except Exception:
            with self._leaving:  # the folder may be gone because the worker is: then the second thread ends the process
                raise

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        if self._leaving.locked():
            return  # it ends already
        if not self._is_calling:
            self._leave()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    def _leave(self) -> None:
        """End the process, without its folder. Both threads may come here: the second must not end it before the first is
        done."""
        with self._leaving:
            _remove(self._setup.folder)
            os._exit(128 + signal.SIGTERM)

    # --- in the second thread -------------------------------------------------------------------------------------------

    def _read(self) -> None:
        while (received := self._pipe.wait()) is not None:
            self._heard(received[0])
        self._leave()

    def _heard(self, data: bytes) -> None:
        match message := decode_job(data):
            case RunTask():
                self._runs.put(message)
            case ShipCode(code=code, data=code_data):
                self._codes[code] = code_data
            case ToTask(message=news) if self._nested is not None and self._nested.belongs(
                message.task, message.attempt
            ):
                self._nested.heard(news)
            case TakeMessages(count=count) if self._nested is not None:
                self._nested.read_by_submitter(message.attempt, count)

    # --- in the main thread ---------------------------------------------------------------------------------------------

    def _say(self, message: Any) -> None:
        self._pipe.send(encode_job(message))
        self._pipe.flush(within=_SENDS_WITHIN)

    def _attempt(self, run: RunTask) -> None:
        """One attempt, from its begin to its outcome."""
        self._say(AttemptBegan(run.task, run.attempt))
        begun = time.monotonic()
        workdir = self._fresh_folder()
        nested = self._nested = NestedBackend(run, self._say)
        deadline = None if run.timeout is None else begun + run.timeout
        context = Context(
            task=run.name,
            attempt=run.attempt,
            worker=run.worker,
            workdir=workdir,
            deadline=deadline,
            executor=Executor.over(nested, run.name),
            emit=nested.emit,
            progress=lambda done, total: self._say(TaskProgress(run.task, run.attempt, float(done), total)),
        )
        set_context(context)
        try:
            data, refers, failure, outcome = self._call(run, nested)
        finally:
            set_context(None)
            self._is_calling = False
        seconds = time.monotonic() - begun
        self._say(AttemptOutcome(run.task, run.attempt, outcome, seconds, data, refers, failure, self._log()))
        self._nested = None
        self._clear(workdir)

    def _fresh_folder(self) -> str:
        """An empty working directory, and an empty log."""
        if not self._folder:
            self._folders += 1
            self._folder = os.path.join(self._setup.folder, str(self._folders))
            os.mkdir(self._folder, 0o700)
        os.chdir(self._folder)
        if os.fstat(1).st_size:
            os.ftruncate(1, 0)
        return self._folder

    def _clear(self, workdir: str) -> None:
        """Remove the working directory, unless the task has left it empty: then the next one gets it."""
        os.chdir("/")
        try:
            with os.scandir(workdir) as entries:
                if next(entries, None) is None:
                    return
        except OSError:
            pass  # the task has removed it, or closed it to us
        shutil.rmtree(workdir, ignore_errors=True)
        self._folder = ""

    def _call(self, run: RunTask, nested: NestedBackend) -> tuple[bytes, tuple[int, ...], TaskFailure | None, str]:
        try:
            self._is_calling = True
            self._install(run.code)
            function, args, kwargs, validate, unpack = unpickle_with_values(run.call, run.values)
            if run.function:
                function = named_function(self._setup.functions, run.function)
            if unpack and isinstance(args[0], tuple):
                args = args[0]
            value = function(*args, **kwargs)
            flaw = flaw_of(value, validate)
            if flaw:
                return (
                    b"",
                    (),
                    self._failure(run, "rejected", f"the result of {run.name!r} was rejected: {flaw}"),
                    "rejected",
                )
            data, refers = nested.pickle_result(value)
            if len(data) > INLINE_LIMIT:
                raise TaskError(f"a result must have at most {INLINE_LIMIT} bytes, got {len(data)}: write it to a file")
            return data, refers, None, "done"
        except Terminated:
            self._leave()
            raise
        except BaseException as error:
            failure = TaskFailure("raised", describe(error), pickled_exception(error), run.worker, run.attempt)
            return b"", (), failure, "raised"

    def _failure(self, run: RunTask, reason: str, text: str) -> TaskFailure:
        return TaskFailure(reason, text, b"", run.worker, run.attempt)

    def _install(self, code: int) -> None:
        if code and code != self._installed:
            installer.install(decode_code(self._codes[code]))
            self._installed = code

    def _log(self) -> str:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
        size = os.fstat(1).st_size
        return os.pread(1, _LOG_KEPT, max(0, size - _LOG_KEPT)).decode(errors="replace")
