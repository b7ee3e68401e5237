"""Wiping of secrets from the command line and the environment, where other processes could read them.

/proc/PID/cmdline, which every user may read, and /proc/PID/environ, which the same user may read, show this process's
own memory. Nothing heavy is imported here: it runs before anything else does. Between the program's start and the
wiping, some 30 ms, the secret can be seen; so it can in the shell's history. To avoid that, use a file or standard
input.
"""

from __future__ import annotations

_CMDLINE = (48, 49)  # proc(5), stat: where the arguments begin and end; then the environment
_ENVIRON = (50, 51)


def wipe_argument(secret: str) -> bool:
    """Overwrite `secret` in what /proc/self/cmdline shows; returns whether it is gone."""
    return _wipe(secret, _CMDLINE)


def wipe_variable(secret: str) -> bool:
    """Overwrite `secret` in what /proc/self/environ shows; returns whether it is gone."""
    return _wipe(secret, _ENVIRON)


def _wipe(secret: str, between: tuple[int, int]) -> bool:
    raw = secret.encode()
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
        begin, end = (int(fields[number - 3]) for number in between)
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(begin)
            text = memory.read(end - begin)
            memory.seek(begin)
            memory.write(text.replace(raw, b"*" * len(raw)))
    except (OSError, ValueError, IndexError):
        return False  # a hardened kernel may not let us
    return True
