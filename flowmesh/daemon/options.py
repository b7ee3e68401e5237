"""The options of a worker, as its owner has chosen them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from ..wire.capacity import Capacity
from ..wire.messages import Message


def nobody(message: Message) -> None:
    """Ignore a message."""


@dataclass(frozen=True)
class WorkerOptions:
    """The options of a worker.

    Attributes:
        id: what the owner calls the machine; shown in the status.
        pickle: whether pickled values are taken.
        link_port: the port at which its gateway listens for those of other hosts; 0: any free one.
        patience: seconds without a message of the Manager after which it is given up; None: never.
        capacity: the capacity for tasks.
        functions: the file with the functions that can be called by name; "" for none.
        tell: called with every message from and to the Manager.
    """

    id: str = ""
    pickle: bool = True
    link_port: int = 0
    patience: float | None = None
    tell: Callable[[Message], None] = nobody
    capacity: Capacity = field(default_factory=lambda: Capacity(slots=len(os.sched_getaffinity(0))))
    functions: str = ""
