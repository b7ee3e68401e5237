"""Tasks on a real Manager and a real worker: values, dependencies, children, ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from functools import partial
from pathlib import Path

import pytest

import flowmesh as fm
from flowmesh.jobs.executor import TaskEvent

from .. import example_calls as calls
from ..waiting import SOON


def test_a_task_is_a_dependency(executor: fm.Executor) -> None:
    assert executor.submit(sum, executor.submit(calls.gen)).result(SOON) == 3


def test_a_chain_passes_a_tuple_as_arguments(executor: fm.Executor) -> None:
    assert (executor >> calls.gen >> calls.total).result(SOON) == 3


def test_tasks_in_a_result_are_joined(executor: fm.Executor) -> None:
    assert (executor >> partial(calls.grow, 5) >> calls.reduce).result(SOON) == 15


def test_map_keeps_the_order(executor: fm.Executor) -> None:
    assert list(executor.map(calls.total, range(200), range(200))) == [2 * number for number in range(200)]
    assert list(executor.map(calls.total, range(7), chunksize=3)) == list(range(7))


def test_map_is_lazy(executor: fm.Executor) -> None:
    taken = []

    def endless() -> object:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    results = executor.map(calls.total, endless(), buffersize=4)  # type: ignore[call-overload]
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) <= 4 + 3
    results.close()


def test_repeat_ends_its_calls(executor: fm.Executor) -> None:
    for seen, pair in enumerate(executor.repeat(calls.gen, at_once=2)):
        assert pair == (1, 2)
        if seen == 5:
            break
    executor.submit(calls.gen).result(SOON)


@pytest.mark.parametrize("function", [calls.deep_return, calls.deep_wait, calls.deep_standard_wait])
def test_recursion_deeper_than_the_slots(executor: fm.Executor, function: object) -> None:
    assert executor.submit(function, 12).result(2 * SOON) == 0


def test_put_is_done_at_once(executor: fm.Executor) -> None:
    value = executor.put([1, 2, 3])
    assert value.done()
    assert executor.submit(sum, value).result(SOON) == 6


def test_a_task_puts_a_value_for_its_own_tasks(executor: fm.Executor) -> None:
    assert executor.submit(calls.put_and_sum, 3).result(SOON) == [6, 6, 6]


def test_asyncio_and_concurrent_futures_work_on_tasks(executor: fm.Executor) -> None:
    async def program() -> list[object]:
        executor.submit(calls.gen)
        return [await executor.submit(calls.total, 1, 2), *[task.result() async for task in executor.as_completed()]]

    results = asyncio.run(program())
    assert results[0] == 3
    assert sorted(map(str, results[1:])) == ["(1, 2)", "3"]
    tasks = [executor.submit(calls.total, number) for number in range(4)]
    assert {task.result() for task in concurrent.futures.as_completed(tasks, SOON)} == {0, 1, 2, 3}


def test_partial_results_and_progress(executor: fm.Executor) -> None:
    task = executor.submit(calls.talk, 1500)  # more than may be unread
    assert list(task.messages()) == list(range(1500))
    assert task.result(SOON) == "said"
    assert task.progress == (1500, 1500)


def test_what_is_printed_is_the_log(executor: fm.Executor) -> None:
    task = executor.submit(calls.shout, "hey")
    task.result(SOON)
    assert task.log().split() == ["hey", "heyhey"]


def test_files_go_and_come(executor: fm.Executor, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("scene")
    assert executor.submit(calls.read_file, fm.File(tmp_path / "in.txt")).result(SOON) == ("scene", False)
    made = executor.submit(calls.write_file, "picture").result(SOON)
    assert made.save(tmp_path / "saved.txt").read_text() == "picture"
    assert made.size == 7


def test_a_process_is_reused_unless_fresh(executor: fm.Executor) -> None:
    executor.submit(calls.where).result(SOON)
    pids = {executor.submit(calls.where).result(SOON)[2] for _ in range(4)}
    assert len(pids) <= 2
    fresh = executor.options(fresh=True)
    others = {fresh.submit(calls.where).result(SOON)[2] for _ in range(2)}
    assert len(others) == 2
    assert not others & pids


def test_graphs_come_first(executor: fm.Executor) -> None:
    assert executor.submit(calls.niceness).result(SOON) >= 10


def test_events_and_summary(manager: fm.Manager) -> None:
    events: list[TaskEvent] = []
    with fm.Executor(manager, on_event=events.append) as executor:
        executor.submit(calls.total, 1).result(SOON)
    assert [event.kind for event in events] == ["started", "attempt", "done"]
    assert events[1].attempt is not None
    assert events[1].attempt.outcome == "done"
    assert "1 done" in executor.summary()


def test_submit_waits_at_max_pending(manager: fm.Manager) -> None:
    with fm.Executor(manager, max_pending=2) as executor:
        first, second = executor.submit(calls.sleep, 100), executor.submit(calls.sleep, 100)
        submitted = threading.Event()

        def submit() -> None:
            executor.submit(calls.gen)
            submitted.set()

        thread = threading.Thread(target=submit)
        thread.start()
        assert not submitted.wait(0.3)
        first.cancel()
        assert submitted.wait(SOON)
        thread.join()
        second.cancel()


def test_max_workers_limits_what_runs(manager: fm.Manager) -> None:
    with fm.Executor(manager, max_workers=1) as executor:
        tasks = [executor.submit(calls.where) for _ in range(6)]
        assert {task.result(SOON)[2] for task in tasks} == {tasks[0].result()[2]}


def test_a_deadline_ends_the_executor(manager: fm.Manager) -> None:
    with fm.Executor(manager, deadline=0.5) as executor:
        task = executor.submit(calls.sleep, 100)
        assert isinstance(task.exception(SOON), fm.DeadlineError)


def test_leaving_by_an_exception_drops_what_is_queued(manager: fm.Manager) -> None:
    started = threading.Event()

    def note(event: TaskEvent) -> None:
        if event.kind == "started":
            started.set()

    executor = fm.Executor(manager, max_workers=1, on_event=note)
    running, queued = executor.submit(calls.sleep, 0.3), executor.submit(calls.sleep, 100)
    assert started.wait(SOON)
    with pytest.raises(KeyboardInterrupt), executor:
        raise KeyboardInterrupt
    assert running.result(0) == "slept"
    assert queued.cancelled()


def test_a_manager_that_ends_fails_its_tasks() -> None:
    with fm.Worker(name="short", slots=1) as worker, fm.Manager() as manager:
        worker.connect(host=manager.host, port=manager.port)
        executor = fm.Executor(manager)
        task = executor.submit(calls.sleep, 100)
        begun = time.monotonic()
        manager.shutdown()
        assert isinstance(task.exception(SOON), fm.LinkError)
        assert time.monotonic() - begun < SOON
        executor.shutdown()
