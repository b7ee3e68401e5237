"""What a worker offers to tasks, as it registers."""

from __future__ import annotations

import msgspec


class Capacity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker offers to tasks.

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
