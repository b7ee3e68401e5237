"""Waiting in tests: for what an executor reports, and for the end of a process."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from flowmesh.jobs.executor import TaskEvent

SCALE = float(os.environ.get("FLOWMESH_TEST_SCALE", "1"))
SOON = 20.0 * SCALE


class Events:
    """Give it to an executor as `on_event`."""

    def __init__(self) -> None:
        self.seen: list[TaskEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: TaskEvent) -> None:
        with self._changed:
            self.seen.append(event)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], within: float = SOON) -> None:
        """Until it holds; looked at after each event."""
        with self._changed:
            assert self._changed.wait_for(condition, within), [event.kind for event in self.seen]


def wait_for_end(pid: int, within: float = SOON) -> None:
    """Until the process is no more."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], within)[0], f"process {pid} is still there"
    finally:
        os.close(descriptor)
