"""The Machine of a worker's slots: which processes are forked, reused, ended, and what the Manager hears of attempts. No I/O.

A slot is a process that runs one task at a time, and only code of one client. What is sent beyond the free slots waits its
turn here; what has waited for 0.1 s goes back to the Manager unstarted. A task that waits for tasks of its own holds no slot.
A process is reused until it has been idle for 30 s or has run 10,000 tasks; one that was signalled, or that was made for a
single task, is not. An attempt that has to end gets SIGTERM, and 2 s later SIGKILL. A session of a later epoch ends all
that runs: the Manager counts it as lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

import msgspec

from ...wire.job_messages import (
    AnyJobMessage,
    AttemptBegan,
    AttemptOutcome,
    DropClient,
    EndAttempt,
    FromTask,
    JobMessage,
    RunTask,
    ShipCode,
    SubmitTask,
    TakeMessages,
    TaskEmitted,
    TaskEnded,
    TaskFailure,
    TaskProgress,
    ToTask,
)
from ...wire.messages import TaskPacket
from .session import Session

IDLE_FOR = 30.0  # seconds
MOST_TASKS = 10_000
GRACE = 2.0  # seconds between SIGTERM and SIGKILL
WAITS_FOR = 0.1  # seconds that a task waits here for a slot
STARTS_WITHIN = 30.0  # seconds that a process has to take its first task


class SlotEffect(msgspec.Struct, frozen=True):
    """The base of what a worker's slots want done."""


class ForkSlot(SlotEffect, frozen=True):
    """Start a process for tasks under this number."""

    slot: int


class SendToSlot(SlotEffect, frozen=True):
    """Send the message to the process."""

    slot: int
    message: JobMessage


class SignalSlot(SlotEffect, frozen=True):
    """End the process: by SIGTERM, or `kill` its whole session by SIGKILL."""

    slot: int
    kill: bool = False


class SendToJobs(SlotEffect, frozen=True):
    """Send the packet to the Manager."""

    packet: TaskPacket


class SlotRecord:
    """One process for tasks."""

    def __init__(self, number: int, client: str, fresh: bool) -> None:
        self.number = number
        self.client = client
        self.fresh = fresh
        self.codes: set[int] = set()
        self.task: RunTask | None = None
        self.ran = 0
        self.began_at: float | None = None
        self.ends_at = inf  # when its attempt's time is up
        self.kill_at = inf
        self.ending = ""  # why it was signalled: timeout, cancelled or idle
        self.killed = False
        self.idle_since = 0.0
        self.children_open = 0

    @property
    def holds_slot(self) -> bool:
        """Whether it counts: it runs a task that waits for none of its own."""
        return self.task is not None and not self.children_open


class SlotsMachine:
    """All slots of a worker, and its end of the session with the Manager."""

    def __init__(self, worker: str, slots: int) -> None:
        self._worker = worker
        self._slots = slots
        self._waiting: deque[tuple[float, RunTask]] = deque()
        self._session = Session(0)
        self._least_epoch = 1
        self._codes: dict[int, bytes] = {}
        self._last = 0
        self.slots: dict[int, SlotRecord] = {}

    # --- from the Manager -----------------------------------------------------------------------------------------------

    def received(self, packet: TaskPacket, now: float) -> list[SlotEffect]:
        """A packet has come.

        Raises:
            LinkError: it is damaged.
        """
        if packet.epoch < self._least_epoch:
            return []
        effects: list[SlotEffect] = []
        if packet.epoch > self._session.epoch:
            effects += self.disowned(now)
            self._session = Session(packet.epoch)
        for message in self._session.received(packet, now):
            effects += self._heard(message, now)
        return effects + self._packets(now)

    def _heard(self, message: AnyJobMessage, now: float) -> list[SlotEffect]:
        match message:
            case ShipCode(code=code, data=data):
                self._codes[code] = data
            case RunTask():
                if self._is_full and not message.fresh:
                    self._waiting.append((now + WAITS_FOR, message))
                    return []
                return self._run(message, now)
            case EndAttempt(task=task, attempt=attempt):
                slot = self._running(task, attempt)
                self._drop_waiting(lambda run: (run.task, run.attempt) == (task, attempt), "cancelled")
                return [] if slot is None else self._end(slot, "cancelled", now)
            case ToTask(task=task, attempt=attempt, message=TaskEnded()):
                slot = self._running(task, attempt)
                if slot is None:
                    return []
                slot.children_open = max(0, slot.children_open - 1)
                return [SendToSlot(slot.number, message)]
            case ToTask(task=task, attempt=attempt) | TakeMessages(task=task, attempt=attempt):
                slot = self._running(task, attempt)
                return [] if slot is None else [SendToSlot(slot.number, message)]
            case DropClient(client=client):
                effects: list[SlotEffect] = []
                self._drop_waiting(lambda run: run.client == client, "cancelled")
                for slot in self.slots.values():
                    if slot.client == client:
                        effects += self._end(slot, "cancelled" if slot.task else "idle", now)
                return effects
        return []

    @property
    def _is_full(self) -> bool:
        return sum(slot.holds_slot for slot in self.slots.values()) >= self._slots

    def _start_waiting(self, now: float) -> list[SlotEffect]:
        """Start what has waited for a slot."""
        effects: list[SlotEffect] = []
        while self._waiting and not self._is_full:
            effects += self._run(self._waiting.popleft()[1], now)
        return effects

    def _drop_waiting(self, concerns: Callable[[RunTask], bool], outcome: str) -> None:
        """Give back what has not begun."""
        dropped = [run for _, run in self._waiting if concerns(run)]
        self._waiting = deque(entry for entry in self._waiting if entry[1] not in dropped)
        for run in dropped:
            self._session.put(AttemptOutcome(run.task, run.attempt, outcome, 0.0))

    def _run(self, message: RunTask, now: float) -> list[SlotEffect]:
        effects: list[SlotEffect] = []
        slot = None if message.fresh else self._idle_slot(message.client)
        if slot is None:
            self._last += 1
            slot = self.slots[self._last] = SlotRecord(self._last, message.client, message.fresh)
            effects.append(ForkSlot(slot.number))
        if message.code and message.code not in slot.codes:
            slot.codes.add(message.code)
            effects.append(SendToSlot(slot.number, ShipCode(message.code, self._codes.get(message.code, b""))))
        slot.task, slot.began_at, slot.ends_at, slot.children_open = message, None, now + STARTS_WITHIN, 0
        slot.ran += 1
        return [*effects, SendToSlot(slot.number, message)]

    def _idle_slot(self, client: str) -> SlotRecord | None:
        idle = (slot for slot in self.slots.values() if slot.task is None and slot.client == client and not slot.ending)
        return max(idle, key=lambda slot: slot.idle_since, default=None)

    def _running(self, task: int, attempt: int) -> SlotRecord | None:
        for slot in self.slots.values():
            if slot.task is not None and (slot.task.task, slot.task.attempt) == (task, attempt):
                return slot
        return None

    # --- from the slots -------------------------------------------------------------------------------------------------

    def slot_said(self, number: int, message: AnyJobMessage, now: float) -> list[SlotEffect]:
        """A process says this of its task; of another one it can't speak."""
        slot = self.slots.get(number)
        if slot is None or slot.task is None:
            return []
        ours = (slot.task.task, slot.task.attempt)
        match message:
            case AttemptBegan(task=task, attempt=attempt) if (task, attempt) == ours:
                slot.began_at = now
                if not slot.ending:
                    slot.ends_at = now + slot.task.timeout if slot.task.timeout is not None else inf
            case AttemptOutcome(task=task, attempt=attempt) if (task, attempt) == ours:
                if not slot.ending:
                    return self._ended(slot, message, now)
            case FromTask(task=task, attempt=attempt, message=said) if (task, attempt) == ours:
                slot.children_open += isinstance(said, SubmitTask)
                self._session.put(message)
                return self._start_waiting(now) + self._packets(now)
            case TaskEmitted(task=task, attempt=attempt) if (task, attempt) == ours:
                self._session.put(message)
            case TaskProgress(task=task, attempt=attempt) if (task, attempt) == ours:
                self._session.put(message)
        return self._packets(now)

    def _ended(self, slot: SlotRecord, outcome: AttemptOutcome, now: float) -> list[SlotEffect]:
        slot.task, slot.ends_at, slot.idle_since = None, inf, now
        self._session.put(outcome)
        effects: list[SlotEffect] = []
        if slot.fresh or slot.ran >= MOST_TASKS:
            effects = self._end(slot, "idle", now)
        return effects + self._start_waiting(now) + self._packets(now)

    def exited(self, number: int, status: int, log: str, now: float) -> list[SlotEffect]:
        """A process has ended; `status` is negative for a signal. `log`: the last of what it printed."""
        slot = self.slots.pop(number, None)
        if slot is None:
            return []
        if slot.task is not None:
            run = slot.task
            outcome, text = self._why(slot, status)
            failure = TaskFailure(outcome, text, worker=self._worker, attempt=run.attempt)
            seconds = now - slot.began_at if slot.began_at is not None else 0.0
            self._session.put(AttemptOutcome(run.task, run.attempt, outcome, seconds, failure=failure, log=log))
        return self._start_waiting(now) + self._packets(now)

    def _why(self, slot: SlotRecord, status: int) -> tuple[str, str]:
        run = slot.task
        assert run is not None
        where = f"attempt {run.attempt} of task {run.name!r} on worker {self._worker!r}"
        if slot.ending == "timeout" and slot.began_at is None:
            return "died", f"{where} did not start within {STARTS_WITHIN:g} s"
        if slot.ending == "timeout":
            return "timeout", f"{where} took longer than {run.timeout:g} s"
        if slot.ending:
            return "cancelled", f"{where} was ended"
        return "died", f"the process of {where} {_how(status)}"

    # --- ends -----------------------------------------------------------------------------------------------------------

    def _end(self, slot: SlotRecord, why: str, now: float) -> list[SlotEffect]:
        if slot.ending:
            return []
        slot.ending, slot.kill_at, slot.ends_at = why, now + GRACE, inf
        return [SignalSlot(slot.number)]

    def end_all(self, now: float, *, at_once: bool = False) -> list[SlotEffect]:
        """End all processes; the worker leaves, or begins anew."""
        effects: list[SlotEffect] = []
        self._drop_waiting(lambda run: True, "unstarted")
        for slot in self.slots.values():
            if not at_once:
                effects += self._end(slot, "cancelled" if slot.task else "idle", now)
            elif not slot.killed:
                slot.ending, slot.killed, slot.kill_at = slot.ending or "cancelled", True, inf
                effects.append(SignalSlot(slot.number, kill=True))
        return effects

    def disowned(self, now: float) -> list[SlotEffect]:
        """The Manager counts all that runs here as lost: kill it, and say nothing of it any more."""
        effects = self.end_all(now, at_once=True)
        for slot in self.slots.values():
            slot.task = None
        self._least_epoch = self._session.epoch + 1  # what is still under way belongs to the lost ones
        return effects

    @property
    def due(self) -> float:
        """When `tick` has something to do; infinity for never."""
        times = [min(slot.ends_at, slot.kill_at) for slot in self.slots.values()]
        idle = [slot.idle_since + IDLE_FOR for slot in self.slots.values() if slot.task is None and not slot.ending]
        waiting = [at for at, _ in self._waiting]
        return min([self._session.due, *times, *idle, *waiting[:1]])

    def tick(self, now: float) -> list[SlotEffect]:
        """Time has passed."""
        effects: list[SlotEffect] = []
        for slot in self.slots.values():
            if now >= slot.ends_at:
                effects += self._end(slot, "timeout", now)
            elif slot.task is None and not slot.ending and now >= slot.idle_since + IDLE_FOR:
                effects += self._end(slot, "idle", now)
            if now >= slot.kill_at and not slot.killed:
                slot.killed, slot.kill_at = True, inf
                effects.append(SignalSlot(slot.number, kill=True))
        if self._waiting and now >= self._waiting[0][0]:
            self._drop_waiting(lambda run: True, "unstarted")
        return effects + self._packets(now)

    def _packets(self, now: float) -> list[SlotEffect]:
        return [SendToJobs(packet) for packet in self._session.packets(now)]


def _how(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended by itself with status {status}"
