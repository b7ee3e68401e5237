"""The lifeline between a script and its worker daemon: the Manager to join, the result; its end of file ends the
worker.

The kernel closes it however the script ends; the daemon then tears down and leaves.
"""

from __future__ import annotations

import msgspec

from ..wire.capacity import Capacity


class ConnectRequest(msgspec.Struct, frozen=True):
    """Script → daemon: register with this Manager under this name."""

    name: str
    host: str | None
    port: int | None
    timeout: float
    token: str = ""
    capacity: Capacity = Capacity()
    functions: str = ""

    def __repr__(self) -> str:  # the token is a secret
        return f"<Join as {self.name!r} to {self.host}:{self.port}>"


class ConnectReply(msgspec.Struct, frozen=True):
    """Daemon → script: registered, or `error` has the reason."""

    error: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_join = msgspec.msgpack.Decoder(ConnectRequest).decode
decode_joined = msgspec.msgpack.Decoder(ConnectReply).decode
