"""Whose turn it is, and where."""

from __future__ import annotations

from flowmesh.wire.job_messages import AttemptEnded, FromTask, RunTask, SubmitTask, TaskOptions

from .harness import Jobs


def test_submission_order_and_a_point_of_priority_is_a_minute_of_age() -> None:
    jobs = Jobs()
    jobs.open()
    jobs.submit(1)
    jobs.now += 59
    jobs.submit(2, priority=1)
    jobs.submit(3)
    jobs.submit(4, priority=-1)
    jobs.worker("w", slots=4)
    assert jobs.runs() == ["t2", "t1", "t3", "t4"]


def test_executors_take_turns_whatever_their_backlogs() -> None:
    jobs = Jobs()
    jobs.open("big"), jobs.open("small")
    for number in range(1, 101):
        jobs.submit(number, client="big")
    jobs.worker("w")
    (run,) = jobs.take(RunTask)
    jobs.submit(1, client="small")
    jobs.now += 1
    jobs.finish(run)
    (second,) = jobs.take(RunTask)
    assert second.client == "small"


def test_a_stream_of_high_priority_starves_nobody() -> None:
    jobs = Jobs()
    jobs.open("high"), jobs.open("low")
    jobs.worker("w")
    jobs.submit(1, client="high", priority=5)
    (run,) = jobs.take(RunTask)
    jobs.submit(1, client="low")
    for number in range(2, 30):
        jobs.submit(number, client="high", priority=5)
        jobs.now += 30
        jobs.finish(run)
        (run,) = jobs.take(RunTask)
        if run.client == "low":
            break
    assert run.client == "low"
    assert 10 <= number <= 12  # five points are five minutes: from then on they take turns


def test_a_head_that_fits_nowhere_blocks_only_its_like() -> None:
    jobs = Jobs()
    jobs.open()
    jobs.worker("w", slots=2, labels=("cpu",))
    jobs.submit(1, kind="gpu"), jobs.submit(2, labels=("cuda",)), jobs.submit(3, worker="other"), jobs.submit(4)
    jobs.submit(5, labels=("cpu",))
    assert jobs.runs() == ["t4", "t5"]


def test_the_cheapest_then_the_least_loaded() -> None:
    jobs = Jobs()
    jobs.open()
    jobs.worker("dear", slots=9, price=2.0), jobs.worker("a", slots=2, price=1.0), jobs.worker("b", slots=4, price=1.0)
    for number in range(1, 8):
        jobs.submit(number)
    assert [run.worker for run in jobs.take(RunTask)].count("dear") == 1
    jobs.submit(8)
    assert [run.worker for run in jobs.take(RunTask)] == ["dear"]


def test_children_run_before_the_queue() -> None:
    jobs = Jobs()
    jobs.open()
    jobs.worker("w")
    for number in (1, 2, 3):
        jobs.submit(number)
    (run,) = jobs.take(RunTask)
    child = SubmitTask(1, 1, b"", 0, "child", TaskOptions())
    jobs.says("w", FromTask(run.task, run.attempt, child))
    assert jobs.runs() == ["child"]


def test_only_registered_takes_no_shipped_function() -> None:
    jobs = Jobs()
    jobs.open()
    jobs.worker("w", functions=("echo",), only_registered=True)
    jobs.submit(1)
    jobs.client("c", SubmitTask(1, 2, b"", 0, "t2", TaskOptions(), function="echo"))
    jobs.client("c", SubmitTask(1, 3, b"", 0, "t3", TaskOptions(), function="other"))
    assert jobs.runs() == ["t2"]


def test_short_calls_are_sent_ahead_while_nobody_else_waits() -> None:
    jobs = Jobs()
    jobs.open(), jobs.open("other")
    jobs.worker("w")
    for number in range(1, 31):
        jobs.submit(number)
    (run,) = jobs.take(RunTask)
    jobs.lasts = 0.005
    jobs.finish(run)
    ahead = jobs.take(RunTask)
    assert len(ahead) == 1 + 4  # 20 ms of work beside the one that runs
    jobs.submit(1, client="other")
    for run in ahead:
        jobs.finish(run)
    assert next(run.client for run in jobs.take(RunTask)) == "other"


def test_what_came_back_unstarted_was_no_attempt_and_nothing_is_sent_ahead_any_more() -> None:
    jobs = Jobs()
    jobs.open()
    jobs.worker("w")
    for number in range(1, 4):
        jobs.submit(number)
    jobs.lasts = 0.001
    jobs.finish(jobs.take(RunTask)[0])
    long, waiting = jobs.take(RunTask)
    jobs.finish(waiting, "unstarted", seconds=0.0)
    assert jobs.runs() == []
    jobs.finish(long, seconds=0.0)
    (again,) = jobs.take(RunTask)
    assert (again.task, again.attempt) == (waiting.task, 1)
    assert [ended.record.outcome for ended in jobs.take(AttemptEnded)] == ["done", "done"]
