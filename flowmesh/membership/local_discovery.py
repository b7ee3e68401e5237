"""Discovery of running Managers on one machine, by abstract sockets `flowmesh/<user id>/<port>/<key>/<nonce>`.

A beacon answers every request with its Manager's address; `key` is the fingerprint of the user's key, with which admin
clients enroll. Nothing is on disk, and the kernel removes the beacon with the process. A beacon gives no trust: its
answer counts only if the kernel says that it is the same user's process, and the dialler checks the Manager's key as
always.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from ..wire.fingerprints import short

_PATIENCE = 1.0  # seconds that a Manager has to answer: its thread answers at once, unless it is very busy
_AT_ONCE = 100  # so that requests can't keep a Manager from its work
_ANY = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}


class FoundManager(NamedTuple):
    """A Manager of this user on this machine, and the process that it is in."""

    host: str
    port: int
    pid: int


class ManagerBeacon:
    """The beacon of a Manager that listens at host:port and has this public key. Its owner waits for `fileno`, then
    calls `answer`."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._address = f"{_ANY.get(host, host)} {port}".encode()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        # The nonce: no other process can take the name first, and one port at two addresses has two beacons.
        self._socket.bind(f"\0{_prefix()}{port}/{short(key)}/{secrets.token_hex(8)}")
        self._socket.listen()

    def fileno(self) -> int:
        return self._socket.fileno()

    def answer(self) -> None:
        """Answer the requests that wait with the address."""
        for _ in range(_AT_ONCE):
            try:
                asking, _ = self._socket.accept()
            except BlockingIOError:
                return
            with asking:
                try:
                    asking.send(self._address, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                except OSError:
                    pass  # the asking process has gone

    def close(self) -> None:
        self._socket.close()


def managers(key: str) -> list[FoundManager]:
    """The Managers with this public key that run on this machine, by port."""
    start, ours = f"@{_prefix()}", f"/{short(key)}/"
    names = {line.rpartition(" ")[2] for line in Path("/proc/net/unix").read_text().splitlines()}
    found = [_ask(name) for name in names if name.startswith(start) and ours in name]
    return sorted((each for each in found if each is not None), key=lambda each: each.port)


def _ask(name: str) -> FoundManager | None:
    """The Manager behind a beacon; None if it is not this user's, or does not answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.settimeout(_PATIENCE)
            asking.connect(f"\0{name[1:]}")
            pid, user, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            host, _, port = asking.recv(300).decode().partition(" ")
            return FoundManager(host, int(port), pid) if user == os.geteuid() else None
    except (OSError, ValueError):
        return None


def _prefix() -> str:
    return f"flowmesh/{os.geteuid()}/"
