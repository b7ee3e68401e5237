"""Scripts run as processes of their own, ended in every way, and what is left of them afterwards."""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import flowmesh

from . import process_table
from .deadlines import LONG, SCALE, ended, until

_REPOSITORY = Path(flowmesh.__path__[0]).parent

HEAD = """
import contextlib, os, signal, sys, threading, time
import flowmesh as fm

class Node(fm.Node):
    def note(self, what):
        with open("trace", "a") as file:
            file.write(f"{what} {self.name}\\n")
    def setup(self):
        self.note("setup")
    def teardown(self):
        self.note("teardown")

class Source(Node):
    number = 0
    def step(self):
        self.number += 1
        if self.number > self.last:
            raise fm.EndOfStream
        return self.number

class Step(Node):
    def step(self, data):
        return data["source"].get("default")["value"]

class Sink(Node):
    told = False
    def step(self, data):
        if not self.told:
            self.told = True
            print("FLOWING", flush=True)

class SlowSetup(Step):
    def setup(self):
        super().setup()
        print("FLOWING", flush=True)
        time.sleep(1)

class SlowSink(Sink):
    def step(self, data):
        super().step(data)
        time.sleep(0.3)

class EndlessSink(Sink):
    def step(self, data):
        super().step(data)
        while True:
            pass

def graph(last=10**12, step=Step, sink=Sink, depth=None):
    nodes = [Source(name="source", last=last), step(name="step"), sink(name="sink")]
    made = fm.Graph()
    made.add_nodes_from(nodes)
    made.add_edge("source", "step", depth=depth)
    made.add_edge("step", "sink", depth=depth)
    return made

def site():
    manager, worker = fm.Manager(), fm.Worker(name="local")
    worker.connect(host=manager.host, port=manager.port)
    return manager, worker
"""


class Script:
    """A running script, the leader of a process group of its own, as one that a terminal started."""

    def __init__(self, folder: Path, body: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "temporary").mkdir()
        (folder / "script.py").write_text(f'{HEAD}\nif __name__ == "__main__":\n' + _indented(body))
        self.mark = secrets.token_hex(8)
        settings = {process_table.MARK: self.mark, "PYTHONPATH": str(_REPOSITORY), "TMPDIR": str(folder / "temporary")}
        self.process = subprocess.Popen(
            [sys.executable, "script.py"],
            cwd=folder,
            env=os.environ | settings | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.output = ""
        self._sockets: set[str] = set()

    def until_says(self, word: str, within: float = LONG) -> None:
        """Wait until the script, or a node of it, has printed this."""
        until_ = time.monotonic() + within * SCALE
        while word not in self.output:
            assert self._read(until_), f"it did not say {word!r} but: {self.output}"
        self._sockets = process_table.named_sockets(process_table.marked(self.mark))

    def signal(self, number: signal.Signals, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def ends(self, within: float = LONG) -> int:
        """Wait for the script's own end; its exit status, negative for a signal."""
        until_ = time.monotonic() + within * SCALE
        ended([self.process.pid], within)
        status = self.process.wait(1)
        while self._read(until_):
            pass  # to the end of file: the last process that could print has ended
        return status

    def is_gone(self, within: float = 8.0) -> None:
        """Wait until nothing is left: no process, socket, memfd (they live in processes only) or file."""
        until(lambda: not process_table.marked(self.mark), within, f"left: {process_table.marked(self.mark)}")
        assert not self._sockets & process_table.all_named_sockets()
        assert sorted(path.name for path in self.folder.rglob("*")) in (
            ["script.py", "temporary", "trace"],
            ["script.py", "temporary"],
        )

    def trace(self) -> Counter[str]:
        """How often each node was set up and torn down."""
        return Counter((self.folder / "trace").read_text().splitlines())

    def _read(self, until_: float) -> bool:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(max(0.0, until_ - time.monotonic())), f"silent; it had said: {self.output}"
        text = os.read(self.process.stdout.fileno(), 65536).decode(errors="replace")
        self.output += text
        return bool(text)


class Scripts:
    """Starts the scripts of one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Script] = []

    def start(self, body: str) -> Script:
        """Run `body` as the main part of a script."""
        script = Script(self._folder / f"script-{len(self._started)}", body)
        self._started.append(script)
        return script

    def clean_up(self) -> None:
        """Only a test that failed leaves anything here: its processes are ended by id."""
        for script in self._started:
            for pid in process_table.marked(script.mark):
                os.kill(pid, signal.SIGKILL)
            script.process.wait(5)
            if script.process.stdout is not None:
                script.process.stdout.close()


def _indented(body: str) -> str:
    return "".join(f"    {line}\n" for line in body.strip().splitlines())
