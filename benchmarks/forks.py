"""Bare processes for the floors: forked, each reports a few numbers, and none outlives the measurement.

Nothing of flowmesh is used here.
"""

from __future__ import annotations

import gc
import math
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence

import msgspec

Work = Callable[[], dict[str, float]]
_WITHIN = 120.0  # seconds for any one measurement of a floor


class Report(msgspec.Struct):
    """What a piece of work returned, and the processor seconds that it took."""

    values: dict[str, float]
    cpu: float


def run(works: Sequence[Work], within: float = _WITHIN) -> list[Report]:
    """Run each piece of work in a process of its own, all at once; what they report, in the same order.

    Raises:
        TimeoutError: it took longer than `within` seconds; ChildProcessError: a process ended without a report.
    """
    until = time.monotonic() + within
    children: list[tuple[int, int]] = []
    try:
        for work in works:
            children.append(_fork(work, within))
        return [_report(reader, until) for reader, _ in children]
    finally:
        for reader, pid in children:
            os.close(reader)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork(work: Work, within: float) -> tuple[int, int]:
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl+C is the parent's: it kills us
        signal.alarm(math.ceil(within) + 1)  # also when nobody is left to kill us
        gc.freeze()
        begun = time.process_time()
        values = work()
        os.write(writer, msgspec.msgpack.encode(Report(values, time.process_time() - begun)))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _report(reader: int, until: float) -> Report:
    ready, _, _ = select.select([reader], [], [], max(0.0, until - time.monotonic()))
    if not ready:
        raise TimeoutError("a floor did not end in time")
    packed = os.read(reader, 4096)
    if not packed:
        raise ChildProcessError("a process of a floor ended without a report: see what it printed above")
    return msgspec.msgpack.decode(packed, type=Report)
