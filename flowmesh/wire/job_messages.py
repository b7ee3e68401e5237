"""Every message about tasks, as one tagged union of frozen structs of its own. A docstring gives the route.

A *submitter* is a client, or a running task that submits tasks in its turn. Submitters number their tasks from 1; on the
way between Manager and worker a task has the Manager's number. Pickles are bytes here: only the submitter's process and
the task's open them.
"""

from __future__ import annotations

import msgspec

from ..errors import LinkError

INLINE_LIMIT = 32 * 1024**2  # bytes of one call, of one value, and of the code of one executor's functions


class JobMessage(msgspec.Struct, frozen=True, tag=True):
    """The base of all messages about tasks."""


class TaskOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The requirements and limits of a task; times in seconds."""

    timeout: float | None = None
    wait_timeout: float | None = None
    retries: int = 0
    backoff: float = 0.0
    priority: int = 0
    other_worker: bool = True
    fresh: bool = False
    kind: str | None = None
    worker: str | None = None
    labels: tuple[str, ...] = ()
    detached: bool = False


class TaskValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pickled value; where it refers to tasks, `parts` holds their values by number."""

    data: bytes
    parts: dict[int, TaskValue] = {}


class TaskFailure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a task or an attempt has failed.

    Attributes:
        reason: raised, died, timeout, rejected, lost, dependency, child, wait, budget, deadline or refused.
        text: what the user reads; for `raised`, the task's own lines of the traceback.
        exception: the pickled exception; empty where there is none, or it can't be pickled.
        attempt: the number of the attempt; 0: it was never started.
    """

    reason: str
    text: str
    exception: bytes = b""
    worker: str = ""
    attempt: int = 0


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt that has ended. `outcome`: done, raised, died, timeout, rejected, lost or cancelled."""

    number: int
    worker: str
    seconds: float
    outcome: str
    text: str = ""
    cost: float = 0.0


# --- submitter → Manager ------------------------------------------------------------------------------------------------


class OpenExecutor(JobMessage, frozen=True):
    """Client → Manager: tasks of this executor follow. `max_workers`: most tasks that run at a time. `budget` in units;
    `deadline` in seconds from now."""

    executor: int
    name: str = ""
    max_workers: int | None = None
    budget: float | None = None
    deadline: float | None = None


class CloseExecutor(JobMessage, frozen=True):
    """Client → Manager: no further task comes, and what has not ended is cancelled."""

    executor: int


class ShipCode(JobMessage, frozen=True):
    """Client → Manager → Worker → Task: the code that calls of this `code` number need; sent before the first."""

    code: int
    data: bytes


class SubmitTask(JobMessage, frozen=True):
    """Submitter → Manager: run this call when all tasks that it `needs` are done.

    Attributes:
        call: a pickle that only the task's process opens.
        code: the number of the code that it needs.
        function: a name to look up on the worker, instead of a function in `call`; "" for none.
    """

    executor: int
    task: int
    call: bytes
    code: int
    name: str
    options: TaskOptions
    needs: tuple[int, ...] = ()
    function: str = ""
    avoid: tuple[str, ...] = ()


class PutValue(JobMessage, frozen=True):
    """Submitter → Manager: a task that is done with this value, to be an argument of others."""

    executor: int
    task: int
    data: bytes


class CancelTask(JobMessage, frozen=True):
    """Submitter → Manager."""

    task: int


class TakeOutcome(JobMessage, frozen=True):
    """Submitter → Manager: the outcome of this task was looked at; its failure does not fail the task that submitted it."""

    task: int


class ForgetTasks(JobMessage, frozen=True):
    """Submitter → Manager: nothing will need the values of these tasks any more."""

    tasks: tuple[int, ...]


class TakeMessages(JobMessage, frozen=True):
    """Submitter → Manager → Worker → Task: this many emitted values of the task were read."""

    task: int
    attempt: int
    count: int


# --- Manager → submitter ------------------------------------------------------------------------------------------------


class TaskStarted(JobMessage, frozen=True):
    """Manager → Submitter: an attempt was given to a worker."""

    task: int
    attempt: int
    worker: str


class AttemptEnded(JobMessage, frozen=True):
    """Manager → Submitter: an attempt has ended, and this came of it. `log`: the last of what it printed."""

    task: int
    record: AttemptRecord
    log: str = ""


class TaskEnded(JobMessage, frozen=True):
    """Manager → Submitter: the task is done (with its value), failed (with why) or cancelled (with neither)."""

    task: int
    value: TaskValue | None = None
    failure: TaskFailure | None = None


class TaskEmitted(JobMessage, frozen=True):
    """Task → Worker → Manager → Submitter: a value from inside of a running attempt."""

    task: int
    attempt: int
    data: bytes


class TaskProgress(JobMessage, frozen=True):
    """Task → Worker → Manager → Submitter: how far the running attempt is."""

    task: int
    attempt: int
    done: float
    total: float | None


class SpentBudget(JobMessage, frozen=True):
    """Manager → Client: what the executor has spent, in units."""

    executor: int
    spent: float


# --- Manager ↔ worker ---------------------------------------------------------------------------------------------------


class RunTask(JobMessage, frozen=True):
    """Manager → Worker → Task: begin this attempt.

    Attributes:
        client: the submitting client, in short: processes are reused for one client's code only.
        values: the values of the tasks that it needs, by the submitter's numbers.
        executor: the number of the executor, for tasks that it submits.
    """

    task: int
    attempt: int
    client: str
    executor: int
    call: bytes
    code: int
    name: str
    worker: str
    timeout: float | None = None
    fresh: bool = False
    function: str = ""
    values: dict[int, TaskValue] = {}


class EndAttempt(JobMessage, frozen=True):
    """Manager → Worker: end this attempt; it is answered by its AttemptOutcome, whatever that is."""

    task: int
    attempt: int


class DropClient(JobMessage, frozen=True):
    """Manager → Worker: the client has gone; end its idle processes and forget its code."""

    client: str


class AttemptOutcome(JobMessage, frozen=True):
    """Task → Worker → Manager: the attempt has ended. `seconds` that it ran. `outcome`: as of AttemptRecord, or "unstarted":
    it was sent ahead and has not begun, so it is no attempt."""

    task: int
    attempt: int
    outcome: str
    seconds: float
    data: bytes = b""
    refers: tuple[int, ...] = ()
    failure: TaskFailure | None = None
    log: str = ""


class SetUpSlot(JobMessage, frozen=True):
    """Worker → Task, first of all, with the file that takes what is printed: `folder` is for its working directories.
    `functions`: the file with the functions that can be called by name; "" for none."""

    folder: str
    worker: str
    functions: str = ""


class AttemptBegan(JobMessage, frozen=True):
    """Task → Worker: the process has the task: from now on its timeout runs."""

    task: int
    attempt: int


class FromTask(JobMessage, frozen=True):
    """Task → Worker → Manager: a running attempt says this as a submitter."""

    task: int
    attempt: int
    message: SubmitterMessage


class ToTask(JobMessage, frozen=True):
    """Manager → Worker → Task: to the submitter that this attempt is."""

    task: int
    attempt: int
    message: SubmitterNews


SubmitterMessage = SubmitTask | PutValue | CancelTask | TakeOutcome | ForgetTasks | TakeMessages
SubmitterNews = TaskStarted | AttemptEnded | TaskEnded | TaskEmitted | TaskProgress
AnyJobMessage = (
    OpenExecutor | CloseExecutor | ShipCode | SubmitTask | PutValue | CancelTask | TakeOutcome | ForgetTasks | TakeMessages
    | TaskStarted | AttemptEnded | TaskEnded | TaskEmitted | TaskProgress | SpentBudget
    | RunTask | EndAttempt | DropClient | AttemptOutcome | SetUpSlot | AttemptBegan | FromTask | ToTask
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyJobMessage)
_batch_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])


def encode_job(message: JobMessage) -> bytes:
    return _encoder.encode(message)


def decode_job(data: bytes | memoryview | msgspec.Raw) -> AnyJobMessage:
    """The message in `data`.

    Raises:
        LinkError: it is none.
    """
    try:
        message: AnyJobMessage = _decoder.decode(data)
        return message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LinkError(f"a message about tasks can't be read: {error}") from error


def encode_batch(messages: list[bytes]) -> bytes:
    """Encoded messages as the body of one packet."""
    return _encoder.encode([msgspec.Raw(message) for message in messages])


def decode_batch(body: bytes) -> list[AnyJobMessage]:
    """The messages in the body of a packet.

    Raises:
        LinkError: it holds anything else.
    """
    try:
        parts = _batch_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise LinkError(f"a packet of messages about tasks can't be read: {error}") from error
    return [decode_job(part) for part in parts]
