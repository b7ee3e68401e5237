"""The checked capacity of a worker for tasks, from its owner's options."""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import WorkerError
from ..wire.capacity import Capacity

MOST_SLOTS = 1000


def offer(
    slots: int | None = None,
    kind: str = "python",
    labels: Iterable[str] = (),
    price: float = 0.0,
    functions: str | Path | None = None,
    only_registered: bool = False,
) -> Capacity:
    """The capacity of a worker. `slots=None` is one for each processor that may be used.

    Raises:
        WorkerError: a value is wrong, or the file of functions can't be read.
    """
    if slots is None:
        slots = len(os.sched_getaffinity(0))
    if not isinstance(slots, int) or isinstance(slots, bool) or not 0 <= slots <= MOST_SLOTS:
        raise WorkerError(f"slots must be an integer from 0 to {MOST_SLOTS}, got {slots!r}")
    if not isinstance(kind, str) or not kind:
        raise WorkerError(f"kind must be a text, got {kind!r}")
    labels = (labels,) if isinstance(labels, str) else tuple(sorted(labels))
    if not all(isinstance(label, str) and label for label in labels):
        raise WorkerError(f"labels must be texts, got {labels!r}")
    if not isinstance(price, int | float) or isinstance(price, bool) or not (math.isfinite(price) and price >= 0):
        raise WorkerError(f"price must be a number of units a second from 0, got {price!r}")
    if only_registered and functions is None:
        raise WorkerError("only_registered needs functions=: a file with the functions that may be called")
    names = () if functions is None else function_names(str(functions))
    return Capacity(slots, kind, labels, float(price), names, bool(only_registered))


def function_names(path: str) -> tuple[str, ...]:
    """The public functions that a file defines at top level; nothing of it is run.

    Raises:
        WorkerError: the file can't be read or parsed, or defines none.
    """
    try:
        tree = ast.parse(Path(path).read_text(), path)
    except (OSError, SyntaxError, ValueError) as error:
        raise WorkerError(f"the file of functions {path!r} can't be read: {error}") from error
    names = tuple(
        statement.name
        for statement in tree.body
        if isinstance(statement, ast.FunctionDef) and not statement.name.startswith("_")
    )
    if not names:
        raise WorkerError(f"the file of functions {path!r} must define a function at top level, got none")
    return names
