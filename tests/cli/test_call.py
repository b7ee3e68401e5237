"""`flowmesh call`: a function by its name, on a worker that another program runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import flowmesh as fm

from .conftest import Ended

FUNCTIONS = """
def echo(*values):
    return list(values)

def fail():
    raise ValueError("it is no good")

def made():
    return {1, 2}.__class__
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[fm.Manager]:
    functions = tmp_path / "functions.py"
    functions.write_text(FUNCTIONS)
    with fm.Worker("tools", slots=1, kind="tools", functions=functions) as worker, fm.Manager() as manager:
        worker.connect(host=manager.host, port=manager.port)
        yield manager


def test_call(here: fm.Manager, flowmesh: Ended) -> None:
    assert flowmesh("call", "echo", "1", "two", "[3]", "--kind", "tools", "--json").stdout == '[1, "two", [3]]\n'
    assert flowmesh("call", "echo", "--kind", "tools").stdout == "[]\n"
    failed = flowmesh("call", "fail", "--kind", "tools")
    assert failed.returncode == 1
    assert "it is no good" in failed.stderr
    nowhere = flowmesh("call", "nothing", "--kind", "tools", "--wait-timeout", "0.2")
    assert nowhere.returncode == 1
    assert "with the function 'nothing'" in nowhere.stderr
    assert flowmesh("call", "echo", "--timeout", "-1").returncode == 2
    assert flowmesh("call", "made", "--kind", "tools", "--json").returncode == 2
