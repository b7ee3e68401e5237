"""Dependencies, children, joins and ends in the Manager's queue."""

from __future__ import annotations

import pytest

from flowmesh.control.jobs.queue import CROWDED_FOR, MOST_WAITING
from flowmesh.wire.job_messages import (
    AttemptOutcome,
    CancelTask,
    CloseExecutor,
    DropClient,
    EndAttempt,
    ForgetTasks,
    FromTask,
    OpenExecutor,
    PutValue,
    RunTask,
    ShipCode,
    SubmitTask,
    TakeMessages,
    TakeOutcome,
    TaskEmitted,
    TaskEnded,
    TaskOptions,
    TaskProgress,
    ToTask,
)

from .harness import Jobs


@pytest.fixture
def jobs() -> Jobs:
    jobs = Jobs()
    jobs.open()
    jobs.worker("w")
    return jobs


def child(number: int, **options: object) -> SubmitTask:
    return SubmitTask(1, number, b"", 0, f"child{number}", TaskOptions(**options))  # type: ignore[arg-type]


def test_a_dependent_starts_with_the_values(jobs: Jobs) -> None:
    jobs.submit(1), jobs.submit(2, needs=(1,))
    (run,) = jobs.take(RunTask)
    jobs.finish(run)
    (run,) = jobs.take(RunTask)
    assert run.name == "t2"
    assert run.values[1].data == b"value"


def test_a_chain_of_failures_is_no_recursion(jobs: Jobs) -> None:
    jobs.submit(1)
    for number in range(2, 5000):
        jobs.submit(number, needs=(number - 1,))
    jobs.submit(5000)
    (run,) = jobs.take(RunTask)
    jobs.finish(run, "raised")
    ends = jobs.ends()
    assert ends[1] == "raised"
    assert set(ends.values()) == {"raised", "dependency"}
    assert 5000 not in ends
    jobs.submit(5001, needs=(17,))  # of one that has failed before
    assert jobs.ends() == {5001: "dependency"}


def test_a_value_that_was_put_is_an_argument(jobs: Jobs) -> None:
    jobs.client("c", PutValue(1, 1, b"given"))
    jobs.submit(2, needs=(1,))
    (run,) = jobs.take(RunTask)
    assert run.values[1].data == b"given"


def test_what_was_forgotten_is_no_argument(jobs: Jobs) -> None:
    jobs.submit(1), jobs.submit(2)
    (run,) = jobs.take(RunTask)
    jobs.client("c", ForgetTasks((1, 2, 77)))
    jobs.finish(run)
    jobs.finish(jobs.take(RunTask)[0])
    assert jobs.machine.queue.tasks == {}
    jobs.submit(3, needs=(1,))
    assert jobs.ends()[3] == "refused"


def test_a_parent_joins_its_children(jobs: Jobs) -> None:
    jobs.submit(1)
    (parent,) = jobs.take(RunTask)
    jobs.says("w", FromTask(parent.task, 1, child(1)))
    (run,) = jobs.take(RunTask)  # the parent has given its slot away
    jobs.says("w", AttemptOutcome(parent.task, 1, "done", 0.0, b"list of", refers=(1,)))
    assert jobs.ends() == {}
    jobs.finish(run)
    (ended,) = jobs.take(TaskEnded)
    assert ended.value is not None
    assert ended.value.parts[1].data == b"value"


def test_a_waiting_parent_hears_of_its_children_and_has_its_slot_again(jobs: Jobs) -> None:
    jobs.submit(1), jobs.submit(2)
    (parent,) = jobs.take(RunTask)
    jobs.says("w", FromTask(parent.task, 1, child(1)))
    (run,) = jobs.take(RunTask)
    jobs.finish(run)
    assert jobs.runs() == []
    news = [message.message for message in jobs.take(ToTask)]
    assert [type(each).__name__ for each in news] == ["TaskStarted", "AttemptEnded", "TaskEnded"]
    jobs.finish(parent)
    assert jobs.runs() == ["t2"]


def test_a_failed_child_fails_its_parent_unless_it_was_looked_at(jobs: Jobs) -> None:
    for number, looks in ((1, False), (2, True)):
        jobs.submit(number)
        (parent,) = jobs.take(RunTask)
        jobs.says("w", FromTask(parent.task, 1, child(1)))
        (run,) = jobs.take(RunTask)
        jobs.finish(run, "raised")
        if looks:
            jobs.says("w", FromTask(parent.task, 1, TakeOutcome(1)))
        jobs.finish(parent)
    assert jobs.ends() == {1: "raised", 2: "done"}


def test_a_parent_that_returned_fails_with_its_child(jobs: Jobs) -> None:
    jobs.submit(1)
    (parent,) = jobs.take(RunTask)
    jobs.says("w", FromTask(parent.task, 1, child(1)))
    jobs.says("w", FromTask(parent.task, 1, child(2)))
    jobs.finish(parent)
    jobs.finish(jobs.take(RunTask)[0], "raised")
    assert jobs.ends() == {1: "raised"}
    assert jobs.runs() == []  # the other child is not started any more
    assert jobs.machine.summary()["cancelled"] == 1


def test_a_returned_child_that_was_cancelled_fails_the_parent(jobs: Jobs) -> None:
    jobs.submit(1)
    (parent,) = jobs.take(RunTask)
    jobs.says("w", FromTask(parent.task, 1, child(1)))
    jobs.says("w", FromTask(parent.task, 1, CancelTask(1)))
    jobs.says("w", AttemptOutcome(parent.task, 1, "done", 0.0, b"", refers=(1,)))
    assert jobs.ends() == {1: "child"}


def test_a_returned_task_must_be_a_child(jobs: Jobs) -> None:
    jobs.submit(1)
    (parent,) = jobs.take(RunTask)
    jobs.says("w", AttemptOutcome(parent.task, 1, "done", 0.0, b"", refers=(9,)))
    assert jobs.ends() == {1: "refused"}


@pytest.mark.parametrize("how", ["fails", "retries", "cancelled"])
def test_a_parents_end_ends_its_children_unless_detached(jobs: Jobs, how: str) -> None:
    jobs.worker("v", slots=2)
    jobs.submit(1, retries=1 if how == "retries" else 0)
    (parent,) = jobs.take(RunTask)
    jobs.says(parent.worker, FromTask(parent.task, 1, child(1)))
    jobs.says(parent.worker, FromTask(parent.task, 1, child(2, detached=True)))
    runs = {run.name: run for run in jobs.take(RunTask)}
    if how == "cancelled":
        jobs.client("c", CancelTask(1))
    else:
        jobs.finish(parent, "raised")
    ended = {end.task for end in jobs.take(EndAttempt)}
    assert runs["child1"].task in ended
    assert runs["child2"].task not in ended


def test_too_many_waiting_parents_are_advised() -> None:
    jobs = Jobs()
    jobs.open()
    jobs.worker("w")
    jobs.submit(1)
    for _ in range(MOST_WAITING + 2):
        (run,) = jobs.take(RunTask)
        jobs.says("w", FromTask(run.task, 1, child(1)))
    jobs.take(ToTask)
    jobs.wait(CROWDED_FOR + 0.1)
    told = [message.message for message in jobs.take(ToTask) if isinstance(message.message, TaskEnded)]
    assert told
    assert told[0].failure is not None
    assert "return the tasks instead of waiting for them" in told[0].failure.text


def test_what_comes_out_of_a_running_task_is_passed_on(jobs: Jobs) -> None:
    jobs.submit(1)
    (run,) = jobs.take(RunTask)
    jobs.says("w", TaskEmitted(run.task, 1, b"part"))
    jobs.says("w", TaskProgress(run.task, 1, 1.0, 2.0))
    assert jobs.take(TaskEmitted) == [TaskEmitted(1, 1, b"part")]
    assert jobs.take(TaskProgress) == [TaskProgress(1, 1, 1.0, 2.0)]
    jobs.client("c", TakeMessages(1, 1, 1))
    assert jobs.take(TakeMessages) == [TakeMessages(run.task, 1, 1)]


def test_code_goes_to_a_worker_once_and_before_the_call(jobs: Jobs) -> None:
    jobs.client("c", ShipCode(1, b"code"))
    for number in (1, 2):
        jobs.client("c", SubmitTask(1, number, b"", 1, f"t{number}", TaskOptions()))
        jobs.finish(jobs.take(RunTask)[0])
    assert [ship.data for ship in jobs.take(ShipCode)] == [b"code"]
    jobs.client("c", SubmitTask(1, 3, b"", 9, "t3", TaskOptions()))  # code that was never shipped
    assert jobs.machine.strays == 1


def test_a_client_that_leaves_takes_all_with_it(jobs: Jobs) -> None:
    jobs.submit(1), jobs.submit(2), jobs.submit(3, needs=(2,))
    (run,) = jobs.take(RunTask)
    jobs.sent += jobs.machine.client_left("c", jobs.now)
    assert jobs.machine.client_left("c", jobs.now) == []
    assert len(jobs.take(EndAttempt)) == 1
    assert jobs.take(DropClient) == [DropClient("c")]
    jobs.finish(run)
    assert jobs.machine.queue.tasks == {}
    assert not jobs.machine.is_used
    assert (jobs.machine.summary()["cancelled"], jobs.machine.summary()["failed"]) == (2, 1)


def test_a_closed_executor_accepts_nothing(jobs: Jobs) -> None:
    jobs.submit(1)
    jobs.client("c", CloseExecutor(1))
    jobs.client("c", CloseExecutor(7))
    jobs.submit(2)
    assert jobs.ends() == {1: "cancelled", 2: "refused"}


def test_the_deadline_of_an_executor() -> None:
    jobs = Jobs()
    jobs.client("c", OpenExecutor(1, deadline=5.0))
    jobs.submit(1)
    assert jobs.machine.due == jobs.now + 5.0
    jobs.wait(5.0)
    assert jobs.ends() == {1: "deadline"}


def test_what_makes_no_sense_is_counted_and_dropped(jobs: Jobs) -> None:
    jobs.submit(1), jobs.submit(1)
    jobs.submit(2, executor=9)
    (run,) = jobs.take(RunTask)
    jobs.client("c", run)
    jobs.says("nobody", run)
    jobs.says("w", run)
    jobs.client("c", TakeMessages(55, 1, 1))
    jobs.client("c", CancelTask(55)), jobs.client("c", TakeOutcome(55))
    jobs.says("w", FromTask(run.task, 1, child(1)))
    jobs.says("w", FromTask(run.task, 1, child(1)))
    jobs.says("w", FromTask(run.task, 1, PutValue(1, 2, b"x")))
    jobs.says("w", FromTask(run.task, 1, PutValue(1, 2, b"y")))
    assert jobs.machine.strays == 6
