"""The verbs that speak with a running Manager, which is that of a `flowmesh run` or of a script in another process."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

import flowmesh as fm
from flowmesh.security.keys import KeyPair, user_keys
from flowmesh.transport.control_link import WorkerLink
from flowmesh.wire.messages import AdminHello, AdminReply, AnyMessage, Enroll, Enrollment, Message, StatusRequest

from .conftest import COMMAND, COUNTING, DEADLINE, Ended, Running

Start = Callable[..., Running]
Write = Callable[[str, str], Path]
OPERATING = [("status",), ("top",), ("logs",), ("stop",), ("token", "list"), ("token", "new"), ("token", "revoke", "x")]

# A script with a Manager of its own, that says what its graph came to.
SCRIPT = (
    COUNTING
    + """
if __name__ == "__main__":
    with fm.Manager() as manager, fm.Worker(name="local") as worker:
        worker.connect(host=manager.host, port=manager.port)
        manager.commit_graph(graph)
        manager.start()
        print("started", flush=True)
        print("waited:", manager.wait(), manager.state, flush=True)
"""
)


@contextmanager
def manager(host: str = "127.0.0.1") -> Iterator[fm.Manager]:
    with fm.Manager(host=host) as here:
        yield here


def one_manager_of(ended: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert ended.returncode == 0, ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


# --- which Manager ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", OPERATING)
def test_without_a_manager_it_is_1(verb: tuple[str, ...], flowmesh: Ended) -> None:
    ended = flowmesh(*verb)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no Manager of yours runs on this machine" in ended.stderr


@pytest.mark.parametrize("verb", [("status",), ("stop",)])
def test_with_two_it_is_2_and_they_are_listed(verb: tuple[str, ...], flowmesh: Ended) -> None:
    with manager() as one, manager("127.0.0.2") as two:
        ended = flowmesh(*verb)
        assert (ended.returncode, ended.stdout) == (2, "")
        for each in (one, two):
            assert f"--manager {each.host}:{each.port}   (process {os.getpid()})" in ended.stderr
        named = flowmesh("status", "--json", "--manager", f"127.0.0.2:{two.port}")
        assert one_manager_of(named)["manager"] == f"127.0.0.2:{two.port}"
        assert one_manager_of(flowmesh("status", "--json", "--manager", str(one.port)))


def test_one_that_listens_everywhere_is_found(flowmesh: Ended, capfd: pytest.CaptureFixture[str]) -> None:
    with manager("0.0.0.0") as here:
        assert one_manager_of(flowmesh("status", "--json"))["manager"] == f"127.0.0.1:{here.port}"


def test_nobody_at_an_address_is_1(flowmesh: Ended) -> None:
    ended = flowmesh("status", "--manager", "127.0.0.1:1")
    assert ended.returncode == 1
    assert "no Manager of this user answers at 127.0.0.1:1" in ended.stderr


def test_another_users_manager_refuses(flowmesh: Ended, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with manager() as here:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "stranger"))
        assert "no Manager of yours" in flowmesh("stop").stderr
        ended = flowmesh("stop", "--manager", f"127.0.0.1:{here.port}")
        assert ended.returncode == 1
        assert "as the same user" in ended.stderr


def test_a_workers_key_may_not_operate() -> None:
    own, standing = KeyPair.make(), user_keys()
    with manager() as here:
        joining = WorkerLink(here.host, here.port, standing.public, standing)
        assert isinstance(said_to(joining, Enroll(own.public), Enrollment), Enrollment)
        joining.close()
        worker = WorkerLink(here.host, here.port, standing.public, own)
        worker.send(AdminHello(own.public))
        refused = said_to(worker, StatusRequest(1), AdminReply)
        assert isinstance(refused, AdminReply)
        assert "may not operate" in refused.error
        worker.close()


def said_to(link: WorkerLink, message: Message, wanted: type[Message]) -> AnyMessage:
    """The answer of that kind."""
    link.send(message)
    deadline = time.monotonic() + DEADLINE
    while True:
        assert time.monotonic() < deadline, "no answer"
        link.wait([], DEADLINE)
        for answer in link.receive():
            if isinstance(answer, wanted):
                return answer


# --- what they show --------------------------------------------------------------------------------------------------


def test_status_shows_all_that_there_is(counting: Running, flowmesh: Ended) -> None:
    text = flowmesh("status").stdout
    for word in ("the graph is running", "WORKER", "local-1", "count", "take", "count -> take", "lossless"):
        assert word in text
    deadline = time.monotonic() + DEADLINE
    status = json.loads(flowmesh("status", "--json").stdout)
    while not all(node["steps"] for node in status["nodes"]) and time.monotonic() < deadline:
        status = json.loads(flowmesh("status", "--json").stdout)  # the first chunk is still on its way
    assert status["state"] == "running"
    assert [worker["nodes"] for worker in status["workers"]] == [["count"], ["take"]]
    assert all(node["steps"] > 0 and node["pid"] for node in status["nodes"])
    (edge,) = status["edges"]
    assert edge["sent"] == edge["received"] + sum(edge["dropped"].values()) + edge["in_flight"]
    assert edge["transport"]


def test_status_of_a_manager_without_a_graph(flowmesh: Ended) -> None:
    with manager() as here:
        assert flowmesh("status").stdout == f"Manager 127.0.0.1:{here.port}: the graph is empty\n"
        assert flowmesh("stop").stdout == f"Manager 127.0.0.1:{here.port}: there is no graph\n"


def test_logs_give_the_last_lines_and_those_that_are_wanted(counting: Running, flowmesh: Ended) -> None:
    last = flowmesh("logs", "--last", "1", "--node", "count")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} INFO    count@local-1: at \d+\n", last.stdout)
    lines = [json.loads(line) for line in flowmesh("logs", "--json").stdout.splitlines()]
    assert "worker 'local-1' registered" in [line["text"] for line in lines]
    assert [line["text"] for line in lines if line["node"]][:2] == ["at 10", "at 20"]
    assert all(abs(line["time"] - time.time()) < 600 for line in lines)
    assert flowmesh("logs", "--node", "take").stdout == ""
    assert flowmesh("logs", "--level", "error").stdout == ""


def test_logs_follow_until_they_are_interrupted(counting: Running, started: Start) -> None:
    following = started("logs", "-f", "--last", "0", "--node", "count")
    first = int(re.findall(r"at (\d+)\n", following.until("\n"))[0])
    following.until(f"at {first + 50}\n")
    following.interrupt()
    assert following.end() == 0
    seen = [int(number) for number in re.findall(r"at (\d+)\n", following.said)]
    assert seen == list(range(first, seen[-1] + 10, 10))


def test_logs_end_with_the_manager(counting: Running, started: Start) -> None:
    following = started("logs", "--follow")
    following.until("at ")
    counting.interrupt()
    assert following.end() == 0
    assert "has gone" in following.said


def test_top_prints_once_an_interval_where_there_is_no_terminal(counting: Running, flowmesh: Ended) -> None:
    text = flowmesh("top", "--interval", "0.2", "--count", "10").stdout
    assert text.count("the graph is running") == 10
    assert "\x1b" not in text
    first, *edges = (line.split() for line in text.splitlines() if line.startswith("count -> take"))
    assert first[3] == "-"  # nothing to compare with yet
    assert 50 < median(float(edge[3]) for edge in edges) < 400  # chunks a second; a busy machine delays some looks
    looks = flowmesh("top", "--interval", "0.1", "--count", "2", "--json").stdout.splitlines()
    assert [json.loads(look)["state"] for look in looks] == ["running", "running"]


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_top_refreshes_in_place_on_a_terminal_until_a_key(counting: Running, key: bytes) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "top", "--interval", "0.2"]
    # A session of its own with this terminal, so that Ctrl+C in it is a SIGINT.
    code = (
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        f"os.execv(sys.executable, {command!r})"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs) as top:
        os.close(theirs)
        said = b""
        deadline = time.monotonic() + DEADLINE
        while said.count(b"\x1b[H") < 3:
            assert select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0], said
            said += os.read(ours, 65536)
        os.write(ours, key)
        while select.select([ours], [], [], DEADLINE)[0] and (more := _read(ours)):
            said += more
        assert top.wait(DEADLINE) == 0
    os.close(ours)
    assert said.startswith(b"\x1b[?1049h")
    assert said.endswith(b"\x1b[?25h\x1b[?1049l")
    frames = said.split(b"\x1b[H")[1:]
    assert all(b"count -> take" in frame for frame in frames)
    assert not any(len(line) > 80 + 10 for frame in frames for line in frame.splitlines())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


# --- what they do ----------------------------------------------------------------------------------------------------


def test_stop_ends_a_run_in_order(counting: Running, flowmesh: Ended) -> None:
    told = flowmesh("stop", "--drain", "2", "--json")
    assert one_manager_of(told)["state"] == "finished"
    assert counting.end() == 0
    assert "finished after" in counting.said
    assert "no Manager of yours" in flowmesh("stop").stderr


def test_stop_lets_a_script_that_waits_go_on(write: Write, started: Start, flowmesh: Ended) -> None:
    script = write("script.py", SCRIPT)
    running = started(command=(sys.executable, str(script)))
    running.until("started")
    assert "the graph is finished" in flowmesh("stop").stdout
    assert running.end() == 0, running.said
    assert "waited: True finished" in running.said


def test_stop_of_a_graph_whose_node_is_stuck_is_1(write: Write, started: Start, flowmesh: Ended) -> None:
    stuck = COUNTING.replace("        pass", "        self.logger.warning('stuck')\n        while True: pass")
    write("stuck.py", stuck)
    running = started("run", "stuck.py")
    running.until("stuck")
    ended = flowmesh("stop", "--drain", "0")
    assert ended.returncode == 1
    assert "the graph is failed" in ended.stdout
    assert running.end() == 1
    assert "'take'" in running.said


def test_tokens_are_made_listed_and_revoked(flowmesh: Ended, capfd: pytest.CaptureFixture[str]) -> None:
    with manager("0.0.0.0") as here:
        there = len(here.tokens())
        line = flowmesh("token", "new", "--expires", "60").stdout
        assert line.startswith("flowmesh-worker ")
        made = json.loads(flowmesh("token", "new", "--json").stdout)
        assert made["text"] in made["line"]
        listed = json.loads(flowmesh("token", "list", "--json").stdout)
        assert len(listed) == len(here.tokens()) == there + 2
        assert all(made["text"] not in str(token) for token in listed)
        assert flowmesh("token", "revoke", made["id"]).stdout == f"{made['id']} is revoked\n"
        (state,) = (token.state for token in here.tokens() if token.id == made["id"])
        assert state == "revoked"
        assert re.search(rf"^{made['id']}\s+revoked\s", flowmesh("token", "list").stdout, re.MULTILINE)
        unknown = flowmesh("token", "revoke", "nobody")
        assert unknown.returncode == 1
        assert "nobody" in unknown.stderr
        assert flowmesh("token", "new", "--expires", "0").returncode == 2


def test_a_manager_that_only_this_machine_reaches_has_no_tokens_to_give(flowmesh: Ended) -> None:
    with manager():
        ended = flowmesh("token", "new")
        assert ended.returncode == 1
        assert "only this machine can reach" in ended.stderr


def test_operators_that_are_killed_leave_nothing(counting: Running, started: Start) -> None:
    following = started("logs", "-f")
    following.until("at ")
    following.interrupt(signal.SIGKILL)
    following.end()
    counting.interrupt()
    assert counting.end() == 0
