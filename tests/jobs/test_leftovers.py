"""What tasks, programs and workers leave behind when they misbehave or are killed: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowmesh as fm

from . import example_calls as calls
from .waiting import SOON, wait_for_end


@pytest.fixture
def worker() -> Iterator[fm.Worker]:
    with fm.Worker("one", slots=2) as worker:
        yield worker


@pytest.fixture
def manager(worker: fm.Worker) -> Iterator[fm.Manager]:
    with fm.Manager() as manager:
        worker.connect(host=manager.host, port=manager.port)
        yield manager


def test_a_killed_worker_leaves_neither_process_nor_folder(manager: fm.Manager, worker: fm.Worker) -> None:
    with fm.Executor(manager) as executor:
        _, _, pid, folder = executor.submit(calls.where_exactly).result(SOON)
        assert Path(folder).parent.is_dir()
        busy = executor.submit(calls.sleep, 100)
        os.kill(worker.pid, signal.SIGKILL)
        assert isinstance(busy.exception(SOON), fm.TaskDied)
        wait_for_end(pid)
        assert not Path(folder).parent.exists()


def test_a_folder_is_removed_whatever_died(manager: fm.Manager, worker: fm.Worker) -> None:
    with fm.Executor(manager) as executor:
        folder = executor.submit(calls.where_exactly).result(SOON)[3]
        assert not Path(folder, "large").exists()
        died = executor.options(fresh=True).submit(calls.fill_and_die)
        assert isinstance(died.exception(SOON), fm.TaskDied)
        assert "filling" in died.log()
        place = died.log().split()[1]
    worker.shutdown()
    assert not Path(place).exists()


def test_much_output_is_cut_to_its_end(manager: fm.Manager) -> None:
    with fm.Executor(manager) as executor:
        task = executor.submit(calls.print_much, 30_000_000)
        task.result(3 * SOON)
        assert len(task.log()) <= 64 * 1024
        assert task.log().endswith("the end\n")


def test_a_task_that_closes_all_descriptors_is_dead_and_nobody_else(manager: fm.Manager) -> None:
    with fm.Executor(manager) as executor:
        other = executor.submit(calls.sleep, 0.5)
        assert isinstance(executor.options(timeout=5).submit(calls.close_all).exception(SOON), fm.TaskError | OSError)
        assert other.result(SOON) == "slept"
        assert executor.submit(calls.total, 1).result(SOON) == 1


def test_ctrl_c_lets_what_runs_end_and_drops_what_is_queued(manager: fm.Manager, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    os.mkfifo(marker)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, flowmesh as fm\n"
        "def work(path):\n"
        "    import time\n"
        "    open(path, 'w').write('begun')\n"
        "    time.sleep(0.5)\n"
        "    return 'ended'\n"
        "def never(): open(sys.argv[2] + '.never', 'w')\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        with fm.Executor(sys.argv[1], max_workers=1) as executor:\n"
        "            first, second = executor.submit(work, sys.argv[2]), executor.submit(never)\n"
        "            second.result()\n"
        "    except KeyboardInterrupt:\n"
        "        print(first.result(0), second.cancelled())\n"
    )
    command = [sys.executable, str(program), f"{manager.host}:{manager.port}", str(marker)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert marker.read_text() == "begun"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=SOON)[0] == "ended True\n"
    assert not Path(f"{marker}.never").exists()


def test_a_worker_that_leaves_ends_its_tasks(manager: fm.Manager, worker: fm.Worker, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with fm.Executor(manager) as executor:
        task = executor.submit(calls.clean_up_begun, str(marker))
        assert next(task.messages()) == "begun"
        worker.shutdown()
        error = task.exception(SOON)
        assert isinstance(error, fm.TaskError)
        assert marker.read_text() == "cleaned"
