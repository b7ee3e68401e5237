"""A submitter's side of the messages about its tasks: Tasks by number, and what the Manager's news do to them."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from itertools import count
from weakref import WeakValueDictionary, finalize

from ..shipping.pickling import Reached
from ..wire.job_messages import (
    AnyJobMessage,
    AttemptEnded,
    CancelTask,
    JobMessage,
    PutValue,
    SubmitTask,
    TakeMessages,
    TakeOutcome,
    TaskEmitted,
    TaskEnded,
    TaskOptions,
    TaskProgress,
    TaskStarted,
)
from .calling import CallPacker, pickle_with_tasks, unpickle_value
from .failures import exception_of
from .future import Progress, Task

_OPTIONS = frozenset(TaskOptions.__struct_fields__)


class TaskMessenger:
    """Knows the tasks of a submitter. A subclass sends `say` on its way, and hands what comes to `heard`."""

    def __init__(self, executor_number: int, packer: CallPacker) -> None:
        self._executor_number = executor_number
        self._packer = packer
        self._numbers = count(1)
        self._tasks: WeakValueDictionary[int, Task] = WeakValueDictionary()  # the executor holds what is unfinished
        self._lock = threading.RLock()  # a call is packed, its code sent and it itself sent by one thread

    def say(self, message: JobMessage) -> None:
        """Send this to the Manager."""
        raise NotImplementedError

    def ship(self, code: bytes) -> int:
        """Send the code of further calls; its number."""
        raise NotImplementedError

    # --- as a TaskBackend -----------------------------------------------------------------------------------------------

    def next_number(self) -> int:
        return next(self._numbers)

    def launch(self, task: Task) -> None:
        call = task.call
        options = {name: value for name, value in call.options.items() if name in _OPTIONS and value is not None}
        options["labels"] = tuple(sorted(options.get("labels", ())))
        with self._lock:
            data, needs, code = self._packer.pack(call, self.owns)
            code_number = self.ship(code) if code is not None else self.code_number
            self._tasks[task.number] = task
            finalize(task, self.forget, task.number).atexit = False
            self.say(
                SubmitTask(
                    executor=self._executor_number,
                    task=task.number,
                    call=data,
                    code=code_number,
                    name=task.name,
                    options=TaskOptions(**options),
                    needs=needs,
                    function=call.options.get("function", ""),
                    avoid=call.avoid,
                )
            )

    code_number = 0

    def owns(self, task: Task) -> bool:
        """Whether the Manager knows this Task as one of this submitter's."""
        return getattr(task.executor.backend, "identity", None) is self

    @property
    def identity(self) -> TaskMessenger:
        """Tasks of the same messenger can be arguments of each other."""
        return self

    def cancel(self, task: Task) -> None:
        self.say(CancelTask(task.number))

    def take_outcome(self, task: Task) -> None:
        self.say(TakeOutcome(task.number))

    def read(self, task: Task, attempt: int, count: int) -> None:
        self.say(TakeMessages(task.number, attempt, count))

    def put(self, task: Task, value: object) -> None:
        data = pickle_with_tasks(value, lambda inner: inner.number, Reached())
        self.say(PutValue(self._executor_number, task.number, data))
        finalize(task, self.forget, task.number).atexit = False
        task.finish(value)

    def forget(self, number: int) -> None:
        """Its Task is no more: nothing can need its value. Called wherever garbage is collected: it takes no lock."""

    # --- from the Manager -----------------------------------------------------------------------------------------------

    def heard(self, message: AnyJobMessage) -> None:
        """The Manager says this of a task."""
        number = getattr(message, "task", 0)
        task = self._tasks.get(number)
        if task is None:
            return
        match message:
            case TaskStarted(worker=worker):
                task.executor.started(task, worker)
            case AttemptEnded(record=record, log=log):
                task.executor.attempt_ended(task, task.attempt_ended(record, log))
            case TaskEmitted(attempt=attempt, data=data):
                task.emitted(attempt, _loader(data))
            case TaskProgress(done=done, total=total):
                task.progress = Progress(done, total)
            case TaskEnded():
                self._ended(task, message)

    def _ended(self, task: Task, message: TaskEnded) -> None:
        if message.value is None and message.failure is None:
            task.was_cancelled()
        elif message.failure is not None:
            task.finish(error=exception_of(message.failure))
        elif message.value is not None:
            try:
                value = unpickle_value(message.value)
            except BaseException as error:  # user code runs here
                task.finish(error=error)
            else:
                task.finish(value)


def _loader(data: bytes) -> Callable[[], object]:
    return lambda: pickle.loads(data)
