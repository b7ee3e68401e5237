"""Who may connect: the answers that ZeroMQ asks for at each CURVE handshake (ZAP, RFC 27), without a thread.

Without an allow-list CURVE lets in anybody who makes a key: no socket binds before this one answers.
"""

from __future__ import annotations

import zmq
from zmq.utils import z85

_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_FIELDS = 7  # version, request id, domain, address, identity, mechanism, client key


class AllowList:
    """The keys (Z85) that are let in; all others are refused. `serve` is to be called when `socket` is readable."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)
        self._keys: set[str] = set()

    def allow(self, key: str) -> None:
        self._keys.add(key)

    def revoke(self, key: str) -> None:
        self._keys.discard(key)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def serve(self) -> None:
        """Answer all requests that wait."""
        while True:
            try:
                request = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            border = request.index(b"") + 1 if b"" in request else len(request)
            self.socket.send_multipart(request[:border] + self._answer(request[border:]))

    def _answer(self, fields: list[bytes]) -> list[bytes]:
        number = fields[1] if len(fields) > 1 else b""
        if len(fields) != _FIELDS or fields[0] != _VERSION or fields[5] != b"CURVE" or len(fields[6]) != 32:
            return [_VERSION, number, b"400", b"not a CURVE request", b"", b""]
        key = z85.encode(fields[6]).decode()
        if key not in self._keys:
            return [_VERSION, number, b"400", b"unknown key", b"", b""]
        return [_VERSION, number, b"200", b"OK", key.encode(), b""]

    def close(self) -> None:
        self.socket.close()
