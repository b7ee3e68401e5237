"""What the tests of the command share: the command as a process of its own, in a state directory of each test's own."""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from ..conftest import ROOT, SCALE

DEADLINE = 60 * SCALE
COMMAND = (sys.executable, "-m", "flowmesh")

# Counts to `last`, `rate` a second; each tenth is logged.
COUNTING = """
import flowmesh as fm

class Count(fm.Node):
    last = 1_000_000
    def setup(self):
        self.number = 0
    def step(self):
        if self.number >= self.last:
            raise fm.EndOfStream
        self.number += 1
        if self.number % 10 == 0:
            self.logger.info("at %d", self.number)
        return self.number

class Take(fm.Node):
    def step(self, data):
        pass

graph = fm.Graph()
graph.add_edge(Count(name="count", rate=200), Take(name="take"))
"""


class Ended(Protocol):
    """Runs the command to its end; see the fixture `flowmesh`."""

    def __call__(self, *arguments: str, timeout: float = ...) -> subprocess.CompletedProcess[str]: ...


class Running:
    """The command while it runs. What it says on stdout and stderr comes together, line by line."""

    def __init__(self, arguments: tuple[str, ...], cwd: Path, command: tuple[str, ...] = COMMAND) -> None:
        self.said = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def until(self, text: str) -> str:
        """Wait until it has said so; everything that it has said."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.said:
            assert self._read(deadline - time.monotonic()), f"it did not say {text!r}, but {self.said!r}"
        return self.said

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; its exit status."""
        while self._read(DEADLINE):
            pass
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self.end()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self, timeout: float) -> bool:
        """Whether there was more."""
        assert self.process.stdout is not None
        out = self.process.stdout.fileno()
        assert select.select([out], [], [], max(0.0, timeout))[0], f"it said no more in time than {self.said!r}"
        more = os.read(out, 65536)
        self.said += self._decoder.decode(more)  # a character may come in two pieces
        return bool(more)


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key of this test's own, so that no Manager but its own can be found."""
    home = tmp_path_factory.mktemp("own-state")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


@pytest.fixture
def flowmesh(tmp_path: Path) -> Ended:
    """Runs the command to its end, in the test's folder."""

    def run(*arguments: str, timeout: float = DEADLINE) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts the command; what still runs at the test's end is ended as by SIGTERM."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, command: tuple[str, ...] = COMMAND) -> Running:
            running = Running(arguments, tmp_path, command)
            stack.callback(running.close)
            return running

        yield start


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file into the test's folder."""

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return written


@pytest.fixture
def counting(write: Callable[[str, str], Path], started: Callable[..., Running]) -> Running:
    """A `flowmesh run` of the counting graph that goes on and on, and has begun."""
    write("counting.py", COUNTING)
    running = started("run", "counting.py", "--workers", "2")
    running.until("at 20")
    return running
