"""CURVE key pairs, and the one of the user: made once, kept in a file that nobody else can read.

A secret is never printed, logged or put in an argument list.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

import zmq

from ..errors import LinkError


class KeyPair(NamedTuple):
    """A CURVE key pair as Z85 text."""

    public: str
    secret: str

    @classmethod
    def make(cls) -> KeyPair:
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())

    def __repr__(self) -> str:
        return f"<KeyPair {self.public}>"

    __str__ = __repr__


def user_keys() -> KeyPair:
    """The user's own key pair: a standing token among the processes of this user on this machine.

    Raises:
        LinkError: the file is readable by others, damaged, or can't be made; the text says what to do.
    """
    path = _state_folder() / "user.key"
    try:
        if not path.exists():
            _write(path, KeyPair.make())
        return _read(path)
    except OSError as error:
        raise LinkError(f"the user's key can't be kept in {path}: {error}; set XDG_STATE_HOME to another folder") from error


def _state_folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "flowmesh"


def _write(path: Path, keys: KeyPair) -> None:
    """Make the file whole or not at all; of two processes that make it at once, the first wins for both."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w") as file:
            file.write(f"{keys.public}\n{keys.secret}\n")
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _read(path: Path) -> KeyPair:
    with open(path) as file:
        state = os.fstat(file.fileno())
        if state.st_uid != os.getuid():
            raise LinkError(f"{path} belongs to another user: remove it, and a new one is made")
        if stat.S_IMODE(state.st_mode) & 0o077:
            raise LinkError(f"{path} can be read or written by others: chmod 600 {path}, or remove it to get new keys")
        lines = file.read().split()
    try:
        keys = KeyPair(*lines)
        if zmq.curve_public(keys.secret.encode()).decode() != keys.public:
            raise ValueError("the halves do not belong together")
    except (TypeError, ValueError, zmq.ZMQError) as error:
        raise LinkError(f"{path} is damaged ({error}): remove it, and a new one is made") from error
    return keys
