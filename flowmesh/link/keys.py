"""CURVE key pairs, and the one that each user has. A secret is never printed: not by a repr, not by an error."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from ..errors import LinkError


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair as Z85 text, 40 characters each (https://rfc.zeromq.org/spec/32)."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls) -> KeyPair:
        """A new pair, which nobody else has."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


def user_keys() -> KeyPair:
    """The user's own pair, made on first use: `$XDG_STATE_HOME/flowmesh/user.key` (default: `~/.local/state`).

    Whoever can read that file can join the user's Managers, so it must be the user's alone.

    Raises:
        LinkError: the file can be read or written by others, belongs to another user, is damaged, or can't be made.
    """
    try:
        path = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "flowmesh" / "user.key"
    except RuntimeError as error:
        raise LinkError("the user's key has no place: there is no home directory; set XDG_STATE_HOME") from error
    try:
        if not path.exists():
            _make(path)
        return _parse(_read(path), path)
    except OSError as error:
        place = f"the user's key can't be kept in {path}"
        raise LinkError(f"{place}: {error}; mend it, or set XDG_STATE_HOME to a directory of your own") from error


def _make(path: Path) -> None:
    """Link a whole file into place, so that of several processes one wins and none ever reads half a key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".user.key.{secrets.token_hex(8)}")
    pair = KeyPair.make()
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(f"{pair.public}\n{pair.secret}\n")
            file.flush()
            os.fsync(file.fileno())  # an empty key after a power cut would lock the user out
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its pair is the user's
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> str:
    # not blocking: a FIFO laid there must not hang the program; the checks look at what was opened, not at the name
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="ascii", errors="replace") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid():
            raise LinkError(f"the user's key {path} belongs to user {status.st_uid}: remove it, or set XDG_STATE_HOME")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise LinkError(f"the user's key {path} is open to other users: run `chmod 600 {path}`")
        return file.read(200)


def _parse(text: str, path: Path) -> KeyPair:
    public, _, secret = text.removesuffix("\n").partition("\n")
    try:
        if zmq.curve_public(secret.encode()) == public.encode():
            return KeyPair(public, secret)
    except (zmq.ZMQError, ValueError):
        pass  # no key at all: told below, and without the cause, which may quote the secret
    raise LinkError(f"the user's key {path} is damaged: remove it, and a new one is made")
