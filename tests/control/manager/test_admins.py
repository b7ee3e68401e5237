"""Who may operate a Manager, and what those who may are told of its log."""

from __future__ import annotations

import logging

import msgspec
import pytest

from flowmesh.control.effects import Allow, Note, Revoke, Send, Serve
from flowmesh.control.manager.admins import KEPT, SILENCE, Operators
from flowmesh.wire.messages import (
    Departure,
    Dismiss,
    Enrolment,
    Follow,
    Halt,
    Heartbeat,
    ListTokens,
    Logged,
    NewToken,
    Operate,
    Outcome,
    Registration,
    Revocation,
    Survey,
)
from flowmesh.wire.plan_specs import Host, Versions

SERVED = [Survey(1), Halt(1), Halt(1, 2.0), NewToken(1, 60.0), ListTokens(1), Revocation(1, "bench")]
INFO, ERROR = logging.INFO, logging.ERROR


@pytest.fixture
def operators() -> Operators:
    """One operator, "own", that came at second 100."""
    operators = Operators("standing")
    operators.heard("standing", Operate("own"), 100.0)
    return operators


def lines(outcome: object) -> list[str]:
    """The texts of the lines that a Follow was answered with."""
    assert isinstance(outcome, Send)
    assert isinstance(outcome.message, Outcome)
    return [line.text for line in msgspec.msgpack.decode(outcome.message.value, type=list[Logged])]


def test_the_users_key_vouches_for_an_operator() -> None:
    operators = Operators("standing")
    assert operators.concerns("standing", Operate("own"))
    assert operators.heard("standing", Operate("own"), 1.0) == [Allow("own"), Send("standing", Enrolment())]
    assert "own" in operators
    assert "standing" not in operators


@pytest.mark.parametrize(("standing", "by", "own"), [
    ("standing", "worker", "own"),
    ("standing", "worker", "worker"),
    ("standing", "standing", "standing"),
    ("", "", "own"),
])  # fmt: skip
def test_no_other_key_does(standing: str, by: str, own: str) -> None:
    operators = Operators(standing)
    assert operators.heard(by, Operate(own), 1.0) == []
    assert own not in operators


@pytest.mark.parametrize("request_", [*SERVED, Follow(1, 10)])
def test_who_is_no_operator_is_told_so(operators: Operators, request_: Survey) -> None:
    assert operators.concerns("worker", request_)
    (effect,) = operators.heard("worker", request_, 101.0)
    assert isinstance(effect, Send)
    assert isinstance(effect.message, Outcome)
    assert (effect.key, effect.message.number) == ("worker", 1)
    assert "may not operate" in effect.message.error


def test_what_workers_say_is_no_concern(operators: Operators) -> None:
    registration = Registration("one", 1, Host("", 1, 1, ""), Versions("", ""))
    assert not operators.concerns("worker", Heartbeat())
    assert not operators.concerns("worker", registration)
    assert operators.concerns("own", registration)
    assert operators.heard("own", registration, 101.0) == []
    assert operators.heard("worker", Heartbeat(), 101.0) == []


@pytest.mark.parametrize("request_", SERVED)
def test_what_an_operator_asks_is_served(operators: Operators, request_: Survey) -> None:
    assert operators.heard("own", request_, 101.0) == [Serve("own", request_)]


def test_an_operator_that_falls_silent_or_leaves_is_struck_off(operators: Operators) -> None:
    assert operators.heard("own", Heartbeat(), 105.0) == [Send("own", Heartbeat())]
    assert operators.tick(105.0 + SILENCE) == []
    assert operators.tick(105.1 + SILENCE) == [Revoke("own")]
    assert "own" not in operators

    operators.heard("standing", Operate("next"), 200.0)
    assert operators.heard("next", Departure(""), 201.0) == [Revoke("next")]
    assert operators.tick(1000.0) == []


def test_all_are_told_that_the_manager_leaves(operators: Operators) -> None:
    assert operators.dismiss() == [Send("own", Dismiss())]


def test_the_last_lines_are_given_by_level_and_node(operators: Operators) -> None:
    for number in range(KEPT + 5):
        assert operators.noted(Note(INFO, f"{number}", "film"), 7.0) == []
    operators.noted(Note(ERROR, "edges failed", "edges", "bench"), 8.0)
    assert len(lines(*operators.heard("own", Follow(1, 5000), 101.0))) == KEPT
    assert lines(*operators.heard("own", Follow(1, 2), 101.0)) == [f"{KEPT + 4}", "edges failed"]
    assert lines(*operators.heard("own", Follow(1, 2, node="film"), 101.0)) == [f"{KEPT + 3}", f"{KEPT + 4}"]
    assert lines(*operators.heard("own", Follow(1, 2, level=ERROR), 101.0)) == ["edges failed"]
    assert lines(*operators.heard("own", Follow(1, 0), 101.0)) == []


def test_whoever_follows_gets_every_further_line_that_it_wants(operators: Operators) -> None:
    operators.heard("own", Follow(1, 0, level=ERROR, on=True), 101.0)
    assert operators.noted(Note(INFO, "little"), 1.0) == []
    line = Logged(2.0, ERROR, "much", "film", "bench")
    assert operators.noted(Note(ERROR, "much", "film", "bench"), 2.0) == [Send("own", line)]
    operators.heard("own", Departure(""), 102.0)
    assert operators.noted(Note(ERROR, "more"), 3.0) == []
