"""Retries of a task: whether there is one, when, and which workers it avoids.

`retries=0` starts a call once; `retries=n` at most n + 1 times, whatever the attempts failed of. A retry prefers a worker
that has not failed the task: it waits up to 10 s for one if one is registered, then takes the one that failed it longest
ago. Waits between attempts double, up to 60 s.
"""

from __future__ import annotations

from math import inf

from .tasks import TaskRecord
from .workers import TaskWorkers

PREFERS_ANOTHER = 10.0  # seconds that a retry waits for a worker that has not failed the task
LONGEST_BACKOFF = 60.0


def may_retry(task: TaskRecord) -> bool:
    """Whether an attempt is left."""
    return task.attempts <= task.options.retries


def backoff(task: TaskRecord) -> float:
    """Seconds until the next attempt may start."""
    return float(min(task.options.backoff * 2.0 ** min(task.attempts - 1, 16), LONGEST_BACKOFF))


def choose_avoided(task: TaskRecord, workers: TaskWorkers, now: float) -> None:
    """Set whom the task avoids now, and until when; to be asked again then, and when workers come or go.

    Names that were avoided from the start (a rejected result) give way likewise: a task that no other worker can take
    goes to one of them rather than nowhere.
    """
    options = task.options
    task.avoid = frozenset()
    task.avoid_until = inf
    if not options.other_worker:
        return
    failed = dict.fromkeys(task.submitted.avoid, task.submitted_at) | dict(task.failed_by)
    if not failed:
        return
    there = {worker.name for worker in workers.fitting(task.needs())}
    others = there - failed.keys()
    if others and now < task.ready_at + PREFERS_ANOTHER:
        task.avoid = frozenset(failed)
        task.avoid_until = task.ready_at + PREFERS_ANOTHER
    elif not others and there:
        longest_ago = min(there, key=lambda name: failed[name])
        task.avoid = frozenset(failed) - {longest_ago}
    # else: the wait for another was in vain, and any worker that is free will do
