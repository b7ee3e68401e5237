"""The records of the Manager's queue: executors, tasks and attempts, and who submits them. They decide nothing."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from ...wire.job_messages import (
    AttemptRecord,
    OpenExecutor,
    SubmitTask,
    TaskFailure,
    TaskOptions,
    TaskValue,
)
from ...wire.states import move
from ...wire.task_states import ENDED, TASK, TaskState

COVERED = 0.020  # seconds of work that a slot is sent ahead
MOST_AHEAD = 16


class Submitter(NamedTuple):
    """Who submits tasks: a client (`task` 0), or an attempt of a task of that client."""

    client: str
    task: int = 0
    attempt: int = 0


class Needs(NamedTuple):
    """What a worker must have to run a task; tasks with equal needs share a queue."""

    kind: str = "python"
    worker: str | None = None
    labels: frozenset[str] = frozenset()
    function: str = ""
    avoid: frozenset[str] = frozenset()

    def describe(self) -> str:
        """The needs, as an error names them."""
        parts = [f"of kind {self.kind!r}"]
        parts += [f"named {self.worker!r}"] if self.worker is not None else []
        parts += [f"with the labels {', '.join(sorted(self.labels))}"] if self.labels else []
        parts += [f"with the function {self.function!r}"] if self.function else []
        return " ".join(parts)


class ExecutorRecord:
    """One executor: limits, budget, and what runs of it."""

    def __init__(self, client: str, opened: OpenExecutor, now: float) -> None:
        self.client = client
        self.number = opened.executor
        self.name = opened.name
        self.max_workers = opened.max_workers if opened.max_workers is not None else inf
        self.budget = opened.budget
        self.deadline = now + opened.deadline if opened.deadline is not None else inf
        self.spent = 0.0
        self.reserved = 0.0
        self.running = 0  # attempts that hold a slot
        self.served_at = now
        self.turn = 0  # of all starts, the number of its last one
        self.unfinished: set[int] = set()
        self.closed = False
        self.call_seconds = inf  # how long its calls last, of late

    def ahead(self) -> int:
        """Calls that a slot may be sent beyond the one that it runs: as many as cover 20 ms, if its calls are shorter."""
        if self.call_seconds >= COVERED:
            return 0
        return min(MOST_AHEAD, int(COVERED / max(self.call_seconds, 1e-6)))

    def called(self, seconds: float) -> None:
        """A call has lasted so long."""
        if self.call_seconds == inf:
            self.call_seconds = seconds
        else:
            self.call_seconds += 0.2 * (seconds - self.call_seconds)


class AttemptState:
    """An attempt that a worker was given. It holds a slot of the worker until the worker says how it ended."""

    def __init__(self, task: TaskRecord, number: int, worker: str, price: float, now: float) -> None:
        self.task = task
        self.number = number
        self.worker = worker
        self.price = price
        self.reserved = price * (task.options.timeout or 0.0)
        self.started_at = now
        self.children_open = 0
        self.lent_at = 0.0  # when it last gave its slot away
        self.released = False

    @property
    def holds_slot(self) -> bool:
        """An attempt whose own tasks are unfinished holds none, however it waits for them."""
        return self.children_open == 0 and not self.released


_NO_NUMBERS: frozenset[int] = frozenset()
NO_RECORDS: Mapping[int, TaskRecord] = MappingProxyType({})
_NO_NAMES: Mapping[str, float] = MappingProxyType({})


class TaskRecord:
    """One task in the Manager's queue. Its number is the Manager's; `submitted.task` is the submitter's.

    A million of them may be queued: what most never have is shared and empty until it is needed.

    Attributes:
        needed: the tasks among its arguments, by the submitter's numbers.
        missing: those of them that are not done, by the Manager's numbers.
        children: the tasks that its present attempt has submitted, by that attempt's numbers.
        awaited: those of them that it still has to join.
        returned: what its call returned, as a pickle and the numbers of the children that it refers to.
    """

    __slots__ = (
        "attempt", "attempts", "avoid", "avoid_until", "awaited", "children", "dependents", "depth", "executor",
        "failed_by", "failure", "forgotten", "missing", "needed", "number", "options", "outcome_taken", "parent",
        "parent_attempt", "queued", "ready_at", "returned", "state", "submitted", "submitted_at", "submitter", "value",
    )  # fmt: skip

    def __init__(
        self, number: int, submitter: Submitter, executor: ExecutorRecord, submitted: SubmitTask, now: float
    ) -> None:
        self.number = number
        self.submitter = submitter
        self.executor = executor
        self.submitted = submitted
        self.options: TaskOptions = submitted.options
        self.state = TaskState.WAITING
        self.submitted_at = now
        self.ready_at = now
        self.queued = 0  # its place in the ready queue; an older one does not count
        self.depth = 0
        self.parent: TaskRecord | None = None
        self.parent_attempt: AttemptState | None = None
        self.needed = NO_RECORDS
        self.missing: AbstractSet[int] = _NO_NUMBERS
        self.children = NO_RECORDS
        self.awaited: AbstractSet[int] = _NO_NUMBERS
        self.dependents: tuple[TaskRecord, ...] | list[TaskRecord] = ()
        self.attempts = 0
        self.attempt: AttemptState | None = None
        self.failed_by = _NO_NAMES
        self.avoid: frozenset[str] = frozenset()
        self.avoid_until = inf
        self.returned: tuple[bytes, tuple[int, ...]] | None = None
        self.value: TaskValue | None = None
        self.failure: TaskFailure | None = None
        self.outcome_taken = False
        self.forgotten = False

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    def move(self, event: str) -> None:
        """Take the table's way for `event`; an illegal one raises StateError."""
        self.state = move(TASK, self.state, event)

    def needs(self) -> Needs:
        """What it needs of a worker, with whom it avoids for now."""
        options = self.options
        kind = options.kind if options.kind is not None else "python"
        return Needs(kind, options.worker, frozenset(options.labels), self.submitted.function, self.avoid)


def record_of(attempt: AttemptState, outcome: str, seconds: float, text: str, now: float) -> AttemptRecord:
    """How an attempt ended. It never took longer than since it was sent, nor costs more than was reserved for it."""
    if not 0 <= seconds <= now - attempt.started_at:
        seconds = max(0.0, now - attempt.started_at)
    cost = attempt.price * seconds
    if attempt.reserved:
        cost = min(cost, attempt.reserved)
    return AttemptRecord(attempt.number, attempt.worker, seconds, outcome, text, cost)
