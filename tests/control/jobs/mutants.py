"""Mistakes put into the Machines, one at a time; the schedules must find each."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest

from flowmesh.control.jobs import attempts, dispatch, hub, queue, session, slots, tasks

Patch = Callable[[pytest.MonkeyPatch], None]


def _resends_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "RESEND_AFTER", inf)


def _takes_packets_twice(patch: pytest.MonkeyPatch) -> None:
    def received(self: session.Session, packet: session.TaskPacket, now: float) -> list[object]:
        self._acknowledge(packet.acknowledged, now)
        self._acknowledge_at = now
        self._last_received = max(self._last_received, packet.number)
        return list(session.decode_batch(packet.body)) if packet.number else []

    patch.setattr(session.Session, "received", received)


def _forgets_epochs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hub, "Session", lambda epoch=1: session.Session(1))


def _retries_once_more(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "may_retry", lambda task: task.attempts <= task.options.retries + 1)


def _lends_no_slot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tasks.AttemptState, "holds_slot", property(lambda self: not self.released))


def _spends_more(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatch, "covers", lambda executor, amount: True)


def _keeps_reservations(patch: pytest.MonkeyPatch) -> None:
    def charge(executor: tasks.ExecutorRecord, reserved: float, cost: float) -> None:
        executor.spent += cost

    patch.setattr(queue.budget, "charge", charge)


def _charges_without_end(patch: pytest.MonkeyPatch) -> None:
    original = tasks.record_of

    def record_of(attempt: tasks.AttemptState, outcome: str, seconds: float, text: str, now: float) -> object:
        attempt.price *= 10
        attempt.reserved, kept = 0.0, attempt.reserved
        record = original(attempt, outcome, now - attempt.started_at, text, now)
        attempt.reserved = kept
        return record

    patch.setattr(queue, "record_of", record_of)


def _does_not_fence(patch: pytest.MonkeyPatch) -> None:
    original = queue.TaskQueue._attempt_ended

    def ended(self: queue.TaskQueue, attempt: tasks.AttemptState, message: object, now: float) -> None:
        attempt.task.attempt = attempt
        original(self, attempt, message, now)  # type: ignore[arg-type]

    patch.setattr(queue.TaskQueue, "_attempt_ended", ended)


def _forgets_dependents(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(queue.TaskQueue, "_release_dependents", lambda self, task, now: [])


def _leaves_attempts_running(patch: pytest.MonkeyPatch) -> None:
    def give_up(self: queue.TaskQueue, task: tasks.TaskRecord) -> None:
        task.attempt = None

    patch.setattr(queue.TaskQueue, "_give_up_attempt", give_up)


def _forgets_the_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(queue.TaskQueue, "worker_lost", lambda self, worker, now: None)


def _joins_too_early(patch: pytest.MonkeyPatch) -> None:
    original = queue.TaskQueue._returned

    def returned(self: queue.TaskQueue, task: tasks.TaskRecord, message: object, now: float) -> None:
        original(self, task, message, now)  # type: ignore[arg-type]
        if not task.has_ended:
            self._end_all([self._joined(task)], now)

    patch.setattr(queue.TaskQueue, "_returned", returned)


def _never_kills(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(slots, "GRACE", inf)


def _has_no_timeouts(patch: pytest.MonkeyPatch) -> None:
    original = slots.SlotsMachine._end

    def end(self: slots.SlotsMachine, slot: slots.SlotRecord, why: str, now: float) -> list[slots.SlotEffect]:
        if why == "timeout":
            slot.ends_at = inf
            return []
        return original(self, slot, why, now)

    patch.setattr(slots.SlotsMachine, "_end", end)


def _reuses_what_was_signalled(patch: pytest.MonkeyPatch) -> None:
    def idle(self: slots.SlotsMachine, client: str) -> slots.SlotRecord | None:
        return next((slot for slot in self.slots.values() if slot.client == client), None)

    patch.setattr(slots.SlotsMachine, "_idle_slot", idle)


MUTANTS: dict[str, Patch] = {
    each.__name__.strip("_").replace("_", " "): each
    for each in (
        _resends_nothing, _takes_packets_twice, _forgets_epochs, _retries_once_more, _lends_no_slot,
        _spends_more, _keeps_reservations, _charges_without_end, _does_not_fence, _forgets_dependents,
        _leaves_attempts_running, _forgets_the_lost, _joins_too_early, _never_kills, _has_no_timeouts,
        _reuses_what_was_signalled,
    )
}  # fmt: skip
