"""The Machine of the Manager's tasks: which client or worker says what, and what it may. The queue decides the rest.

A client may do to its own tasks what it likes, and to nothing else; a worker may speak of the attempts that it was given. All
else is counted in `strays` and dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from ...wire.capacity import Capacity
from ...wire.job_messages import (
    AnyJobMessage,
    AttemptOutcome,
    CancelTask,
    CloseExecutor,
    DropClient,
    ForgetTasks,
    FromTask,
    OpenExecutor,
    PutValue,
    ShipCode,
    SubmitTask,
    SubmitterMessage,
    TakeMessages,
    TakeOutcome,
    TaskEmitted,
    TaskEnded,
    TaskFailure,
    TaskProgress,
)
from ...wire.task_states import TaskState
from .queue import SendJobMessage, TaskQueue
from .tasks import ExecutorRecord, Submitter, TaskRecord
from .workers import TaskWorker


class ClientRecord:
    """A client: its executors, its tasks by its numbers, and the code that it has shipped."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.executors: dict[int, ExecutorRecord] = {}
        self.tasks: dict[int, TaskRecord] = {}
        self.codes: dict[int, int] = {}  # its number -> ours


class JobsMachine:
    """Told what clients and workers say, who comes and goes and what time it is, it returns what to send."""

    def __init__(self) -> None:
        self.queue = TaskQueue()
        self.clients: dict[str, ClientRecord] = {}
        self.strays = 0
        self._codes: dict[int, bytes] = {}
        self._last_code = 0

    @property
    def workers(self) -> Mapping[str, TaskWorker]:
        """The workers that take tasks, by key."""
        return self.queue.dispatcher.workers.by_key

    @property
    def is_used(self) -> bool:
        """Whether any client is there."""
        return bool(self.clients)

    # --- who comes and goes ---------------------------------------------------------------------------------------------

    def worker_joined(self, name: str, key: str, capacity: Capacity, now: float) -> list[SendJobMessage]:
        """A worker has registered, or registered again: what it ran before is lost."""
        self.worker_left(key, now)
        if capacity.slots:
            self.queue.dispatcher.workers.add(TaskWorker(name, key, capacity))
            self.queue.dispatcher.workers_changed(now)
        return self._settled(now)

    def worker_left(self, key: str, now: float) -> list[SendJobMessage]:
        """A worker has left, was lost, or was revoked."""
        worker = self.queue.dispatcher.workers.remove(key)
        if worker is not None:
            self.queue.worker_lost(worker, now)
            self.queue.dispatcher.workers_changed(now)
        return self._settled(now)

    def client_left(self, key: str, now: float) -> list[SendJobMessage]:
        """A client has left or was lost: its tasks are cancelled and forgotten."""
        client = self.clients.pop(key, None)
        if client is None:
            return []
        for executor in client.executors.values():
            self._close(executor, now)
        for task in client.tasks.values():
            self._forget(task)
        for code in client.codes.values():
            self._codes.pop(code, None)
        self.queue.outbox = [effect for effect in self.queue.outbox if effect.key != key]
        self.queue.outbox += [SendJobMessage(worker, DropClient(key[:16])) for worker in self.workers]
        return self._settled(now)

    # --- what is heard --------------------------------------------------------------------------------------------------

    def client_said(self, key: str, message: AnyJobMessage, now: float) -> list[SendJobMessage]:
        """A client, who may submit, says this."""
        client = self.clients.setdefault(key, ClientRecord(key))
        match message:
            case OpenExecutor(executor=number):
                if number not in client.executors:
                    client.executors[number] = ExecutorRecord(key, message, now)
            case CloseExecutor(executor=number):
                if (executor := client.executors.get(number)) is not None:
                    self._close(executor, now)
            case ShipCode(code=code, data=data):
                self._last_code += 1
                client.codes[code] = self._last_code
                self._codes[self._last_code] = data
            case SubmitTask():
                self._client_submits(client, message, now)
            case PutValue(executor=number, task=given, data=data):
                found = client.executors.get(number)
                if found is not None and given not in client.tasks:
                    client.tasks[given] = self.queue.give(Submitter(key), found, given, data, now)
            case CancelTask() | TakeOutcome() | ForgetTasks() | TakeMessages():
                self._submitter_said(client.tasks, message, now)
            case _:
                self.strays += 1
        return self._settled(now)

    def worker_said(self, key: str, message: AnyJobMessage, now: float) -> list[SendJobMessage]:
        """A worker says this of an attempt that it runs."""
        worker = self.workers.get(key)
        if worker is None:
            self.strays += 1
            return []
        match message:
            case AttemptOutcome():
                self.queue.outcome(worker, message, now)
            case FromTask(task=number, attempt=attempt, message=inner):
                self._task_said(worker, number, attempt, inner, now)
            case TaskEmitted(task=number, attempt=attempt) | TaskProgress(task=number, attempt=attempt):
                self._pass_on(worker, number, attempt, message)
            case _:
                self.strays += 1
        return self._settled(now)

    def _client_submits(self, client: ClientRecord, message: SubmitTask, now: float) -> None:
        executor = client.executors.get(message.executor)
        code = client.codes.get(message.code, 0)
        if executor is None or message.task in client.tasks or (message.code and not code):
            self.strays += 1
            return
        if executor.closed:
            failure = TaskFailure("refused", "its executor was shut down")
            self.queue.outbox.append(SendJobMessage(client.key, TaskEnded(message.task, failure=failure)))
            return
        message = _with_code(message, code)
        task = self.queue.submit(Submitter(client.key), executor, message, client.tasks, now)
        client.tasks[message.task] = task

    def _task_said(
        self, worker: TaskWorker, number: int, attempt_number: int, message: SubmitterMessage, now: float
    ) -> None:
        attempt = worker.attempts.get((number, attempt_number))
        if attempt is None or attempt.task.attempt is not attempt:
            self.strays += 1
            return
        task = attempt.task
        if isinstance(message, PutValue):
            submitter = Submitter(task.submitter.client, number, attempt_number)
            self.queue.adopt_value(task, message, submitter, now)
        elif not isinstance(message, SubmitTask):
            self._submitter_said(task.children, message, now)
        elif message.task in task.children:
            self.strays += 1
        else:
            # an attempt submits what its own code holds: the same code, the same executor
            message = _with_code(message, task.submitted.code)
            submitter = Submitter(task.submitter.client, number, attempt_number)
            self.queue.submit(submitter, task.executor, message, task.children, now)

    def _submitter_said(self, tasks: Mapping[int, TaskRecord], message: SubmitterMessage, now: float) -> None:
        match message:
            case CancelTask(task=number):
                if (task := tasks.get(number)) is not None and not task.has_ended:
                    self.queue.end(task, "cancelled", now)
            case TakeOutcome(task=number):
                if (task := tasks.get(number)) is not None:
                    task.outcome_taken = True
            case ForgetTasks(tasks=numbers):
                for number in numbers:
                    if (task := tasks.get(number)) is not None and not task.submitter.task:
                        del tasks[number]  # type: ignore[attr-defined]  # a client's own dict
                        self._forget(task)
            case TakeMessages(task=number, attempt=attempt_number):
                task = tasks.get(number)
                attempt = task.attempt if task is not None else None
                if task is not None and attempt is not None and attempt.number == attempt_number:
                    key = self.queue.dispatcher.workers.by_name[attempt.worker].key
                    self.queue.outbox.append(
                        SendJobMessage(key, TakeMessages(task.number, attempt_number, message.count))
                    )
            case SubmitTask() | PutValue():
                self.strays += 1

    def _pass_on(
        self, worker: TaskWorker, number: int, attempt_number: int, message: TaskEmitted | TaskProgress
    ) -> None:
        attempt = worker.attempts.get((number, attempt_number))
        if attempt is None or attempt.task.attempt is not attempt:
            self.strays += 1
            return
        task = attempt.task
        if isinstance(message, TaskEmitted):
            self.queue.tell(task, TaskEmitted(task.submitted.task, attempt_number, message.data))
        else:
            self.queue.tell(task, TaskProgress(task.submitted.task, attempt_number, message.done, message.total))

    def _forget(self, task: TaskRecord) -> None:
        task.forgotten = True
        if task.has_ended:
            self.queue.tasks.pop(task.number, None)

    def _close(self, executor: ExecutorRecord, now: float) -> None:
        executor.closed = True
        for number in sorted(executor.unfinished):
            self.queue.end(self.queue.tasks[number], "cancelled", now)

    # --- time -----------------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When `tick` has something to do; infinity for never."""
        executors = (each for client in self.clients.values() for each in client.executors.values())
        deadlines = (each.deadline for each in executors if each.unfinished)
        return min([self.queue.due, *deadlines], default=inf)

    def tick(self, now: float) -> list[SendJobMessage]:
        """Time has passed."""
        self.queue.tick(now)
        for client in self.clients.values():
            for executor in client.executors.values():
                if now >= executor.deadline and executor.unfinished:
                    failure = TaskFailure("deadline", "the deadline of its executor has passed")
                    for number in sorted(executor.unfinished):
                        self.queue.end(self.queue.tasks[number], "failed", now, failure)
        return self._settled(now)

    def _settled(self, now: float) -> list[SendJobMessage]:
        """Start what can start, and return all that is to be sent; a worker gets the code before the first task with it."""
        self.queue.dispatch(now)
        outbox, self.queue.outbox = self.queue.outbox, []
        effects: list[SendJobMessage] = []
        for effect in outbox:
            worker, message = self.workers.get(effect.key), effect.message
            code = getattr(message, "code", 0)
            if worker is not None and code and code not in worker.codes:
                worker.codes.add(code)
                effects.append(SendJobMessage(effect.key, ShipCode(code, self._codes.get(code, b""))))
            effects.append(effect)
        return effects

    def summary(self) -> dict[str, int]:
        """How many tasks are in each state, those that were forgotten too."""
        return {state.value: self.queue.counts[state] for state in TaskState}


def _with_code(message: SubmitTask, code: int) -> SubmitTask:
    return SubmitTask(
        message.executor, message.task, message.call, code, message.name, message.options, message.needs,
        message.function, message.avoid,
    )  # fmt: skip
