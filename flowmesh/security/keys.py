"""CURVE key pairs, and each user's own. A secret is never printed: not by a repr, not by an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import zmq

from ..errors import LinkError
from . import state_dir


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair as Z85 text, 40 characters each (https://rfc.zeromq.org/spec/32)."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls) -> KeyPair:
        """Make a new pair."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


def user_keys() -> KeyPair:
    """The user's own pair, made on first use: `$XDG_STATE_HOME/flowmesh/user.key` (default: `~/.local/state`).

    Anyone who can read that file can join the user's Managers, so only the user may have access.

    Raises:
        LinkError: the file can be read or written by others, belongs to another user, is damaged, or can't be made.
    """
    path = state_dir.folder() / "user.key"
    try:
        if not path.exists():
            pair = KeyPair.make()
            state_dir.write(path, f"{pair.public}\n{pair.secret}\n", replace=False)
        return _parse(state_dir.read(path, 200), path)
    except OSError as error:
        place = f"the user's key can't be kept in {path}"
        raise LinkError(f"{place}: {error}; mend it, or set XDG_STATE_HOME to a directory of your own") from error


def _parse(text: str, path: Path) -> KeyPair:
    public, _, secret = text.removesuffix("\n").partition("\n")
    try:
        if zmq.curve_public(secret.encode()) == public.encode():
            return KeyPair(public, secret)
    except (zmq.ZMQError, ValueError):
        pass  # no key at all: reported below, and without the cause, which may quote the secret
    raise LinkError(f"the user's key {path} is damaged: remove it, and a new one is made")
