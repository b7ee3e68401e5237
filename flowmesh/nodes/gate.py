"""Gate: passes chunks on while it is open. It forwards the received chunk: no frame is copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..chunk import DataChunk
from ..errors import GraphError
from ..node import register
from .base import ItemNode, only


class Gate(ItemNode):
    """A step that passes chunks on while it is open, and drops and counts them while it is closed.

    Any number of nodes may send to it; each chunk is passed on as it came, without a copy.

    >>> record = Gate("record", opened=False)
    >>> manager.request_registered_method("record", "open")     # doctest: +SKIP

    Args:
        name: the node's name.
        opened: whether it is open when the graph starts.
        options: options of Node: `hold`, ...

    Raises:
        GraphError: a value that can't be.
    """

    def __init__(self, name: str | None = None, *, opened: bool = True, **options: Any) -> None:
        super().__init__(name, **options)
        if not isinstance(opened, bool):
            raise GraphError(f"{self.name}: opened is True or False, not {opened!r}")
        self.opened = opened
        self._dropped = 0

    def setup(self) -> None:
        self._open, self._dropped = self.opened, 0

    def step(self, data: Mapping[str, DataChunk]) -> DataChunk | None:
        if self._open:
            return only(data)[1]
        self._dropped += 1
        return None

    def teardown(self) -> None:
        if self._dropped:
            self.logger.info("%d chunks came while it was closed", self._dropped)

    @register
    def open(self) -> None:
        """Pass on from the next chunk on."""
        self._open = True

    @register
    def close(self) -> None:
        """Drop from the next chunk on."""
        self._open = False

    @register
    def is_open(self) -> bool:
        """Whether it passes on."""
        return self._open

    @register
    def dropped(self) -> int:
        """The number of chunks that came while it was closed; it is logged at the end, too."""
        return self._dropped
