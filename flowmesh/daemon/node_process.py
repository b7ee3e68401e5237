"""The daemon's record of each node that it runs: message socket, counter page, crash file and pid of its process."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence

from ..channel.counters import BUSY, CONTROL, ERRORS, FIRST, HELD, LAST, PACED, STEPS, WAITING, CounterPage
from ..channel.message_socket import MessageSocket
from ..control.worker.node_record import NodeRecord
from ..wire.messages import EdgeCounters, NodeCounters
from ..wire.plan_specs import EdgeSpec
from ..wire.states import NodeState

FULL_SAMPLES = 4  # this many in a row, half a second apart: the edge was full for two seconds
_SAMPLES = 5  # of the step count, one per heartbeat: the rate is that of the last two seconds
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class NodeProcess:
    """A node's process on this worker. It outlives the process: counters are read until the next graph."""

    def __init__(self, number: int, member: NodeRecord, pipe: MessageSocket) -> None:
        self.number = number
        self._member = member
        self.pipe: MessageSocket | None = pipe
        self.page = CounterPage.make(len(member.outputs), len(member.inputs))
        self.crash_file = os.memfd_create("flowmesh-crash", os.MFD_CLOEXEC)
        self.pid = 0
        self.kill_when_forked = False
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._used = (0.0, 0)
        self._held = -1
        self._held_sent = 0
        self._held_samples = 0

    def tell(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send the node a message, and note it in its counter page, which it reads between two steps."""
        if self.pipe is not None:
            self.pipe.send(message, descriptors)
            self.page.cells[CONTROL] += 1

    def hang_up(self) -> None:
        """Close the message socket: the process has gone."""
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None

    def exited(self, cpu: float, memory: int) -> None:
        self.hang_up()
        self.pid = 0
        self._used = (cpu, memory)

    def crash(self) -> str:
        """The interpreter's output at a crash; empty if there was none."""
        return os.pread(self.crash_file, 20_000, 0).decode(errors="replace").strip()

    def sample(self, now: float) -> None:
        """Record the number of steps, and the output, if any, that blocks the node.

        A source without a pace is rightly blocked while chunks move; one that has to keep a pace is not.
        """
        cells = self.page.cells
        self._samples.append((now, cells[STEPS]))
        held = cells[HELD] - 1
        sent = cells[self.page.output(held)] if held >= 0 else 0
        stuck = held >= 0 and held == self._held and (cells[PACED] or sent == self._held_sent)
        self._held_samples = self._held_samples + 1 if stuck else 0
        self._held, self._held_sent = held, sent

    def held_by(self) -> EdgeSpec | None:
        """The edge at which an emission waits for room, now or at the last sample."""
        held = self.page.cells[HELD] - 1 if self.page.cells[HELD] else self._held
        return self._member.outputs[held].spec if held >= 0 else None

    def full_edge(self) -> EdgeSpec | None:
        """The edge that has been full at each of the last samples."""
        return self._member.outputs[self._held].spec if self._held_samples >= FULL_SAMPLES else None

    def busy_for(self) -> float:
        """Seconds for which the step under way has lasted; 0 between steps."""
        since = self.page.cells[BUSY]
        return (time.monotonic_ns() - since) / 1e9 if since else 0.0

    def count(self, now: float) -> NodeCounters:
        """All counters of the node."""
        cells, member = self.page.cells, self._member
        cpu, memory = _usage(self.pid) if self.pid else self._used
        return NodeCounters(
            state=member.state,
            pid=self.pid,
            steps=cells[STEPS],
            errors=cells[ERRORS],
            rate=self._rate(now),
            p50=self.page.percentile(0.50),
            p95=self.page.percentile(0.95),
            cpu=cpu,
            memory=memory,
            busy=self.busy_for(),
            inputs={edge.spec.index: self._input(index) for index, edge in enumerate(member.inputs)},
            outputs={edge.spec.index: self._output(index) for index, edge in enumerate(member.outputs)},
        )

    def _input(self, index: int) -> EdgeCounters:
        # received before dropped before (elsewhere) sent: the number in flight is never negative
        block = self.page.input(index)
        received = self.page.cells[block]
        return EdgeCounters(
            received=received,
            copied=self.page.cells[block + 1],
            dropped=self.page.dropped(block),
            waiting=self.page.cells[block + WAITING],
        )

    def _output(self, index: int) -> EdgeCounters:
        block = self.page.output(index)
        dropped = self.page.dropped(block)
        waiting = self.page.cells[block + WAITING]
        return EdgeCounters(self.page.cells[block], self.page.cells[block + 1], dropped=dropped, waiting=waiting)

    def _rate(self, now: float) -> float:
        """Steps per second: over the last two seconds while it runs, else over all the time in which it ran."""
        cells = self.page.cells
        if self._member.state is NodeState.RUNNING and len(self._samples) > 1:
            begun, steps = self._samples[0]
            return (cells[STEPS] - steps) / (now - begun) if now > begun else 0.0
        lasted = (cells[LAST] - cells[FIRST]) / 1e9 if cells[FIRST] and cells[LAST] > cells[FIRST] else 0.0
        return cells[STEPS] / lasted if lasted else 0.0

    def close(self) -> None:
        self.hang_up()
        self.page.close()
        os.close(self.crash_file)


def _usage(pid: int) -> tuple[float, int]:
    """Processor seconds and resident bytes of a process; zeros when it has just ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE_SIZE
