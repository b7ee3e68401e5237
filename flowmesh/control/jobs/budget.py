"""The budget of an executor, in units: price × timeout is reserved before an attempt, seconds × price are charged after.

No money moves. What was reserved and what was spent never exceed the budget together: an attempt is charged at most what
was reserved for it.
"""

from __future__ import annotations

from .tasks import ExecutorRecord

ROUNDING = 1e-9  # units: sums of many small amounts are not exact


def covers(executor: ExecutorRecord, amount: float) -> bool:
    """Whether this much can be reserved now."""
    return executor.budget is None or executor.spent + executor.reserved + amount <= executor.budget + ROUNDING


def could_cover(executor: ExecutorRecord, amount: float) -> bool:
    """Whether it could be reserved if nothing else were."""
    return executor.budget is None or executor.spent + amount <= executor.budget + ROUNDING


def reserve(executor: ExecutorRecord, amount: float) -> None:
    executor.reserved += amount


def charge(executor: ExecutorRecord, reserved: float, cost: float) -> None:
    """An attempt has ended: what was reserved for it is free again, what it cost is spent."""
    executor.reserved = max(0.0, executor.reserved - reserved)
    executor.spent += cost


def exceeded(executor: ExecutorRecord, amount: float) -> str:
    """Why there is no attempt."""
    return (
        f"the next attempt may cost {amount:.4g}, and of the budget of {executor.budget:.4g} {executor.spent:.4g} is spent: "
        "give the executor a larger budget or the task a shorter timeout"
    )
