"""Failures that no verb has raised yet: a program that waits for none is told by its log, and no failure is told twice.

No I/O. Errors are given from the threads of the verbs, all else from the Manager's.
"""

from __future__ import annotations

from collections import deque

from ...errors import FlowmeshError
from ..effect import Log

_PATIENCE = 1.0  # seconds: a program that looks after its graph waits, or looks again, within that


class UnraisedFailures:
    """What the log is to say of failures, kept until a verb has raised them or the time is up."""

    def __init__(self) -> None:
        self._notes: list[tuple[float, Log]] = []
        self._raised: deque[str] = deque()

    def put(self, note: Log, now: float) -> None:
        """Keep the note of a failure."""
        self._notes.append((now + _PATIENCE, note))

    def raised(self, error: FlowmeshError) -> None:
        """A verb raises this error to the program, with the notes that it has."""
        self._raised.append("\n".join([str(error), *getattr(error, "__notes__", ())]))

    def due(self, now: float) -> list[Log]:
        """The notes that are to be logged now."""
        while self._raised:
            text = self._raised.popleft()
            self._notes = [(due, note) for due, note in self._notes if note.text not in text]
        ready = [note for due, note in self._notes if due <= now]
        self._notes = [(due, note) for due, note in self._notes if due > now]
        return ready
