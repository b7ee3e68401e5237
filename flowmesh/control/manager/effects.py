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
    """Let this key in from now on."""

    key: str


class HandleAdminRequest(Effect, frozen=True):
    """Do what this operator asks, and send it the Outcome."""

    key: str
    request: AdminRequest


class RevokeKey(Effect, frozen=True):
    """From now on hear nothing from this key, and let it in no more."""

    key: str


class PersistKey(Effect, frozen=True):
    """This key may come back to all Managers of the user, under this name; with no name, it may no more."""

    key: str
    name: str


class SendClock(Effect, frozen=True):
    """Answer this heartbeat of the worker that holds the key with the Manager's clock, as late as can be."""

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
