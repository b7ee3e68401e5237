"""Throttle: limits the chunks per second. It forwards the received chunk: no frame is copied."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..chunk import DataChunk
from ..errors import GraphError
from ..node import is_number, register
from .base import ItemNode, only


class Throttle(ItemNode):
    """A step that forwards a limited number of chunks per second of each sender, evenly spread, and drops and counts
    the others.

    It looks at when chunks arrive, not at when they were made. Each is passed on as it came, without a copy.

    >>> preview = Throttle("preview", per_second=5)
    >>> manager.request_registered_method("preview", "dropped")  # doctest: +SKIP

    Args:
        name: the node's name.
        per_second: how many chunks a second, above 0; 0.1 is one in ten seconds.
        options: options of Node: `hold`, ...

    Raises:
        GraphError: a value that can't be.
    """

    def __init__(self, name: str | None = None, *, per_second: float, **options: Any) -> None:
        super().__init__(name, **options)
        if not is_number(per_second) or not 0 < per_second < float("inf"):
            raise GraphError(f"{self.name}: per_second is a number of chunks a second above 0, not {per_second!r}")
        self.per_second = per_second
        self._dropped: Counter[str] = Counter()

    def setup(self) -> None:
        self._due: dict[str, float] = {}
        self._dropped.clear()

    def step(self, data: Mapping[str, DataChunk]) -> DataChunk | None:
        sender, chunk = only(data)
        if self._is_due(sender, time.monotonic()):
            return chunk
        self._dropped[sender] += 1
        return None

    def teardown(self) -> None:
        for sender, count in self._dropped.items():
            self.logger.info("%d chunks of %s were not passed on", count, sender)

    @register
    def dropped(self) -> int:
        """The number of chunks that it did not pass on; it is logged at the end, too."""
        return self._dropped.total()

    def _is_due(self, sender: str, now: float) -> bool:
        """Whether a chunk may pass. The next one's time counts from when this one was due, not from when it came: else 10
        a second of 30 would be 7.5 of them wherever a frame comes a little early. What is late by a period is forgiven."""
        period = 1.0 / self.per_second
        due = self._due.get(sender, now)
        if now < due:
            return False
        self._due[sender] = max(due, now - period) + period
        return True
