"""A chain of ten nodes: how soon the first chunk is at its end, and what it costs while nothing happens."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import flowmesh as fm

from . import cold_chain, running
from .comparison import Benchmark, Figure, Gate
from .processes import family, memory, processor_time

_SETTLES = 1.0  # seconds until what a start leaves to do is done
_ENDS_WITHIN = 20.0


class Last(running.Measuring):
    def step(self, data: dict[str, fm.DataChunk]) -> None:
        self.measured = {"came": time.monotonic()}


def benchmarks(quick: bool) -> list[Benchmark]:
    seconds = 1.0 if quick else 5.0
    return [
        Benchmark(
            name="chain",
            about="10-node chain: from commit_graph's call to the first chunk at the last node, the worker being up",
            figures=(Figure("ready", "10-node chain, commit to first chunk", "s", Gate(0.5, at_most=True)),),
            flowmesh=_warm,
        ),
        Benchmark(
            name="chain-cold",
            about="10-node chain: from `python script.py` to the first chunk; then memory and processor time while idle",
            figures=(
                Figure("ready", "10-node chain, cold script to first chunk", "s"),
                Figure("memory", "10-node chain idle, PSS of all processes", "MB", Gate(130, at_most=True)),
                Figure("idle", f"10-node chain idle, CPU over {seconds:g} s", "%", Gate(1, at_most=True)),
            ),
            flowmesh=partial(_cold, seconds),
        ),
    ]


def _warm() -> dict[str, float]:
    last = Last(name="last")
    ran = running.run(cold_chain.chain(cold_chain.First(name="first"), last), [last])
    return {"ready": ran.reports[0]["came"] - ran.committed}


def _cold(seconds: float) -> dict[str, float]:
    begun = time.monotonic()
    with _script() as script:
        ready = _first_line(script) - begun
        time.sleep(_SETTLES)
        members = family(script.pid)
        before, since = processor_time(members), time.monotonic()
        time.sleep(seconds)
        busy = (processor_time(members) - before) / (time.monotonic() - since)
        return {"ready": ready, "memory": memory(members), "idle": busy * 100}


@contextmanager
def _script() -> Iterator[subprocess.Popen[bytes]]:
    """The program, in a session of its own: a Ctrl+C is ours, and closes its input."""
    with subprocess.Popen(
        [sys.executable, str(Path(cold_chain.__file__))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_line(process: subprocess.Popen[bytes]) -> float:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], running.WITHIN)
    if not ready:
        raise fm.DeadlineError("no chunk came to the end of the chain in time")
    line = process.stdout.readline()
    if not line:
        raise ChildProcessError("the script ended without a chunk: see what it printed above")
    return float(line)
