"""What is kept from one Manager to the next where a token was made with `keep=True`: keys, at both ends, and nothing else.

The Manager's user keeps which workers' keys may come back; the worker's user keeps the worker's own key pair, and whose
Managers it obeys. What can't be read is no key, and is told.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from ..errors import LinkError
from ..security import state_dir
from ..security.keys import KeyPair
from .enrollment import Membership

_MOST = 10 * 1024**2  # characters: far more than anybody has workers


class WorkerKeystore:
    """The keys that all Managers of this user let in: `workers.keys`, a line of key and name each."""

    def __init__(self) -> None:
        self._path = state_dir.folder() / "workers.keys"

    def load(self) -> dict[str, str]:
        """{key: name}.

        Raises:
            LinkError: the file can't be read, or others can.
        """
        try:
            lines = state_dir.read(self._path, _MOST).splitlines()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise LinkError(f"the kept workers can't be read from {self._path}: {error}") from error
        pairs = [line.split() for line in lines]
        return {pair[0]: unquote(pair[1]) for pair in pairs if len(pair) == 2}

    def add(self, key: str, name: str) -> None:
        """Let this key in from now on."""
        self._change(lambda kept: kept.update({key: name}))

    def remove(self, key: str) -> None:
        """Let this key in no more."""
        self._change(lambda kept: kept.pop(key, None))

    def _change(self, change: Callable[[dict[str, str]], object]) -> None:
        try:
            with state_dir.alone(self._path):
                kept = self.load()
                change(kept)
                lines = [f"{key} {quote(name)}\n" for key, name in kept.items()]
                state_dir.write(self._path, "".join(lines), replace=True)
        except OSError as error:
            raise LinkError(f"the kept workers can't be written to {self._path}: {error}") from error


class _KeyFile(msgspec.Struct, frozen=True):
    hosts: tuple[str, ...]
    port: int
    server_key: str
    public: str
    secret: str


def save_access(name: str, access: Membership) -> None:
    """Keep what the worker of that name joins with.

    Raises:
        LinkError: it can't be written.
    """
    path = _place(name)
    inside = _KeyFile(access.hosts, access.port, access.server_key, access.own.public, access.own.secret)
    try:
        state_dir.write(path, msgspec.json.encode(inside).decode(), replace=True)
    except OSError as error:
        raise LinkError(f"the worker's key can't be kept in {path}: {error}") from error


def load_access(name: str) -> Membership | None:
    """What was kept for the worker of that name; None where nothing was.

    Raises:
        LinkError: it is damaged, or others can read it.
    """
    path = _place(name)
    try:
        inside = msgspec.json.decode(state_dir.read(path, _MOST), type=_KeyFile)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LinkError(f"the worker's key can't be read from {path}: {error}") from error
    except (msgspec.DecodeError, UnicodeError):
        raise LinkError(f"the worker's key {path} is damaged: remove it, and join with a new token") from None
    own = KeyPair(inside.public, inside.secret)
    access = Membership(inside.hosts, inside.port, inside.server_key, own, None)
    access.own, access.enrolled, access.kept = own, True, True
    return access


def _place(name: str) -> Path:
    return state_dir.folder() / "access" / f"{quote(name, safe='')}.key"
