"""The life of every task in the Manager: submitted, ready, started, ended, joined. Peers and their keys are elsewhere.

A task waits for the tasks among its arguments; one that fails or is cancelled fails those that need it, and nobody else. A
task is done when its call and all that it submitted are done. Its failure, retry or cancel ends its children, unless they
are detached. An outcome counts only from the worker, and for the attempt, that it was given to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ...wire.job_messages import (
    AttemptEnded,
    AttemptOutcome,
    EndAttempt,
    JobMessage,
    PutValue,
    RunTask,
    SpentBudget,
    SubmitTask,
    TaskEnded,
    TaskFailure,
    TaskOptions,
    TaskStarted,
    TaskValue,
    ToTask,
)
from ...wire.task_states import TaskState
from . import attempts, budget
from .dispatch import Dispatcher
from .tasks import NO_RECORDS, AttemptState, ExecutorRecord, Submitter, TaskRecord, record_of
from .workers import TaskWorker

MOST_WAITING = 64  # attempts of a worker that wait for tasks of their own, each in a process that holds memory
SLOW_CALL = 1.0  # seconds: what a call that came back unstarted counts as
CROWDED_FOR = 1.0  # seconds: time for a call that returns its tasks instead of waiting


class SendJobMessage(msgspec.Struct, frozen=True):
    """The Manager's: send the message to the client or worker that holds this key."""

    key: str
    message: JobMessage


class _Ending(NamedTuple):
    task: TaskRecord
    event: str
    failure: TaskFailure | None = None
    value: TaskValue | None = None


class TaskQueue:
    """All tasks. What is to be sent gathers in `outbox`.

    Attributes:
        strays: outcomes that were not taken, because their attempt was given up or never given.
        accepted: tasks that were accepted so far.
    """

    def __init__(self) -> None:
        self.dispatcher = Dispatcher()
        self.tasks: dict[int, TaskRecord] = {}
        self.outbox: list[SendJobMessage] = []
        self.counts = dict.fromkeys(TaskState, 0)
        self.accepted = 0
        self.strays = 0
        self._starts = 0
        self._crowded: dict[int, AttemptState] = {}

    # --- submitted ------------------------------------------------------------------------------------------------------

    def submit(
        self,
        submitter: Submitter,
        executor: ExecutorRecord,
        message: SubmitTask,
        known: Mapping[int, TaskRecord],
        now: float,
    ) -> TaskRecord:
        """Accept a task. `known` are the submitter's tasks, by its numbers; the attempt that submits joins this one."""
        self.accepted += 1
        task = TaskRecord(self.accepted, submitter, executor, message, now)
        self.tasks[task.number] = task
        self.counts[task.state] += 1
        executor.unfinished.add(task.number)
        parent = self.tasks.get(submitter.task)
        if parent is not None and parent.attempt is not None and parent.attempt.number == submitter.attempt:
            self._adopt(parent, parent.attempt, task, now)
        self._look_at_needs(task, known, now)
        return task

    def give(self, submitter: Submitter, executor: ExecutorRecord, number: int, data: bytes, now: float) -> TaskRecord:
        """Accept a task that is done with this value."""
        self.accepted += 1
        message = SubmitTask(executor.number, number, b"", 0, "value", TaskOptions())
        task = TaskRecord(self.accepted, submitter, executor, message, now)
        self.tasks[task.number] = task
        self.counts[task.state] += 1
        task.value = TaskValue(data)
        self._move(task, "given")
        return task

    def adopt_value(self, parent: TaskRecord, message: PutValue, submitter: Submitter, now: float) -> None:
        """A running task has given a value for the tasks that it submits."""
        if message.task in parent.children:
            return
        value = self.give(submitter, parent.executor, message.task, message.data, now)
        if not isinstance(parent.children, dict):
            parent.children = {}
        parent.children[message.task] = value

    def _adopt(self, parent: TaskRecord, attempt: AttemptState, task: TaskRecord, now: float) -> None:
        task.parent = parent
        task.depth = parent.depth + 1
        task.parent_attempt = attempt
        if not isinstance(parent.children, dict):
            parent.children = {}
        parent.children[task.submitted.task] = task
        if attempt.holds_slot:
            self._take_slot(attempt, -1)
            attempt.lent_at = now
            worker = self.dispatcher.workers.by_name.get(attempt.worker)
            if worker is not None and worker.lent >= MOST_WAITING:
                self._crowded[parent.number] = attempt
        attempt.children_open += 1

    def _look_at_needs(self, task: TaskRecord, known: Mapping[int, TaskRecord], now: float) -> None:
        needed = task.submitted.needs
        if task.executor.budget is not None and task.options.timeout is None:
            text = "under a budget a task needs timeout=: what an attempt may cost is reserved before it starts"
            self.end(task, "failed", now, TaskFailure("refused", text))
            return
        unknown = [number for number in needed if number not in known]
        if unknown:
            text = "an argument is a task that this Manager does not know, or whose value it has forgotten"
            self.end(task, "failed", now, TaskFailure("refused", text))
            return
        if needed:
            task.needed = {number: known[number] for number in needed}
        bad = [each for each in task.needed.values() if each.has_ended and each.state is not TaskState.DONE]
        if bad:
            self.end(task, "failed", now, _dependency_failure(bad[0]))
            return
        missing = [each for each in task.needed.values() if not each.has_ended]
        if not missing:
            self._make_ready(task, now)
            return
        task.missing = {each.number for each in missing}
        for each in missing:
            each.dependents = each.dependents if isinstance(each.dependents, list) else []
            each.dependents.append(task)

    def _make_ready(self, task: TaskRecord, now: float) -> None:
        self._move(task, "needs met")
        self.dispatcher.make_ready(task, now, now)

    # --- started --------------------------------------------------------------------------------------------------------

    def dispatch(self, now: float) -> None:
        """Start what can start."""
        for task, place in self.dispatcher.starts(now):
            if isinstance(place, TaskFailure):
                self.end(task, "failed", now, place)
            else:
                self._start(task, place, now)

    def _start(self, task: TaskRecord, worker: TaskWorker, now: float) -> None:
        self._move(task, "sent")
        task.attempts += 1
        attempt = AttemptState(task, task.attempts, worker.name, worker.capacity.price, now)
        task.attempt = attempt
        worker.attempts[task.number, attempt.number] = attempt
        task.executor.served_at = now
        self._starts += 1
        task.executor.turn = self._starts
        budget.reserve(task.executor, attempt.reserved)
        self._take_slot(attempt, 1)
        submitted = task.submitted
        values = {number: needed.value for number, needed in task.needed.items() if needed.value is not None}
        self._send(
            worker.key,
            RunTask(
                task=task.number,
                attempt=attempt.number,
                client=task.submitter.client[:16],
                executor=submitted.executor,
                call=submitted.call,
                code=submitted.code,
                name=submitted.name,
                worker=worker.name,
                timeout=task.options.timeout,
                fresh=task.options.fresh,
                function=submitted.function,
                values=values,
            ),
        )
        self.tell(task, TaskStarted(submitted.task, attempt.number, worker.name))

    def _take_slot(self, attempt: AttemptState, by: int) -> None:
        worker = self.dispatcher.workers.by_name.get(attempt.worker)
        if worker is not None:
            worker.busy += by
        attempt.task.executor.running += by

    # --- an attempt has ended -------------------------------------------------------------------------------------------

    def outcome(self, worker: TaskWorker, message: AttemptOutcome, now: float) -> None:
        """A worker says how an attempt ended."""
        attempt = worker.attempts.pop((message.task, message.attempt), None)
        if attempt is None:
            self.strays += 1
        else:
            self._attempt_ended(attempt, message, now)

    def worker_lost(self, worker: TaskWorker, now: float) -> None:
        """All that was given to this worker is lost; it must have been taken out before."""
        for attempt in list(worker.attempts.values()):
            text = f"worker {worker.name!r} went away while it ran the task"
            failure = TaskFailure("lost", text, worker=worker.name, attempt=attempt.number)
            seconds = now - attempt.started_at
            lost = AttemptOutcome(attempt.task.number, attempt.number, "lost", seconds, failure=failure)
            self._attempt_ended(attempt, lost, now)
        worker.attempts.clear()

    def _attempt_ended(self, attempt: AttemptState, message: AttemptOutcome, now: float) -> None:
        task, failure = attempt.task, message.failure
        if attempt.holds_slot:
            self._take_slot(attempt, -1)
        attempt.released = True
        record = record_of(attempt, message.outcome, message.seconds, failure.text if failure else "", now)
        budget.charge(task.executor, attempt.reserved, record.cost)
        if record.cost and task.submitter.client:
            self._send(task.executor.client, SpentBudget(task.executor.number, task.executor.spent))
        if message.outcome != "unstarted":
            self.tell(task, AttemptEnded(task.submitted.task, record, message.log))
        if task.attempt is not attempt:
            return  # it was given up: its outcome does not count any more
        task.attempt = None
        if message.outcome == "unstarted":
            self._take_back(task, now)
        elif message.outcome == "done":
            task.executor.called(record.seconds)
            self._returned(task, message, now)
        elif attempts.may_retry(task):
            self._retry(task, attempt.worker, now)
        else:
            failure = failure or TaskFailure(message.outcome, f"the attempt ended: {message.outcome}")
            self.end(task, "failed", now, failure)

    def _take_back(self, task: TaskRecord, now: float) -> None:
        """It was sent ahead, and what is before it lasts longer than was thought: that was no attempt."""
        self._move(task, "retried")
        task.attempts -= 1
        task.executor.called(SLOW_CALL)
        self.dispatcher.make_ready(task, now, now)

    def _retry(self, task: TaskRecord, worker: str, now: float) -> None:
        self._move(task, "retried")
        children, task.children = task.children, NO_RECORDS
        self._end_all([_Ending(child, "cancelled") for child in children.values() if not child.options.detached], now)
        task.failed_by = {**task.failed_by, worker: now}
        self.dispatcher.make_ready(task, now + attempts.backoff(task), now)

    def _returned(self, task: TaskRecord, message: AttemptOutcome, now: float) -> None:
        self._move(task, "returned")
        task.returned = (message.data, message.refers)
        refers = set(message.refers)
        if not refers <= task.children.keys():
            text = "the call returned a task that it did not submit: return its result instead"
            self.end(task, "failed", now, TaskFailure("refused", text))
            return
        joined = {n: child for n, child in task.children.items() if n in refers or not child.options.detached}
        task.awaited = {number for number, child in joined.items() if not child.has_ended}
        bad = next((child for child in joined.values() if self._fails(task, child)), None)
        if bad is not None:
            self.end(task, "failed", now, _child_failure(bad))
        elif not task.awaited:
            self._end_all([self._joined(task)], now)

    @staticmethod
    def _fails(task: TaskRecord, child: TaskRecord) -> bool:
        """Whether the end of this child fails the task that joins it."""
        if not child.has_ended or child.state is TaskState.DONE:
            return False
        refers = task.returned[1] if task.returned is not None else ()
        return child.submitted.task in refers or (child.state is TaskState.FAILED and not child.outcome_taken)

    @staticmethod
    def _joined(task: TaskRecord) -> _Ending:
        assert task.returned is not None
        data, refers = task.returned
        parts = {number: value for number in refers if (value := task.children[number].value) is not None}
        return _Ending(task, "joined", value=TaskValue(data, parts))

    # --- a task ends ----------------------------------------------------------------------------------------------------

    def end(self, task: TaskRecord, event: str, now: float, failure: TaskFailure | None = None) -> None:
        """End a task by "failed" or "cancelled", with all that follows from it."""
        self._end_all([_Ending(task, event, failure)], now)

    def _end_all(self, endings: list[_Ending], now: float) -> None:
        """One after the other: a chain of a hundred thousand dependents is no recursion."""
        waiting = deque(endings)
        while waiting:
            ending = waiting.popleft()
            task = ending.task
            if task.has_ended:
                continue
            self._move(task, ending.event)
            task.value, task.failure = ending.value, ending.failure
            task.executor.unfinished.discard(task.number)
            self._give_up_attempt(task)
            waiting += [_Ending(c, "cancelled") for c in task.children.values() if not c.options.detached]
            task.children, task.awaited, task.returned = NO_RECORDS, frozenset(), None
            waiting += self._release_dependents(task, now)
            task.needed = NO_RECORDS
            self.tell(task, TaskEnded(task.submitted.task, task.value, task.failure))
            if task.parent is not None:
                waiting += self._child_ended(task.parent, task)
            if task.forgotten:
                self.tasks.pop(task.number, None)

    def _give_up_attempt(self, task: TaskRecord) -> None:
        attempt, task.attempt = task.attempt, None
        if attempt is None:
            return
        worker = self.dispatcher.workers.by_name.get(attempt.worker)
        if worker is not None:
            self._send(worker.key, EndAttempt(task.number, attempt.number))

    def _release_dependents(self, task: TaskRecord, now: float) -> list[_Ending]:
        dependents, task.dependents = task.dependents, ()
        endings = []
        for dependent in dependents:
            if dependent.has_ended:
                continue
            if task.state is not TaskState.DONE:
                endings.append(_Ending(dependent, "failed", _dependency_failure(task)))
                continue
            dependent.missing = dependent.missing - {task.number}
            if not dependent.missing and dependent.state is TaskState.WAITING:
                self._make_ready(dependent, now)
        return endings

    def _child_ended(self, parent: TaskRecord, child: TaskRecord) -> list[_Ending]:
        attempt = child.parent_attempt
        if attempt is not None and not attempt.released:
            attempt.children_open -= 1
            if attempt.holds_slot:
                self._take_slot(attempt, 1)
                self._crowded.pop(parent.number, None)
        if parent.state is not TaskState.JOINING or parent.children.get(child.submitted.task) is not child:
            return []
        parent.awaited = parent.awaited - {child.submitted.task}
        if self._fails(parent, child):
            return [_Ending(parent, "failed", _child_failure(child))]
        return [] if parent.awaited else [self._joined(parent)]

    # --- time -----------------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When `tick` has something to do; infinity for never."""
        crowded = (attempt.lent_at + CROWDED_FOR for attempt in self._crowded.values())
        return min([self.dispatcher.due, *crowded])

    def tick(self, now: float) -> None:
        """Time has passed."""
        for task, failure in self.dispatcher.tick(now):
            self.end(task, "failed", now, failure)
        for number, attempt in list(self._crowded.items()):
            if number not in self._crowded or now < attempt.lent_at + CROWDED_FOR:
                continue  # the end of another one has ended it
            del self._crowded[number]
            if attempt.task.attempt is attempt:
                text = f"more than {MOST_WAITING} tasks on worker {attempt.worker!r} wait for tasks of their own: "
                failure = TaskFailure("refused", f"{text}return the tasks instead of waiting for them")
                open_children = [child for child in attempt.task.children.values() if not child.has_ended]
                self._end_all([_Ending(child, "failed", failure) for child in open_children], now)

    # --- what is told ---------------------------------------------------------------------------------------------------

    def tell(self, task: TaskRecord, message: JobMessage) -> None:
        """Tell the submitter of a task: its client, or the attempt that submitted it if that still runs."""
        submitter = task.submitter
        if not submitter.task:
            self._send(submitter.client, message)
            return
        parent = self.tasks.get(submitter.task)
        attempt = parent.attempt if parent is not None else None
        if attempt is None or attempt.number != submitter.attempt:
            return
        worker = self.dispatcher.workers.by_name.get(attempt.worker)
        if worker is not None:
            self._send(worker.key, ToTask(submitter.task, submitter.attempt, message))  # type: ignore[arg-type]

    def _send(self, key: str, message: JobMessage) -> None:
        self.outbox.append(SendJobMessage(key, message))

    def _move(self, task: TaskRecord, event: str) -> None:
        self.counts[task.state] -= 1
        task.move(event)
        self.counts[task.state] += 1


def _dependency_failure(needed: TaskRecord) -> TaskFailure:
    how = "was cancelled" if needed.state is TaskState.CANCELLED else "has failed"
    cause = needed.failure
    text = f"the task {needed.submitted.name!r}, which it needs, {how}"
    if cause is None:
        return TaskFailure("dependency", text)
    return TaskFailure("dependency", f"{text}: {cause.text}", cause.exception, cause.worker)


def _child_failure(child: TaskRecord) -> TaskFailure:
    if child.failure is None:
        return TaskFailure(
            "child", f"the task {child.submitted.name!r}, which it submitted and returned, was cancelled"
        )
    return child.failure
