"""Keys that are kept from one Manager to the next, at both ends, for tokens made with `keep=True`.

The Manager's user keeps which workers' keys may come back; the worker's user keeps the worker's own key pair, and whose
Managers it obeys. An unreadable entry is no key, and is reported.
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

_MOST = 10 * 1024**2  # characters: far more than any number of workers needs


class WorkerKeystore:
    """The keys that all Managers of this user accept: `workers.keys`, one line of key and name per worker."""

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
        """Accept this key from now on."""
        self._change(lambda kept: kept.update({key: name}))

    def remove(self, key: str) -> None:
        """Do not accept this key any more."""
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
    """Save the membership of the worker of that name.

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
    """The saved membership of the worker of that name; None if there is none.

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
