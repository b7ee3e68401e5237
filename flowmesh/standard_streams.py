"""The program's standard streams, any of which may be closed or missing: a service or a desktop launcher starts it so."""

from __future__ import annotations

import os
import sys


def occupy_standard_descriptors() -> None:
    """Open /dev/null as each of the descriptors 0 to 2 that is closed, so that no socket of ours takes its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def stderr_is_terminal() -> bool:
    """Whether somebody looks at the program's standard error."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it was closed
        return False


def write_stderr(text: str) -> None:
    """Write to the program's standard error, where there is one."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it any more
        pass
