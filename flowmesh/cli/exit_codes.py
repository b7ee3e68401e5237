"""Exit statuses of the commands, and the error of wrong usage."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
INCOMPLETE = 3  # done, but a recording is not whole
INTERRUPTED = 130  # by Ctrl+C, as shells count it


class UsageError(Exception):
    """The command was called wrongly; the text says how to call it."""
