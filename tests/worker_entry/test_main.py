"""The flowmesh-worker command, as a process of its own, with a real Manager."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import flowmesh as fm

Deadline = Callable[[float], float]


class Count(fm.Node):
    def setup(self) -> None:
        self.number = 0

    def step(self) -> int:
        self.number += 1
        if self.number > 20:
            raise fm.EndOfStream
        return self.number


class Take(fm.Node):
    def step(self, data: dict[str, fm.DataChunk]) -> None:
        pass


@pytest.fixture
def port() -> int:
    """One where nobody listens, below those that the kernel gives to whoever asks for any: until the Manager is there,
    nobody else can have got it."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in range(given - 1, 1024, -1):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("all ports are taken")


class Command:
    """The command, and what it prints."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker_entry.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,  # of two lines that come at once, the second is still there for `select` to see
        )

    def line(self, within: float) -> str:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], within)[0], "it said nothing in time"
        return self.process.stdout.readline().decode()


@pytest.fixture
def command(port: int) -> Iterator[Command]:
    running = Command("--name", "bench", "--port", str(port))
    yield running
    running.process.kill()
    running.process.wait()
    assert running.process.stdout is not None
    running.process.stdout.close()


def test_it_waits_for_its_manager_runs_a_graph_and_leaves(command: Command, port: int, deadline: Deadline) -> None:
    assert f"waiting for a Manager at 127.0.0.1:{port}" in command.line(deadline(15))
    with fm.Manager(port=port) as manager:
        assert "registered as 'bench'" in command.line(deadline(15))
        graph = fm.Graph()
        graph.add_edge(Count(name="count"), Take(name="take"))
        manager.commit_graph(graph)
        manager.start()
        assert manager.wait(deadline(15))
        assert manager.status().edges["count", "take"].received == 20
        command.process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert command.process.wait(deadline(20)) == 0
        assert time.monotonic() - begun < deadline(2)
        assert command.process.stdout is not None
        said = command.process.stdout.read().decode()
        assert said.startswith("committed: count, take\n")
        assert said.endswith("ended: count, take\nleft\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting(command: Command, number: signal.Signals, deadline: Deadline) -> None:
    command.line(deadline(15))
    command.process.send_signal(number)
    assert command.process.wait(deadline(20)) == 0


def test_a_refused_worker_says_why(port: int, command: Command, deadline: Deadline) -> None:
    with fm.Manager(port=port):
        for _ in range(2):
            if "registered" in command.line(deadline(15)):
                break
        other = subprocess.run(
            [sys.executable, "-m", "worker_entry.main", "--name", "bench", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=deadline(20),
            check=False,
        )
    assert other.returncode == 1
    assert "a worker named 'bench' is registered already" in other.stderr
