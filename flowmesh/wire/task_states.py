"""The states of a task, as one table. Nothing else sets a task's state; an illegal move raises.

A task waits for the tasks among its arguments, is ready, runs, and joins: its call has returned, and tasks that it
submitted have not ended. From running back to ready is a retry.
"""

from __future__ import annotations

from enum import Enum

from .states import Table


class TaskState(Enum):
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    JOINING = "joining"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_T = TaskState

TASK: Table[TaskState] = {
    _T.WAITING: {"needs met": _T.READY, "given": _T.DONE, "failed": _T.FAILED, "cancelled": _T.CANCELLED},
    _T.READY: {"sent": _T.RUNNING, "failed": _T.FAILED, "cancelled": _T.CANCELLED},
    _T.RUNNING: {
        "returned": _T.JOINING,
        "retried": _T.READY,
        "failed": _T.FAILED,
        "cancelled": _T.CANCELLED,
    },
    _T.JOINING: {"joined": _T.DONE, "failed": _T.FAILED, "cancelled": _T.CANCELLED},
    _T.DONE: {},
    _T.FAILED: {},
    _T.CANCELLED: {},
}

ENDED = frozenset({_T.DONE, _T.FAILED, _T.CANCELLED})
