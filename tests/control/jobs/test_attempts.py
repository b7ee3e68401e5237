"""Retries, fences, waits and budgets."""

from __future__ import annotations

import pytest

from flowmesh.wire.job_messages import (
    AttemptEnded,
    AttemptOutcome,
    CancelTask,
    EndAttempt,
    FromTask,
    RunTask,
    SpentBudget,
    SubmitTask,
    TaskEmitted,
    TaskEnded,
    TaskOptions,
)

from .harness import Jobs


@pytest.fixture
def jobs() -> Jobs:
    jobs = Jobs()
    jobs.open()
    return jobs


@pytest.mark.parametrize("outcome", ["raised", "died", "timeout", "rejected"])
def test_whatever_failed_counts_alike(jobs: Jobs, outcome: str) -> None:
    jobs.worker("w")
    jobs.submit(1, retries=1)
    for _ in range(2):
        (run,) = jobs.take(RunTask)
        jobs.finish(run, outcome)
    assert jobs.ends() == {1: outcome}
    assert [ended.record.number for ended in jobs.take(AttemptEnded)] == [1, 2]


def test_without_retries_a_lost_call_is_not_started_again(jobs: Jobs) -> None:
    jobs.worker("w")
    jobs.submit(1)
    jobs.runs()
    jobs.lose("w"), jobs.worker("v")
    assert jobs.ends() == {1: "lost"}
    assert jobs.runs() == []


def test_backoff_doubles(jobs: Jobs) -> None:
    jobs.worker("w")
    jobs.submit(1, retries=3, backoff=1.0)
    for wait in (1.0, 2.0, 4.0):
        (run,) = jobs.take(RunTask)
        jobs.finish(run, "raised")
        jobs.wait(wait - 0.01)
        assert jobs.sent == [] or jobs.take(RunTask) == []
        jobs.wait(0.02)
    assert len(jobs.runs()) == 1


def test_a_retry_waits_ten_seconds_for_another_worker(jobs: Jobs) -> None:
    jobs.worker("a")
    jobs.submit(1, retries=1)
    (run,) = jobs.take(RunTask)
    jobs.worker("b")
    jobs.submit(2)
    assert jobs.runs() == ["t2"]
    jobs.finish(run, "raised")
    assert jobs.runs() == []  # `a` is free, `b` is busy
    jobs.wait(9.9)
    assert jobs.runs() == []
    jobs.wait(0.2)
    assert [run.worker for run in jobs.take(RunTask)] == ["a"]


def test_of_workers_that_all_failed_it_the_one_longest_ago(jobs: Jobs) -> None:
    jobs.worker("a"), jobs.worker("b")
    jobs.submit(1, retries=3)
    order = []
    for _ in range(4):
        (run,) = jobs.take(RunTask)
        order.append(run.worker)
        jobs.now += 1
        jobs.finish(run, "raised")
    assert order in (["a", "b", "a", "b"], ["b", "a", "b", "a"])


def test_other_worker_can_be_switched_off(jobs: Jobs) -> None:
    jobs.worker("a")
    jobs.submit(1, retries=1, other_worker=False)
    (run,) = jobs.take(RunTask)
    jobs.worker("b")
    jobs.finish(run, "raised")
    assert len(jobs.runs()) == 1


def test_an_outcome_counts_only_from_whom_it_was_given_to(jobs: Jobs) -> None:
    jobs.worker("w"), jobs.worker("spoofer")
    jobs.submit(1, worker="w")
    (run,) = jobs.take(RunTask)
    jobs.says("spoofer", AttemptOutcome(run.task, run.attempt, "done", 0.0, b"forged"))
    jobs.says("w", AttemptOutcome(run.task, run.attempt + 1, "done", 0.0, b"forged"))
    jobs.says("w", AttemptOutcome(99, 1, "done", 0.0, b"forged"))
    jobs.says("spoofer", TaskEmitted(run.task, run.attempt, b"forged"))
    jobs.says("spoofer", FromTask(run.task, run.attempt, SubmitTask(1, 1, b"", 0, "x", TaskOptions())))
    assert jobs.ends() == {}
    assert jobs.machine.queue.strays + jobs.machine.strays == 5
    jobs.finish(run)
    assert jobs.ends() == {1: "done"}


def test_another_clients_task_is_out_of_reach(jobs: Jobs) -> None:
    jobs.submit(1)
    jobs.open("other")
    jobs.client("other", CancelTask(1))
    jobs.submit(5, client="other", needs=(1,))
    assert jobs.ends() == {5: "refused"}


def test_an_attempt_that_was_cancelled_is_ended_and_its_outcome_is_not_taken(jobs: Jobs) -> None:
    jobs.worker("w")
    jobs.submit(1), jobs.submit(2)
    (run,) = jobs.take(RunTask)
    jobs.client("c", CancelTask(1))
    assert [(end.task, end.attempt) for end in jobs.take(EndAttempt)] == [(run.task, 1)]
    assert jobs.runs() == []  # the slot is taken until the worker says that it is free
    jobs.finish(run)
    assert jobs.ends() == {1: "cancelled"}
    assert jobs.runs() == ["t2"]


def test_wait_timeout_says_what_is_missing(jobs: Jobs) -> None:
    jobs.worker("w", kind="python")
    jobs.submit(1, kind="gpu", labels=("cuda",), wait_timeout=5.0)
    jobs.wait(5.1)
    (ended,) = jobs.take(TaskEnded)
    assert ended.failure is not None
    assert "of kind 'gpu' with the labels cuda" in ended.failure.text
    assert "none that fits is registered; registered: 'w' (kind 'python', 0 of 1 slots busy)" in ended.failure.text
    jobs.submit(2), jobs.submit(3, wait_timeout=1.0)
    jobs.wait(1.1)
    (ended,) = jobs.take(TaskEnded)
    assert ended.failure is not None
    assert "all that fit are busy" in ended.failure.text


def test_a_budget_is_reserved_and_charged() -> None:
    jobs = Jobs()
    jobs.open(budget=10.0)
    jobs.worker("w", slots=3, price=1.0)
    jobs.submit(1, timeout=6.0), jobs.submit(2, timeout=6.0)
    (run,) = jobs.take(RunTask)  # the second does not fit beside it
    jobs.now += 2.0
    jobs.finish(run, seconds=2.0)
    assert [spent.spent for spent in jobs.take(SpentBudget)] == [2.0]
    (run,) = jobs.take(RunTask)
    jobs.now += 60.0
    jobs.finish(run, seconds=60.0)  # it is charged no more than was reserved
    assert [spent.spent for spent in jobs.take(SpentBudget)] == [8.0]
    jobs.submit(3, timeout=6.0)
    jobs.submit(4)
    assert jobs.ends() == {1: "done", 2: "done", 3: "budget", 4: "refused"}


def test_seconds_that_a_worker_claims_are_not_believed_beyond_the_clock() -> None:
    jobs = Jobs()
    jobs.open(budget=100.0)
    jobs.worker("w", price=1.0)
    jobs.lasts = 0.0
    for number, claim in enumerate((1e9, -5.0, float("nan")), 1):
        jobs.submit(number, timeout=10.0)
        (run,) = jobs.take(RunTask)
        jobs.now += 1.0
        jobs.finish(run, seconds=claim)
    assert [spent.spent for spent in jobs.take(SpentBudget)] == [1.0, 2.0, 3.0]
