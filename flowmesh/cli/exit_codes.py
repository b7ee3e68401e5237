"""How a command ends: its exit status, and the error of one that was not asked for as it can be."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
INCOMPLETE = 3  # done, but a recording is not whole
INTERRUPTED = 130  # by Ctrl+C, as shells count it


class UsageError(Exception):
    """The command was called in a way that can't be; the text says how it can."""
