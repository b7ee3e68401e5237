"""A way between two links that can be cut, or held up, while both live: a thread that forwards TCP."""

from __future__ import annotations

import select
import socket
import threading


class Proxy:
    """Listens at `port`, forwards to another one.

    Attributes:
        forwarded: bytes, both ways.
        allowed: how many bytes may be forwarded from those who connect, if they are counted: `sent` of them were.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._others: dict[socket.socket, socket.socket] = {}
        self._accepted: set[socket.socket] = set()
        self._cut = threading.Event()
        self.forwarded = self.sent = 0
        self.allowed: int | None = None
        self.connections = 0
        threading.Thread(target=self._run, daemon=True).start()

    def cut(self) -> None:
        """Reset all connections; new ones are let through."""
        self._cut.set()

    def _run(self) -> None:
        while True:
            ready = select.select([self._listener, *self._heard()], [], [], 0.02)[0]
            if self._cut.is_set():
                self._cut.clear()
                for each in self._others:
                    each.close()
                self._others.clear()
                continue
            for each in ready:
                if each is self._listener:
                    self._connect(each.accept()[0])
                elif each in self._others:
                    self._forward(each)

    def _heard(self) -> list[socket.socket]:
        """Those from which may be read now."""
        held = self.allowed is not None and self.sent >= self.allowed
        return [each for each in self._others if not (held and each in self._accepted)]

    def _connect(self, accepted: socket.socket) -> None:
        dialled = socket.create_connection(("127.0.0.1", self._target))
        self._others |= {accepted: dialled, dialled: accepted}
        self._accepted.add(accepted)
        self.connections += 1

    def _forward(self, source: socket.socket) -> None:
        target = self._others[source]
        try:
            data = source.recv(65536)
            target.sendall(data)
        except OSError:
            data = b""
        self.forwarded += len(data)
        self.sent += len(data) if source in self._accepted else 0
        if not data:
            for each in (source, target):
                self._others.pop(each, None)
                each.close()
