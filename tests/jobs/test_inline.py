"""Tasks in this process: the same program without workers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import flowmesh as fm

from . import example_calls as calls


def test_the_same_program() -> None:
    with fm.Executor(inline=True) as executor:
        assert executor.submit(sum, executor.submit(calls.gen)).result() == 3
        assert (executor >> calls.gen >> calls.total).result() == 3
        assert (executor >> partial(calls.grow, 5) >> calls.reduce).result() == 15
        assert list(executor.map(calls.total, range(5), range(5))) == [0, 2, 4, 6, 8]
        assert executor.submit(sum, executor.put([1, 2])).result() == 3
        assert list(executor.submit(calls.talk, 3).messages()) == [0, 1, 2]


def test_retries_and_validate() -> None:
    with fm.Executor(inline=True, retries=1) as executor:
        task = executor.options(validate=calls.is_second).submit(calls.first_attempt_is_wrong)
        assert task.result() == 2
        assert [attempt.outcome for attempt in task.attempts] == ["rejected", "done"]
        assert isinstance(executor.submit(calls.complain, "no").exception(), ValueError)


def test_the_working_directory_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with fm.Executor(inline=True) as executor:
        executor.submit(calls.write_file, "text")
    assert list(tmp_path.iterdir()) == []


def test_a_function_by_name_needs_a_worker() -> None:
    with fm.Executor(inline=True) as executor, pytest.raises(fm.TaskError, match="needs a worker"):
        executor.submit(fm.remote("echo"))
