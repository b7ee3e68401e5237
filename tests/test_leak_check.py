"""The check that fails tests can fail: each kind of leftover is found, and what goes in time is none."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
import threading

import pytest

from .conftest import Script
from .leak_check import Snapshot


@pytest.fixture
def before(mark: str) -> Snapshot:
    return Snapshot(mark)


def test_a_child_is_found_and_ended(before: Snapshot) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    assert before.left(within=0.01) == [f"process {child.pid}: sleep 1000"]
    assert before.left(within=0.01) == []
    child.wait()


def test_an_orphan_in_a_session_of_its_own_is_found(before: Snapshot) -> None:
    program = "import subprocess; subprocess.Popen(['sleep', '1001'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", program], check=True)
    (line,) = before.left(within=0.01)
    assert line.endswith(": sleep 1001")


def test_a_child_that_nobody_waited_for_is_found(before: Snapshot) -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert before.left(within=1.0) == [f"process {child.pid}: a zombie that nobody has waited for"]
    child.wait()


def test_a_process_that_ends_in_time_is_none(before: Snapshot) -> None:
    program = "import subprocess; subprocess.Popen(['sleep', '0.2'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert before.left(within=10.0) == []


def test_a_thread_is_found_until_it_ends(before: Snapshot) -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name="waits", daemon=True)
    thread.start()
    assert before.left(within=0.01) == ["thread waits"]
    event.set()
    assert before.left(within=10.0) == []


def test_a_descriptor_is_found(before: Snapshot) -> None:
    descriptor = os.memfd_create("forgotten")
    assert before.left(within=0.01) == [f"descriptor {descriptor}: /memfd:forgotten (deleted)"]
    os.close(descriptor)


def test_a_mapping_outlives_its_descriptor(before: Snapshot) -> None:
    descriptor = os.memfd_create("flowmesh-forgotten")
    os.truncate(descriptor, mmap.PAGESIZE)
    mapping = mmap.mmap(descriptor, mmap.PAGESIZE)
    os.close(descriptor)
    lines = before.left(within=0.01)
    mapping.close()
    assert any(line.startswith("mapping") and "flowmesh-forgotten" in line for line in lines)
    assert before.left(within=0.01) == []


def test_what_lies_in_a_cycle_is_none(before: Snapshot) -> None:
    holder = Holder(os.memfd_create("in-a-cycle"))
    holder.itself = holder
    del holder
    assert before.left(within=0.01) == []


class Holder:
    """Closes its descriptor when it is collected."""

    itself: Holder

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


def test_a_temporary_file_is_found(before: Snapshot) -> None:
    with tempfile.NamedTemporaryFile(prefix="flowmesh-") as file:
        assert f"file {file.name}" in before.left(within=0.01)
    assert before.left(within=0.01) == []


def test_a_script_runs_in_a_folder_of_its_own(script: Script) -> None:
    ended = script(
        """
        import pathlib, sys, beside
        print(beside.WORD, sys.argv[1:], sorted(path.name for path in pathlib.Path().glob("*.py")))
        sys.exit("the end")
        """,
        "argument",
        files={"beside.py": "WORD = 'word'"},
    )
    assert (ended.returncode, ended.stderr) == (1, "the end\n")
    assert ended.stdout == "word ['argument'] ['beside.py', 'script.py']\n"


def test_a_script_that_leaves_a_process_fails(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conftest.SETTLES_WITHIN", 0.01)
    with pytest.raises(pytest.fail.Exception, match="sleep 1002"):
        script("import subprocess; subprocess.Popen(['sleep', '1002'], start_new_session=True)")


def test_a_script_that_hangs_fails(script: Script) -> None:
    with pytest.raises(pytest.fail.Exception, match="did not end within"):
        script("print('hangs', flush=True); import signal; signal.pause()", timeout=0.5)
