"""The exit of a forked process: flushes its output, runs its exit handlers, tears down nothing of the fork server."""

from __future__ import annotations

import atexit
import os
import sys


def exit_process(status: int) -> None:
    """Run what was registered with `atexit`, flush both streams and end the process."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(status)
