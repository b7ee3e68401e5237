"""The user's key files. A file that others can read or write is rejected.

They are in `$XDG_STATE_HOME/flowmesh` (default: `~/.local/state/flowmesh`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import LinkError


def folder() -> Path:
    """The folder of the files.

    Raises:
        LinkError: there is no home directory.
    """
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "flowmesh"
    except RuntimeError as error:
        raise LinkError("the user's keys have no place: there is no home directory; set XDG_STATE_HOME") from error


def read(path: Path, most: int) -> str:
    """The first `most` characters of a file.

    Raises:
        LinkError: others can read or write it, or it is another user's.
        OSError: it can't be read.
    """
    # not blocking: a FIFO laid there must not hang the program; the checks look at what was opened, not at the name
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="ascii", errors="replace") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid():
            raise LinkError(f"the key file {path} belongs to user {status.st_uid}: remove it, or set XDG_STATE_HOME")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise LinkError(f"the key file {path} is open to other users: run `chmod 600 {path}`")
        return file.read(most)


def write(path: Path, text: str, *, replace: bool) -> None:
    """Put a whole file into place, so that no process reads half of it. Without `replace`, one of several processes
    wins.

    Raises:
        OSError: it can't be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # an empty key after a power cut would lock the user out
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: what it wrote counts
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock, so that no other process is in here for the same file.

    Raises:
        OSError: the folder can't be made or written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
