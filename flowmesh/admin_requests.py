"""Requests of admin clients: the verb of the Manager's Machine for each, and its answer. No link, no thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .control.manager.effects import ManagerEffect
from .control.manager.machine import ManagerMachine
from .security.tokens import JoinToken
from .status import status_of
from .wire.messages import AdminRequest, RevokeRequest, StatusRequest, StopRequest, TokenListRequest, TokenRequest
from .wire.plan_specs import Issued

Decide = Callable[[ManagerMachine, int, float], list[ManagerEffect]]
SURVEY = 1.0  # seconds that workers have to report their counters

encode = msgspec.msgpack.Encoder().encode


def begin(
    request: AdminRequest, machine: ManagerMachine, mint: Callable[[float], JoinToken]
) -> tuple[Decide, Callable[[Any], object]]:
    """The call of the Machine, and the function that turns its answer into the admin client's.

    Args:
        mint: makes a token that ends after the given seconds.

    Raises:
        FlowmeshError: the request is invalid.
    """
    match request:
        case StatusRequest():
            return lambda machine, call_id, now: machine.inspect(call_id, SURVEY, now), lambda _: status_of(machine)
        case StopRequest(drain=drain):
            return lambda machine, call_id, now: machine.halt(call_id, drain, now), _as_it_is
        case TokenRequest(expires=expires, keep=keep):
            made = mint(expires)
            issued = Issued(made.id, made.text, made.line)
            return lambda machine, call_id, now: machine.make_token(
                call_id, made.keys.public, expires, now, keep=keep
            ), lambda _: issued
        case TokenListRequest():
            return lambda machine, call_id, now: machine.list_tokens(call_id, now), _as_it_is
        case RevokeRequest(which=which):
            return lambda machine, call_id, now: machine.revoke(call_id, which, now), _as_it_is


def _as_it_is(answer: Any) -> object:
    return answer
