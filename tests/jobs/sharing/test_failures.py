"""What goes wrong with tasks, and what the program gets to see of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import flowmesh as fm

from .. import example_calls as calls
from ..waiting import SOON, wait_for_end


def test_the_original_exception_with_a_task_error_as_its_cause(executor: fm.Executor) -> None:
    task = executor.submit(calls.complain, "no")
    error = task.exception(SOON)
    assert isinstance(error, ValueError)
    cause = error.__cause__
    assert isinstance(cause, fm.TaskError)
    assert (cause.worker, cause.attempt) == ("one", 1)
    assert "in complain" in str(cause)
    assert "flowmesh/jobs" not in str(cause)
    assert task.log() == "before\n"


def test_an_exception_that_can_not_be_loaded_is_told_as_text(executor: fm.Executor) -> None:
    error = executor.submit(calls.raise_odd).exception(SOON)
    assert type(error) is fm.TaskError
    assert "1 and 2" in str(error)


@pytest.mark.parametrize(
    ("function", "how"),
    [(lambda: os._exit(3), "status 3"), (calls.crash, "signal 11"), (os.abort, "signal 6")],
)
def test_a_dead_process_is_a_dead_task(executor: fm.Executor, function: object, how: str) -> None:
    error = executor.submit(function).exception(SOON)
    assert isinstance(error, fm.TaskDied)
    assert how in str(error)
    assert executor.submit(calls.total, 1).result(SOON) == 1


def test_a_timeout_ends_the_attempt_and_its_finally_runs(executor: fm.Executor, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    error = executor.options(timeout=0.5).submit(calls.clean_up, str(marker)).exception(SOON)
    assert isinstance(error, fm.DeadlineError)
    assert "longer than 0.5 s" in str(error)
    assert marker.read_text() == "cleaned"


def test_who_ignores_sigterm_is_killed(executor: fm.Executor, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    error = executor.options(timeout=1).submit(calls.ignore_terminate, str(marker)).exception(SOON)
    assert isinstance(error, fm.DeadlineError)
    assert not Path("/proc", marker.read_text()).exists()


def test_retries_count_every_start(executor: fm.Executor, tmp_path: Path) -> None:
    retried = executor.options(retries=2, name="r").submit(calls.count_starts, str(tmp_path), 2)
    assert retried.result(SOON) == 3
    assert [attempt.outcome for attempt in retried.attempts] == ["raised", "raised", "done"]
    assert len(list(tmp_path.iterdir())) == 3
    once = executor.options(name="once").submit(calls.count_starts, str(tmp_path), 9)
    assert isinstance(once.exception(SOON), RuntimeError)
    assert len(list(tmp_path.glob("once-*"))) == 1


def test_validate_rejects_on_the_worker(executor: fm.Executor) -> None:
    task = executor.options(retries=1, validate=calls.is_second).submit(calls.first_attempt_is_wrong)
    assert task.result(SOON) == 2
    assert [attempt.outcome for attempt in task.attempts] == ["rejected", "done"]
    error = executor.options(validate=calls.is_second).submit(calls.first_attempt_is_wrong).exception(SOON)
    assert "1 is not 2" in str(error)


def test_reject_makes_a_new_task(executor: fm.Executor) -> None:
    task = executor.options(retries=1).submit(calls.total, 4)
    assert task.result(SOON) == 4
    again = task.reject("looks wrong")
    assert again.result(SOON) == 4
    with pytest.raises(fm.TaskError, match="no retry is left"):
        again.reject("still")


def test_a_failed_dependency_fails_what_needs_it_and_nothing_else(executor: fm.Executor) -> None:
    bad = executor.submit(calls.complain, "no")
    dependent, other = executor.submit(calls.total, bad), executor.submit(calls.total, 2)
    error = dependent.exception(SOON)
    assert isinstance(error, fm.TaskError)
    assert isinstance(error.__cause__, ValueError)
    assert dependent.attempts == []
    assert other.result(SOON) == 2


def test_a_failed_child_fails_its_parent_unless_it_was_looked_at(executor: fm.Executor) -> None:
    assert isinstance(executor.submit(calls.submit_failing).exception(SOON), ValueError)
    assert executor.submit(calls.submit_failing_and_look).result(SOON) == "ValueError"


def test_cancel_ends_what_runs(executor: fm.Executor) -> None:
    task = executor.submit(calls.sleep, 100)
    assert task.cancel()
    with pytest.raises(CancelledError):
        task.result(SOON)
    dependent = executor.submit(calls.total, task)
    assert "was cancelled" in str(dependent.exception(SOON))


def test_a_result_that_can_not_be_pickled(executor: fm.Executor) -> None:
    error = executor.submit(calls.make_generator).exception(SOON)
    assert isinstance(error, TypeError)
    assert "generator" in str(error)


def test_processes_that_a_task_leaves_end_with_its_own(executor: fm.Executor) -> None:
    wait_for_end(executor.options(fresh=True).submit(calls.fork_and_leave).result(SOON))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"retrys": 1}, "unknown option 'retrys': did you mean 'retries'"),
        ({"timeout": -1}, "timeout must be a positive number"),
        ({"retries": True}, "retries must be an integer"),
        ({"labels": "gpu"}, "labels must be a set of texts"),
        ({"memory": "1GiB"}, "unknown option 'memory'"),
        ({"budget": 1.0, "max_workers": 0}, "max_workers must be an integer from 1"),
    ],
)
def test_wrong_options(options: dict[str, object], text: str) -> None:
    with pytest.raises(fm.TaskError, match=text):
        fm.Executor(inline=True, **options)  # type: ignore[arg-type]


def test_wrong_calls(executor: fm.Executor, tmp_path: Path) -> None:
    def generator() -> Iterator[int]:
        yield 1

    with pytest.raises(fm.TaskError, match="must be a plain function"):
        executor.submit(generator)
    with pytest.raises(fm.TaskError, match="needs a function"):
        executor.submit(3)
    with pytest.raises(fm.ShippingError, match=r"argument 1 of total"):
        executor.submit(calls.total, (number for number in range(3)))
    with pytest.raises(fm.TaskError, match="folder"):
        executor.submit(calls.read_file, fm.File(tmp_path))
    with pytest.raises(fm.TaskError, match="another Manager"), fm.Executor(inline=True) as inline:
        executor.submit(calls.total, inline.submit(calls.total, 1))
    with pytest.raises(fm.TaskError, match="at must be"):
        fm.Executor(3)
    with pytest.raises(fm.StateError, match="only inside a task"):
        fm.context()


def test_no_worker_of_that_kind(executor: fm.Executor) -> None:
    error = executor.options(kind="gpu", wait_timeout=0.2).submit(calls.gen).exception(SOON)
    assert isinstance(error, fm.DeadlineError)
    assert "of kind 'gpu'" in str(error)
    assert "'one' (kind 'python'" in str(error)
