"""Admin clients of a running Manager: their keys, and the log that they may read. No I/O.

An admin client is a key that the user's standing key has vouched for; neither a worker's key nor a token's is one. This
Machine decides which requests are allowed; others execute them.
"""

from __future__ import annotations

from collections import deque

import msgspec

from ...wire.messages import (
    AdminHello,
    AdminLogLine,
    AdminReply,
    AdminRequest,
    AnyMessage,
    Departure,
    Dismiss,
    Enrollment,
    Heartbeat,
    LogRequest,
    Request,
)
from ..effect import Log
from ..manager.effects import AllowKey, HandleAdminRequest, ManagerEffect, RevokeKey, SendToPeer

KEPT = 1000  # lines of the log
SILENCE = 10.0  # seconds after which a silent admin client is revoked: it was killed


class AdminClients:
    """The admin clients, by their keys, and the log that they may read.

    Args:
        standing: the user's standing public key, with which admin clients enroll their own; "" where none may.
    """

    def __init__(self, standing: str) -> None:
        self._standing = standing
        self._heard_at: dict[str, float] = {}
        self._followers: dict[str, LogRequest] = {}
        self._lines: deque[AdminLogLine] = deque(maxlen=KEPT)

    def __contains__(self, key: object) -> bool:
        return key in self._heard_at

    def concerns(self, key: str, message: AnyMessage) -> bool:
        """Whether this message comes from an admin client, or asks to become one."""
        return key in self._heard_at or isinstance(message, AdminHello | Request)

    def received_from_admin(self, key: str, message: AnyMessage, now: float) -> list[ManagerEffect]:
        """Handle a message from the holder of `key`."""
        if isinstance(message, AdminHello):
            return self._admit(key, message.key, now)
        if key not in self._heard_at:
            refusal = "this key may not operate the Manager: only its own user may, from a command of flowmesh"
            return [SendToPeer(key, AdminReply(message.call_id, error=refusal))] if isinstance(message, Request) else []
        self._heard_at[key] = now
        match message:
            case LogRequest():
                return self._follow(key, message)
            case Heartbeat():
                return [SendToPeer(key, Heartbeat())]
            case Departure():
                return self._forget(key)
            case _:
                return [HandleAdminRequest(key, message)] if isinstance(message, AdminRequest) else []

    def log_line(self, note: Log, time: float) -> list[ManagerEffect]:
        """Add a line to the log, at `time` seconds since 1970, and send it to the clients that follow the log."""
        line = AdminLogLine(time, note.level, note.text, note.node, note.worker)
        self._lines.append(line)
        return [SendToPeer(key, line) for key, follow in self._followers.items() if _wants(follow, line)]

    def tick(self, now: float) -> list[ManagerEffect]:
        """Revoke silent admin clients."""
        gone = [key for key, heard_at in self._heard_at.items() if now - heard_at > SILENCE]
        return [effect for key in gone for effect in self._forget(key)]

    def dismiss_admins(self) -> list[ManagerEffect]:
        """Dismiss all admin clients: the Manager shuts down."""
        return [SendToPeer(key, Dismiss()) for key in self._heard_at]

    def _admit(self, by: str, key: str, now: float) -> list[ManagerEffect]:
        if not self._standing or by != self._standing or key == by:
            return []
        self._heard_at[key] = now
        return [AllowKey(key), SendToPeer(by, Enrollment())]

    def _follow(self, key: str, follow: LogRequest) -> list[ManagerEffect]:
        if follow.follow:
            self._followers[key] = follow
        chosen = [line for line in self._lines if _wants(follow, line)]
        last = chosen[-follow.last :] if follow.last else []
        return [SendToPeer(key, AdminReply(follow.call_id, msgspec.msgpack.encode(last)))]

    def _forget(self, key: str) -> list[ManagerEffect]:
        del self._heard_at[key]
        self._followers.pop(key, None)
        return [RevokeKey(key)]


def _wants(follow: LogRequest, line: AdminLogLine) -> bool:
    return line.level >= follow.level and follow.node in ("", line.node)
