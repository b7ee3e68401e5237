"""Failures of tasks as exceptions, and back. The exception of the task's own code is raised where it can be unpickled."""

from __future__ import annotations

import pickle

from ..errors import BudgetError, DeadlineError, TaskDied, TaskError
from ..wire.job_messages import TaskFailure

LARGEST_EXCEPTION = 256 * 1024  # bytes of a pickle


def exception_of(failure: TaskFailure) -> BaseException:
    """What `Task.result` raises for this failure."""
    told: BaseException
    match failure.reason:
        case "timeout" | "wait" | "deadline":
            told = DeadlineError(failure.text)
        case "died" | "lost":
            told = TaskDied(failure.text, worker=failure.worker, attempt=failure.attempt)
        case "budget":
            told = BudgetError(failure.text)
        case _:
            told = TaskError(failure.text, worker=failure.worker, attempt=failure.attempt)
    original = _unpickled(failure.exception)
    if original is None:
        return told
    if failure.reason == "dependency":
        told.__cause__ = original
        return told
    original.__cause__ = told
    return original


def _unpickled(data: bytes) -> BaseException | None:
    """The original exception; None where there is none, or its class can't be loaded here."""
    if not data:
        return None
    try:
        error = pickle.loads(data)
    except Exception:  # its class is not here, or raises while it is made
        return None
    return error if isinstance(error, BaseException) else None


def pickled_exception(error: BaseException) -> bytes:
    """The exception as a pickle that can be loaded again; empty where that can't be."""
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        return b""
    return data if len(data) <= LARGEST_EXCEPTION else b""
