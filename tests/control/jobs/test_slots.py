"""The Machine of a worker's slots."""

from __future__ import annotations

import pytest

from flowmesh.control.jobs import slots
from flowmesh.control.jobs.session import Session
from flowmesh.control.jobs.slots import ForkSlot, SendToJobs, SendToSlot, SignalSlot, SlotEffect, SlotsMachine
from flowmesh.wire.job_messages import (
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
    TaskOptions,
    TaskProgress,
    ToTask,
)


class Worker:
    """The Machine, and the Manager's end of its session."""

    def __init__(self) -> None:
        self.machine = SlotsMachine("w", 2)
        self.session = Session(1)
        self.now = 0.0

    def hears(self, *messages: JobMessage) -> list[SlotEffect]:
        for message in messages:
            self.session.put(message)
        effects: list[SlotEffect] = []
        for packet in self.session.packets(self.now):
            effects += self.machine.received(packet, self.now)
        self.told(effects)
        return [effect for effect in effects if not isinstance(effect, SendToJobs)]

    def told(self, effects: list[SlotEffect]) -> list[AnyJobMessage]:
        """What the Manager gets to hear."""
        packets = [effect.packet for effect in effects if isinstance(effect, SendToJobs)]
        return [message for packet in packets for message in self.session.received(packet, self.now)]


def run(task: int, client: str = "c", **options: object) -> RunTask:
    return RunTask(task, 1, client, 1, b"", 0, f"t{task}", "w", **options)  # type: ignore[arg-type]


def done(task: int) -> AttemptOutcome:
    return AttemptOutcome(task, 1, "done", 0.1)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_process_is_forked_and_reused_by_the_same_client(worker: Worker) -> None:
    assert worker.hears(run(1)) == [ForkSlot(1), SendToSlot(1, run(1))]
    assert worker.told(worker.machine.slot_said(1, done(1), 0.0)) == [done(1)]
    assert worker.hears(run(2)) == [SendToSlot(1, run(2))]
    assert worker.hears(run(3)) == [ForkSlot(2), SendToSlot(2, run(3))]
    worker.machine.slot_said(1, done(2), 0.0)
    assert worker.hears(run(4, client="other")) == [ForkSlot(3), SendToSlot(3, run(4, client="other"))]


def test_a_fresh_process_ends_with_its_task(worker: Worker) -> None:
    worker.hears(run(1, fresh=True))
    assert SignalSlot(1) in worker.machine.slot_said(1, done(1), 0.0)
    assert worker.hears(run(2)) == [ForkSlot(2), SendToSlot(2, run(2))]


def test_code_goes_to_a_process_once(worker: Worker) -> None:
    first = RunTask(1, 1, "c", 1, b"", 7, "t1", "w")
    effects = worker.hears(ShipCode(7, b"code"), first)
    assert effects == [ForkSlot(1), SendToSlot(1, ShipCode(7, b"code")), SendToSlot(1, first)]
    worker.machine.slot_said(1, done(1), 0.0)
    again = RunTask(2, 1, "c", 1, b"", 7, "t2", "w")
    assert worker.hears(again) == [SendToSlot(1, again)]


def test_a_timeout_runs_from_the_begin(worker: Worker) -> None:
    worker.hears(run(1, timeout=2.0))
    worker.machine.tick(worker.machine.due)  # the acknowledgement
    assert worker.machine.due == slots.STARTS_WITHIN
    worker.machine.slot_said(1, AttemptBegan(1, 1), 1.0)
    assert worker.machine.due == 3.0
    assert [e for e in worker.machine.tick(2.9) if isinstance(e, SignalSlot)] == []
    assert [e for e in worker.machine.tick(3.0) if isinstance(e, SignalSlot)] == [SignalSlot(1)]
    assert [e for e in worker.machine.tick(5.0) if isinstance(e, SignalSlot)] == [SignalSlot(1, kill=True)]
    worker.machine.slot_said(1, done(1), 5.0)  # too late
    (outcome,) = worker.told(worker.machine.exited(1, -9, "log", 5.0))
    assert isinstance(outcome, AttemptOutcome)
    assert (outcome.outcome, outcome.seconds, outcome.log) == ("timeout", 4.0, "log")


def test_a_process_that_never_begins_is_given_up(worker: Worker) -> None:
    worker.hears(run(1))
    worker.machine.tick(slots.STARTS_WITHIN)
    (outcome,) = worker.told(worker.machine.exited(1, -15, "", slots.STARTS_WITHIN + 0.1))
    assert isinstance(outcome, AttemptOutcome)
    assert outcome.failure is not None
    assert "did not start within" in outcome.failure.text


@pytest.mark.parametrize(("status", "how"), [(-11, "killed by signal 11"), (3, "status 3")])
def test_a_death_is_told(worker: Worker, status: int, how: str) -> None:
    worker.hears(run(1))
    (outcome,) = worker.told(worker.machine.exited(1, status, "", 1.0))
    assert isinstance(outcome, AttemptOutcome)
    assert outcome.outcome == "died"
    assert outcome.failure is not None
    assert how in outcome.failure.text
    assert worker.machine.exited(1, status, "", 1.0) == []


def test_an_attempt_is_ended_once(worker: Worker) -> None:
    worker.hears(run(1))
    assert worker.hears(EndAttempt(1, 1)) == [SignalSlot(1)]
    assert worker.hears(EndAttempt(1, 1)) == []
    assert worker.hears(EndAttempt(9, 1)) == []
    (outcome,) = worker.told(worker.machine.exited(1, -15, "", 1.0))
    assert isinstance(outcome, AttemptOutcome)
    assert outcome.outcome == "cancelled"


def test_idle_processes_end(worker: Worker) -> None:
    worker.hears(run(1))
    worker.machine.slot_said(1, done(1), 0.0)
    assert SignalSlot(1) in worker.machine.tick(slots.IDLE_FOR)
    worker.machine.exited(1, -15, "", slots.IDLE_FOR)
    assert worker.machine.slots == {}


def test_a_client_that_has_gone_takes_its_processes(worker: Worker) -> None:
    worker.hears(run(1), run(2, client="other"))
    assert worker.hears(DropClient("c")) == [SignalSlot(1)]


def test_a_process_speaks_only_of_its_own_task(worker: Worker) -> None:
    worker.hears(run(1))
    for message in (done(2), AttemptBegan(2, 1), TaskEmitted(2, 1, b""), TaskProgress(1, 2, 1.0, None)):
        assert worker.told(worker.machine.slot_said(1, message, 0.0)) == []
    assert worker.machine.slot_said(7, done(1), 0.0) == []
    assert worker.told(worker.machine.slot_said(1, TaskEmitted(1, 1, b"x"), 0.0)) == [TaskEmitted(1, 1, b"x")]
    assert worker.hears(TakeMessages(1, 1, 5)) == [SendToSlot(1, TakeMessages(1, 1, 5))]
    assert worker.hears(TakeMessages(4, 1, 5)) == []


def test_a_later_epoch_kills_what_runs_and_says_nothing_of_it(worker: Worker) -> None:
    worker.hears(run(1))
    worker.session = Session(2)
    assert worker.hears(run(2)) == [SignalSlot(1, kill=True), ForkSlot(2), SendToSlot(2, run(2))]
    assert worker.told(worker.machine.exited(1, -9, "", 1.0)) == []


def test_packets_of_an_epoch_that_was_given_up_are_late(worker: Worker) -> None:
    worker.hears(run(1))
    assert worker.machine.disowned(0.0) == [SignalSlot(1, kill=True)]
    assert worker.hears(run(2)) == []


def test_leaving_ends_all(worker: Worker) -> None:
    worker.hears(run(1), run(2))
    assert worker.machine.end_all(0.0) == [SignalSlot(1), SignalSlot(2)]
    assert worker.machine.end_all(0.0, at_once=True) == [SignalSlot(1, kill=True), SignalSlot(2, kill=True)]


def test_what_is_sent_ahead_waits_its_turn_and_goes_back_after_a_moment(worker: Worker) -> None:
    worker.hears(run(1), run(2))
    assert worker.hears(run(3), run(4)) == []
    effects = worker.machine.slot_said(1, done(1), 0.0)
    assert SendToSlot(1, run(3)) in effects
    assert worker.told(effects) == [done(1)]
    (outcome,) = worker.told(worker.machine.tick(slots.WAITS_FOR))
    assert outcome == AttemptOutcome(4, 1, "unstarted", 0.0)


def test_what_waits_can_be_ended_or_go_with_its_client(worker: Worker) -> None:
    worker.hears(run(1), run(2), run(3), run(4))
    packets = [effect for message in (EndAttempt(3, 1), DropClient("c")) for effect in _heard(worker, message)]
    assert worker.told(packets) == [AttemptOutcome(3, 1, "cancelled", 0.0), AttemptOutcome(4, 1, "cancelled", 0.0)]


def _heard(worker: Worker, message: JobMessage) -> list[SlotEffect]:
    worker.session.put(message)
    (packet,) = worker.session.packets(0.0)
    return worker.machine.received(packet, 0.0)


def test_a_task_that_waits_for_its_own_lets_the_next_begin(worker: Worker) -> None:
    worker.hears(run(1), run(2), run(3))
    child = FromTask(1, 1, SubmitTask(1, 1, b"", 0, "child", TaskOptions()))
    assert ForkSlot(3) in worker.machine.slot_said(1, child, 0.0)
    assert worker.hears(run(4)) == []
    assert worker.hears(ToTask(1, 1, TaskEnded(1))) == [SendToSlot(1, ToTask(1, 1, TaskEnded(1)))]
    assert worker.hears(ToTask(9, 1, TaskEnded(1))) == []
