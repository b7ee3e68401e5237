"""The capacity for tasks that a worker registers with. No I/O."""

from __future__ import annotations

import msgspec


class Capacity(msgspec.Struct, frozen=True, omit_defaults=True):
    """The capacity of a worker for tasks.

    Attributes:
        slots: tasks that run at a time; 0: none do.
        price: units for each second of a task.
        functions: the names of functions that can be called by name there.
        only_registered: whether it runs these functions only.
    """

    slots: int = 0
    kind: str = "python"
    labels: tuple[str, ...] = ()
    price: float = 0.0
    functions: tuple[str, ...] = ()
    only_registered: bool = False
