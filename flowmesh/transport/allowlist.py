"""The allowlist of keys: the answers to libzmq's ZAP requests (https://rfc.zeromq.org/spec/27). No thread; nothing
blocks.

libzmq asks at each handshake and lets the peer wait for the answer; the owner of the sockets calls `serve`. A peer
whose key is not on the list, or that does not speak CURVE, is denied. ZAP is asked once per connection: the receiver of
messages must look up keys that were revoked later.
"""

from __future__ import annotations

import zmq
from zmq.utils import z85

from ..errors import LinkError

VERSION = b"1.0"


class AllowList:
    """The keys (Z85) that may connect to the sockets of `context`. Make it before the first of them binds.

    Attributes:
        socket: readable when requests wait.

    Raises:
        LinkError: the context has an allow-list already.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._keys: set[str] = set()
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        try:
            self.socket.bind("inproc://zeromq.zap.01")
        except zmq.ZMQError as error:
            self.socket.close()
            raise LinkError(f"the allow-list can't run: {error}") from error

    def allow(self, key: str) -> None:
        """Accept `key`. A text that is no key does no harm: no peer can have it."""
        self._keys.add(key)

    def revoke(self, key: str) -> None:
        """Do not accept `key` any more. Connections that it has are not cut."""
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
            self.socket.send_multipart(self._answer(request))

    def _answer(self, request: list[bytes]) -> list[bytes]:
        match request:
            case [b"1.0", number, _domain, _address, _routing_id, b"CURVE", credentials] if len(credentials) == 32:
                key = z85.encode(credentials)
                if key.decode() in self._keys:
                    return [VERSION, number, b"200", b"OK", key, b""]
                return [VERSION, number, b"400", b"this key is not allowed", b"", b""]
            case [b"1.0", number, _domain, _address, _routing_id, _mechanism, *_]:
                return [VERSION, number, b"400", b"only CURVE is allowed", b"", b""]
            case _:
                return [VERSION, b"".join(request[1:2]), b"500", b"not a ZAP 1.0 request", b"", b""]
