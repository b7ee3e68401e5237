"""Who may operate a Manager, and what those who may are told of its log."""

from __future__ import annotations

import logging

import msgspec
import pytest

from flowmesh.control.effect import Log
from flowmesh.control.manager.admins import KEPT, SILENCE, AdminClients
from flowmesh.control.manager.effects import AllowKey, HandleAdminRequest, RevokeKey, SendToPeer
from flowmesh.wire.messages import (
    AdminHello,
    AdminLogLine,
    AdminReply,
    Departure,
    Dismiss,
    Enrollment,
    Heartbeat,
    LogRequest,
    Registration,
    RevokeRequest,
    StatusRequest,
    StopRequest,
    TokenListRequest,
    TokenRequest,
)
from flowmesh.wire.plan_specs import Host, Versions

SERVED = [
    StatusRequest(1),
    StopRequest(1),
    StopRequest(1, 2.0),
    TokenRequest(1, 60.0),
    TokenListRequest(1),
    RevokeRequest(1, "bench"),
]
INFO, ERROR = logging.INFO, logging.ERROR


@pytest.fixture
def operators() -> AdminClients:
    """One operator, "own", that came at second 100."""
    operators = AdminClients("standing")
    operators.received_from_admin("standing", AdminHello("own"), 100.0)
    return operators


def lines(outcome: object) -> list[str]:
    """The texts of the lines that a Follow was answered with."""
    assert isinstance(outcome, SendToPeer)
    assert isinstance(outcome.message, AdminReply)
    return [line.text for line in msgspec.msgpack.decode(outcome.message.value, type=list[AdminLogLine])]


def test_the_users_key_vouches_for_an_operator() -> None:
    operators = AdminClients("standing")
    assert operators.concerns("standing", AdminHello("own"))
    assert operators.received_from_admin("standing", AdminHello("own"), 1.0) == [
        AllowKey("own"),
        SendToPeer("standing", Enrollment()),
    ]
    assert "own" in operators
    assert "standing" not in operators


@pytest.mark.parametrize(("standing", "by", "own"), [
    ("standing", "worker", "own"),
    ("standing", "worker", "worker"),
    ("standing", "standing", "standing"),
    ("", "", "own"),
])  # fmt: skip
def test_no_other_key_does(standing: str, by: str, own: str) -> None:
    operators = AdminClients(standing)
    assert operators.received_from_admin(by, AdminHello(own), 1.0) == []
    assert own not in operators


@pytest.mark.parametrize("request_", [*SERVED, LogRequest(1, 10)])
def test_who_is_no_operator_is_told_so(operators: AdminClients, request_: StatusRequest) -> None:
    assert operators.concerns("worker", request_)
    (effect,) = operators.received_from_admin("worker", request_, 101.0)
    assert isinstance(effect, SendToPeer)
    assert isinstance(effect.message, AdminReply)
    assert (effect.key, effect.message.call_id) == ("worker", 1)
    assert "may not operate" in effect.message.error


def test_what_workers_say_is_no_concern(operators: AdminClients) -> None:
    registration = Registration("one", 1, Host("", 1, 1, ""), Versions("", ""))
    assert not operators.concerns("worker", Heartbeat())
    assert not operators.concerns("worker", registration)
    assert operators.concerns("own", registration)
    assert operators.received_from_admin("own", registration, 101.0) == []
    assert operators.received_from_admin("worker", Heartbeat(), 101.0) == []


@pytest.mark.parametrize("request_", SERVED)
def test_what_an_operator_asks_is_served(operators: AdminClients, request_: StatusRequest) -> None:
    assert operators.received_from_admin("own", request_, 101.0) == [HandleAdminRequest("own", request_)]


def test_an_operator_that_falls_silent_or_leaves_is_struck_off(operators: AdminClients) -> None:
    assert operators.received_from_admin("own", Heartbeat(), 105.0) == [SendToPeer("own", Heartbeat())]
    assert operators.tick(105.0 + SILENCE) == []
    assert operators.tick(105.1 + SILENCE) == [RevokeKey("own")]
    assert "own" not in operators

    operators.received_from_admin("standing", AdminHello("next"), 200.0)
    assert operators.received_from_admin("next", Departure(""), 201.0) == [RevokeKey("next")]
    assert operators.tick(1000.0) == []


def test_all_are_told_that_the_manager_leaves(operators: AdminClients) -> None:
    assert operators.dismiss_admins() == [SendToPeer("own", Dismiss())]


def test_the_last_lines_are_given_by_level_and_node(operators: AdminClients) -> None:
    for number in range(KEPT + 5):
        assert operators.log_line(Log(INFO, f"{number}", "film"), 7.0) == []
    operators.log_line(Log(ERROR, "edges failed", "edges", "bench"), 8.0)
    assert len(lines(*operators.received_from_admin("own", LogRequest(1, 5000), 101.0))) == KEPT
    assert lines(*operators.received_from_admin("own", LogRequest(1, 2), 101.0)) == [f"{KEPT + 4}", "edges failed"]
    assert lines(*operators.received_from_admin("own", LogRequest(1, 2, node="film"), 101.0)) == [
        f"{KEPT + 3}",
        f"{KEPT + 4}",
    ]
    assert lines(*operators.received_from_admin("own", LogRequest(1, 2, level=ERROR), 101.0)) == ["edges failed"]
    assert lines(*operators.received_from_admin("own", LogRequest(1, 0), 101.0)) == []


def test_whoever_follows_gets_every_further_line_that_it_wants(operators: AdminClients) -> None:
    operators.received_from_admin("own", LogRequest(1, 0, level=ERROR, follow=True), 101.0)
    assert operators.log_line(Log(INFO, "little"), 1.0) == []
    line = AdminLogLine(2.0, ERROR, "much", "film", "bench")
    assert operators.log_line(Log(ERROR, "much", "film", "bench"), 2.0) == [SendToPeer("own", line)]
    operators.received_from_admin("own", Departure(""), 102.0)
    assert operators.log_line(Log(ERROR, "more"), 3.0) == []
