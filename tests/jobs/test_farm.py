"""Tasks on several workers: kinds, functions by name, deaths, retries elsewhere, budgets; and the seed programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import flowmesh as fm

from . import example_calls as calls
from .waiting import SCALE, SOON, Events, wait_for_end

ECHO = "def echo(value):\n    return value\n\ndef _hidden():\n    pass\n"

Farm = Callable[..., fm.Worker]


@pytest.fixture
def manager() -> Iterator[fm.Manager]:
    with fm.Manager() as manager:
        yield manager


@pytest.fixture
def farm(manager: fm.Manager) -> Iterator[Farm]:
    """Adds a worker of one slot."""
    with ExitStack() as stack:

        def add(name: str, **options: Any) -> fm.Worker:
            worker = stack.enter_context(fm.Worker(name, **{"slots": 1, **options}))
            worker.connect(host=manager.host, port=manager.port)
            return worker

        yield add


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    path = tmp_path / "echo.py"
    path.write_text(ECHO)
    return path


def test_the_seed_of_primes(manager: fm.Manager, farm: Farm) -> None:
    farm("a"), farm("b")
    with fm.Executor(manager, timeout=60) as executor:
        found: set[int] = set()
        for batch in executor.repeat(calls.primes, at_once=2):
            found.update(batch)
            if len(found) >= 168:
                break
        assert len(found) == 168
        assert "a" in executor.summary()
        assert "b" in executor.summary()


def test_the_seed_of_workflows(manager: fm.Manager, farm: Farm, functions: Path) -> None:
    farm("w"), farm("e", kind="echo_executor", functions=functions, only_registered=True)
    with fm.Executor(manager, priority=200, timeout=100, retries=3, wait_timeout=100) as executor:
        assert executor.submit(sum, executor.submit(calls.gen)).result(SOON) == 3
        chain = executor >> calls.gen >> calls.total >> fm.remote("echo", kind="echo_executor")
        assert chain.result(SOON) == 3
        assert chain.worker == "e"
        assert (executor >> partial(calls.grow, 5) >> calls.reduce).result(SOON) == 15


def test_the_seed_of_frames(manager: fm.Manager, farm: Farm, tmp_path: Path) -> None:
    """One worker hangs, one is killed, one result is rejected on the worker and one by the client."""
    for name in "abc":
        farm(name, price=0.2)
    (tmp_path / "cubes.scene").write_text("scene")
    killed = tmp_path / "killed"
    options = {"max_workers": 3, "budget": 30.0, "deadline": 120 * SCALE, "timeout": 4.0, "retries": 4}
    with fm.Executor(manager, validate=calls.is_filled, **options) as executor:  # type: ignore[arg-type]
        scene = fm.File(tmp_path / "cubes.scene")
        frames = {executor.submit(calls.render, scene, n, "b", "c", str(killed)): n for n in range(0, 60, 10)}
        rejected = False
        for task in executor.as_completed():
            frame = frames[task]
            if frame == 40 and not rejected:
                rejected = True
                frames[task.reject("looks wrong")] = 40
                continue
            task.result().save(tmp_path / f"output_{frame}.png")
        outcomes = {attempt.outcome for task in frames for attempt in task.attempts}
        assert len(list(tmp_path.glob("output_*.png"))) == 6
        assert {"done", "rejected"} <= outcomes
        assert 0 < executor.spent <= 30


def test_a_function_by_name_that_nobody_has(manager: fm.Manager, farm: Farm, functions: Path) -> None:
    farm("e", kind="echo", functions=functions)
    with fm.Executor(manager, kind="echo", wait_timeout=0.3) as executor:
        assert executor.submit(fm.remote("echo"), "hi").result(SOON) == "hi"
        error = executor.submit(fm.remote("_hidden")).exception(SOON)
        assert isinstance(error, fm.DeadlineError)
        assert "with the function '_hidden'" in str(error)


def test_a_retry_goes_to_another_worker(manager: fm.Manager, farm: Farm) -> None:
    farm("a"), farm("b")
    with fm.Executor(manager, retries=1) as executor:
        task = executor.submit(calls.fail_on_first)
        task.result(SOON)
        first, second = task.attempts
        assert (first.outcome, second.outcome) == ("raised", "done")
        assert first.worker != second.worker


def test_labels_and_worker_choose(manager: fm.Manager, farm: Farm) -> None:
    farm("plain"), farm("gpu", labels={"cuda", "big"})
    with fm.Executor(manager) as executor:
        assert executor.options(labels={"cuda"}).submit(calls.where).result(SOON)[0] == "gpu"
        assert executor.options(worker="plain").submit(calls.where).result(SOON)[0] == "plain"


def test_a_killed_worker_loses_what_it_ran_and_a_retry_is_elsewhere(manager: fm.Manager, farm: Farm) -> None:
    doomed = farm("doomed", price=0.0)
    events = Events()
    with fm.Executor(manager, on_event=events) as executor:
        once = executor.submit(calls.sleep, 100)
        again = executor.options(retries=1).submit(calls.where)
        events.wait(once.running)
        farm("other", price=1.0)
        os.kill(doomed.pid, signal.SIGKILL)
        error = once.exception(SOON)
        assert isinstance(error, fm.TaskDied)
        assert "went away" in str(error)
        assert again.result(SOON)[0] == "other"


def test_the_cheapest_worker_first_and_a_budget_is_never_exceeded(manager: fm.Manager, farm: Farm) -> None:
    farm("dear", price=100.0), farm("cheap", price=1.0)
    with fm.Executor(manager, budget=5.0, timeout=1.0) as executor:
        assert executor.submit(calls.where).result(SOON)[0] == "cheap"
        assert executor.spent <= 1.0
        with pytest.raises(fm.TaskError, match="needs timeout="):
            executor.options(timeout=None).submit(calls.where)
        error = executor.options(worker="dear").submit(calls.where).exception(SOON)
        assert isinstance(error, fm.BudgetError)


def test_two_programs_with_unlike_code_of_the_same_name(manager: fm.Manager, farm: Farm, tmp_path: Path) -> None:
    farm("a", slots=2)
    programs = []
    for number in (1, 2):
        path = tmp_path / f"program{number}" / "program.py"
        path.parent.mkdir()
        path.write_text(
            "import sys, flowmesh as fm\n"
            f"class Box:\n    value = {number}\n"
            f"def same(box): return isinstance(box, Box) and box.value + {number}\n"
            "if __name__ == '__main__':\n"
            "    with fm.Executor(sys.argv[1]) as executor:\n"
            "        print(sorted({executor.submit(same, Box()).result(60) for _ in range(5)}))\n"
        )
        command = [sys.executable, str(path), f"{manager.host}:{manager.port}"]
        programs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    told = [program.communicate(timeout=60 * SCALE)[0].strip() for program in programs]
    assert told == ["[2]", "[4]"]


def test_a_program_that_is_killed_leaves_nothing(manager: fm.Manager, farm: Farm, tmp_path: Path) -> None:
    farm("a", slots=2)
    marker = tmp_path / "marker"
    os.mkfifo(marker)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, flowmesh as fm\n"
        "def work(path):\n"
        "    import os, time\n"
        "    open(path, 'w').write(str(os.getpid()))\n"
        "    time.sleep(1000)\n"
        "if __name__ == '__main__':\n"
        "    fm.Executor(sys.argv[1]).submit(work, sys.argv[2]).result()\n"
    )
    process = subprocess.Popen([sys.executable, str(program), f"{manager.host}:{manager.port}", str(marker)])
    pid = int(marker.read_text())  # a pipe: it waits until the task writes
    process.kill()
    process.wait()
    wait_for_end(pid, 15 + SOON)


def test_many_tasks_while_workers_are_killed(manager: fm.Manager, farm: Farm, tmp_path: Path) -> None:
    """With retries each result comes once and is right; without, no call is started twice."""
    workers = {name: farm(name, slots=2) for name in ("w0", "w1", "w2")}
    events = Events()
    with fm.Executor(manager, on_event=events) as executor:
        retried = executor.options(retries=5)
        tasks = [retried.submit(calls.noted_square, number, str(tmp_path)) for number in range(150)]
        single = [executor.submit(calls.noted_square, number, str(tmp_path)) for number in range(1000, 1100)]
        for round_number, name in enumerate(("w0", "w1", "w2")):
            wanted = 40 * (round_number + 1)
            events.wait(lambda wanted=wanted: sum(task.done() for task in tasks) >= wanted)
            os.kill(workers[name].pid, signal.SIGKILL)
            farm(f"x{round_number}", slots=2)
        assert [task.result(2 * SOON) for task in tasks] == [number**2 for number in range(150)]
        for number, task in zip(range(1000, 1100), single, strict=True):
            error = task.exception(2 * SOON)
            assert isinstance(error, fm.TaskDied) if error is not None else task.result() == number**2
            assert len(list(tmp_path.glob(f"{number}-*"))) <= 1
