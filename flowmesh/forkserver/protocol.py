"""The messages between a worker and its fork server. It imports nothing that the worker's own process does not need."""

from __future__ import annotations

import msgspec


class ForkRequest(msgspec.Struct, frozen=True, tag=True):
    """Worker → fork server, with the child's end of its message socket. `seat` is the worker's number for it, never
    used again; the child calls `main(descriptor)` of that module, which only it imports."""

    seat: int
    module: str


class PreloadRequest(msgspec.Struct, frozen=True, tag=True):
    """Worker → fork server: import this before the next fork."""

    module: str


class Forked(msgspec.Struct, frozen=True, tag=True):
    """Fork server → worker."""

    seat: int
    pid: int


class Exited(msgspec.Struct, frozen=True, tag=True):
    """Fork server → worker: `status` is negative for a signal; `cpu` in seconds, `memory` its largest, in bytes."""

    pid: int
    status: int
    cpu: float
    memory: int


Request = ForkRequest | PreloadRequest
News = Forked | Exited
encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_news = msgspec.msgpack.Decoder(News).decode
