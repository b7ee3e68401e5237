"""Failures that no verb has raised yet: they go to the log of a program that calls no verb; none is shown twice.

No I/O. Verbs report errors from their own threads; all other calls come from the Manager's.
"""

from __future__ import annotations

from collections import deque

from ...errors import FlowmeshError
from ..effect import Log

_PATIENCE = 1.0  # seconds: a program that looks after its graph waits, or looks again, within that


class UnraisedFailures:
    """Log notes of failures, kept until a verb has raised them or the time is up."""

    def __init__(self) -> None:
        self._notes: list[tuple[float, Log]] = []
        self._raised: deque[str] = deque()

    def put(self, note: Log, now: float) -> None:
        """Keep the note of a failure."""
        self._notes.append((now + _PATIENCE, note))

    def raised(self, error: FlowmeshError) -> None:
        """Note that a verb raises this error, with its notes, to the program."""
        self._raised.append("\n".join([str(error), *getattr(error, "__notes__", ())]))

    def due(self, now: float) -> list[Log]:
        """The notes that are to be logged now."""
        while self._raised:
            text = self._raised.popleft()
            self._notes = [(due, note) for due, note in self._notes if note.text not in text]
        ready = [note for due, note in self._notes if due <= now]
        self._notes = [(due, note) for due, note in self._notes if due > now]
        return ready
