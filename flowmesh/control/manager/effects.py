"""Effects of the Manager's Machines."""

from __future__ import annotations

from ...errors import FlowmeshError
from ...wire.messages import AdminRequest, Message
from ..effect import Effect, Log


class SendToPeer(Effect, frozen=True):
    """Send the message to the worker that holds this key."""

    key: str
    message: Message


class AllowKey(Effect, frozen=True):
    """Accept this key from now on."""

    key: str


class HandleAdminRequest(Effect, frozen=True):
    """Execute this admin client's request, and send it the AdminReply."""

    key: str
    request: AdminRequest


class RevokeKey(Effect, frozen=True):
    """Ignore this key from now on, and do not accept it any more."""

    key: str


class PersistKey(Effect, frozen=True):
    """Let this key come back to all Managers of the user, under this name; with no name, remove it."""

    key: str
    name: str


class SendClock(Effect, frozen=True):
    """Answer this heartbeat of the worker that holds the key with the Manager's clock, as late as possible."""

    key: str
    sent: int


class AnswerCall(Effect, frozen=True):
    """The verb that waits under this call id has succeeded."""

    call_id: int
    value: object = None


class FailCall(Effect, frozen=True):
    """The verb that waits under this call id has failed."""

    call_id: int
    error: FlowmeshError


ManagerEffect = (
    SendToPeer | AllowKey | RevokeKey | PersistKey | SendClock | HandleAdminRequest | AnswerCall | FailCall | Log
)
