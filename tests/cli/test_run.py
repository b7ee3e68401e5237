"""`flowmesh run`: real graphs, from files as users write them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import COMMAND, COUNTING, DEADLINE, ROOT, Ended, Running

Write = Callable[[str, str], Path]
Start = Callable[..., Running]

# A file of the user's, with a module beside it, values of its own class on the way, and its own Manager at the end.
OWN = """
from dataclasses import dataclass
import flowmesh as fm
from beside import TIMES

@dataclass
class Point:
    x: int

class Source(fm.Node):
    points = 3
    def setup(self):
        self.left = self.points
    def step(self):
        if not self.left:
            raise fm.EndOfStream
        self.left -= 1
        return Point(self.left * TIMES)

class Sink(fm.Node):
    def __init__(self, name, path):
        super().__init__(name=name, path=path)
    def step(self, data):
        point = data["source"].get("default")["value"]
        assert isinstance(point, Point)
        with open(self.path, "a") as file:
            file.write(f"{point.x}\\n")

def build() -> fm.Graph:
    graph = fm.Graph()
    graph.add_edge(Source(name="source"), Sink("sink", "points.txt"))
    return graph

if __name__ == "__main__":
    manager = fm.Manager()
    print("its own Manager")
    raise SystemExit(3)
"""


@pytest.fixture
def own(write: Write) -> Path:
    write("beside.py", "TIMES = 10\n")
    return write("own.py", OWN)


def test_a_graph_runs_to_its_end_from_anywhere(own: Path, flowmesh: Ended, tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    (tmp_path / "elsewhere").mkdir()
    ended = flowmesh("run", str(own), "--set", f"sink.path={target}", "--set", "source.points=5", "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    assert target.read_text().split() == ["40", "30", "20", "10", "0"]
    assert "finished after" in ended.stderr
    assert "5 chunks over 1 edge, 0 dropped" in ended.stderr
    assert ended.stdout == ""


def test_json_is_the_last_status(own: Path, flowmesh: Ended) -> None:
    ended = flowmesh("run", "own.py:build", "--json", "--quiet", "--map", "local-1=sink")
    assert (ended.returncode, ended.stderr) == (0, "")
    status = json.loads(ended.stdout)
    assert status["state"] == "finished"
    assert status["workers"][0]["nodes"] == ["source", "sink"]
    assert [(edge["source"], edge["target"], edge["received"]) for edge in status["edges"]] == [("source", "sink", 3)]


def test_nodes_run_where_they_are_mapped(own: Path, flowmesh: Ended) -> None:
    ended = flowmesh("run", "own.py", "--json", "-q", "--workers", "2", "--map", "local-2=source")
    where = {node["name"]: node["worker"] for node in json.loads(ended.stdout)["nodes"]}
    assert where == {"source": "local-2", "sink": "local-1"}


def test_its_own_manager_still_works_when_it_is_the_script(own: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(own)], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (3, "its own Manager\n")


def test_a_node_that_fails_is_told_once_and_is_1(write: Write, flowmesh: Ended) -> None:
    write("failing.py", COUNTING.replace("        pass", "        raise ValueError('too much')"))
    ended = flowmesh("run", "failing.py")
    assert ended.returncode == 1
    assert ended.stderr.count("ValueError: too much") == 1
    assert "node 'take' on worker 'local-1' failed in step" in ended.stderr
    assert "raise ValueError('too much')" in ended.stderr  # the user's line
    assert "flowmesh/cli" not in ended.stderr


def test_a_setup_that_fails_is_1_too(write: Write, flowmesh: Ended) -> None:
    write("failing.py", COUNTING.replace("self.number = 0", "raise OSError('no camera')"))
    ended = flowmesh("run", "failing.py")
    assert ended.returncode == 1
    assert ended.stderr.count("OSError: no camera") == 1


def test_what_nodes_log_is_shown(counting: Running) -> None:
    assert "INFO    count@local-1: at 10" in counting.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_tears_all_down(counting: Running, number: int) -> None:
    counting.interrupt(number)
    assert counting.end() == 0
    assert "interrupted" in counting.said
    assert "Traceback" not in counting.said


def test_a_worker_that_is_waited_for_gets_its_share(write: Write, started: Start) -> None:
    write("counting.py", COUNTING.replace("1_000_000", "40"))
    running = started(
        "run", "counting.py", "--listen", "127.0.0.1", "--wait-for", "bench", "--map", "bench=count", "--json"
    )
    told = running.until("for bench (Ctrl+C ends this)")
    port = told.partition("waiting at 127.0.0.1:")[2].partition(" ")[0]
    worker = started("--name", "bench", "--port", port, command=(sys.executable, "-m", "worker_entry.main"))
    assert running.end() == 0, running.said
    status = json.loads(next(line for line in running.said.splitlines() if line.startswith("{")))
    assert {node["worker"] for node in status["nodes"]} == {"bench"}
    assert status["edges"][0]["received"] == 40
    assert worker.end() == 0  # without --stay, it leaves with its Manager


def test_waiting_can_be_interrupted(write: Write, started: Start) -> None:
    write("counting.py", COUNTING)
    running = started("run", "counting.py", "--wait-for", "bench")
    running.until("waiting at")
    running.interrupt()
    assert running.end() == 0


def test_on_a_terminal_a_line_tells_how_far_it_is(write: Write, tmp_path: Path) -> None:
    write("counting.py", COUNTING.replace("1_000_000", "500"))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "run", "counting.py"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    ) as run:
        os.close(theirs)
        said = b""
        while more := _read(ours):
            said += more
        assert run.wait(DEADLINE) == 0
    os.close(ours)
    assert b"count " in said.rpartition(b"/s)")[0]
    assert b"\r\x1b[K" in said
    assert said.rpartition(b"\r\x1b[K")[2].startswith(b"finished after")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--map", "bench=count"], "a WORKER is one of local-1, not 'bench=count'"),
        (["--map", "local-1"], "--map is WORKER=NODE,NODE"),
        (["--map", "local-1=film"], "'film' is no node; nodes: count, take"),
        (["--map", "local-1=count,count"], "'count' is mapped twice"),
        (["--set", "count.speed=3"], "count has no parameter 'speed'; it has: "),
        (["--set", "count.step=3"], "count has no parameter 'step'"),
        (["--set", "count.name=other"], "count has no parameter 'name'"),
        (["--set", "film.rate=3"], "--set is NODE.PARAM=VALUE, not 'film.rate=3'; nodes: count, take"),
        (["--set", "rate"], "--set is NODE.PARAM=VALUE"),
        (["--workers", "0"], "--workers is a number from 1"),
        (["--listen", "127.0.0.1:http"], "an address is HOST:PORT"),
    ],
)
def test_wrong_usage_is_2_and_starts_nothing(arguments: list[str], told: str, write: Write, flowmesh: Ended) -> None:
    write("counting.py", COUNTING)
    ended = flowmesh("run", "counting.py", *arguments)
    assert ended.returncode == 2, ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_value_that_can_not_be_is_1(write: Write, flowmesh: Ended) -> None:
    write("counting.py", COUNTING)
    ended = flowmesh("run", "counting.py", "--set", "count.rate=-3")
    assert ended.returncode == 1
    assert ended.stderr == "flowmesh run: count: rate is a number of steps a second above 0, not -3\n"
