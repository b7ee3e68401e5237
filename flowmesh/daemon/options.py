"""On what terms a worker serves: what its owner has chosen, and who is told what happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from ..wire.capacity import Capacity
from ..wire.messages import Message


def nobody(message: Message) -> None:
    """Who is told nothing."""


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker's owner has chosen.

    Attributes:
        id: what the owner calls the machine; shown in the status.
        pickle: whether pickled values are taken.
        link_port: at which port its link listens for those of other hosts; 0: any that is free.
        patience: seconds without a word of the Manager after which it is given up; None: never.
        capacity: what is offered to tasks.
        functions: the file with the functions that can be called by name; "" for none.
        tell: called with all that the Manager says and that is said to it.
    """

    id: str = ""
    pickle: bool = True
    link_port: int = 0
    patience: float | None = None
    tell: Callable[[Message], None] = nobody
    capacity: Capacity = field(default_factory=lambda: Capacity(slots=len(os.sched_getaffinity(0))))
    functions: str = ""
