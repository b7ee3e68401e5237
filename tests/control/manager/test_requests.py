"""Requests to workers: each ends once, by its answers, by a failure, or by its deadline."""

from __future__ import annotations

import pytest

from flowmesh.control.manager.effects import AnswerCall, FailCall, ManagerEffect, SendToPeer
from flowmesh.control.manager.requests import PendingRequests
from flowmesh.errors import DeadlineError, NodeError
from flowmesh.wire.messages import MetricsRequest

GONE = NodeError("gone")


def message(part: str, number: int) -> ManagerEffect:
    return SendToPeer(part, MetricsRequest(number))


def asked(
    requests: PendingRequests, token: int, *parts: str, deadline: float = 10.0, partial: bool = False
) -> list[int]:
    """Ask; returns the number that each part was asked under."""
    options = {"partial": True} if partial else {}
    effects = requests.ask(token, "gather()", parts, deadline, message, **options)
    numbers = [effect.message.call_id for effect in effects if isinstance(effect, SendToPeer)]  # type: ignore[attr-defined]
    assert effects == [SendToPeer(part, MetricsRequest(number)) for part, number in zip(parts, numbers, strict=True)]
    return numbers


@pytest.fixture
def requests() -> PendingRequests:
    return PendingRequests()


def test_the_answer_is_complete_when_all_parts_are_there(requests: PendingRequests) -> None:
    a, b = asked(requests, 1, "a", "b")
    assert requests.part_answered(b, "B") == []
    assert requests.part_answered(a, "A") == [AnswerCall(1, {"a": "A", "b": "B"})]
    assert requests.part_answered(a, "again") == []
    assert requests.part_failed(a, GONE) == []


def test_nobody_to_ask_is_answered_at_once(requests: PendingRequests) -> None:
    assert requests.ask(1, "status()", [], 10.0, message) == [AnswerCall(1, {})]


def test_requests_are_told_apart(requests: PendingRequests) -> None:
    (first,), (second,) = asked(requests, 1, "a"), asked(requests, 2, "a")
    assert first != second
    assert requests.part_answered(second, "new") == [AnswerCall(2, {"a": "new"})]
    assert requests.part_answered(first, "old") == [AnswerCall(1, {"a": "old"})]


def test_one_failure_fails_all_and_the_rest_comes_too_late(requests: PendingRequests) -> None:
    a, b = asked(requests, 1, "a", "b")
    assert requests.part_failed(a, GONE) == [FailCall(1, GONE)]
    assert requests.part_answered(b, "B") == []
    assert requests.tick(99.0) == []


def test_at_the_deadline_those_who_are_silent_are_named(requests: PendingRequests) -> None:
    a, *_ = asked(requests, 1, "a", "b", "c", deadline=10.0)
    requests.part_answered(a, "A")
    assert requests.tick(9.9) == []
    (failure,) = requests.tick(10.0)
    assert isinstance(failure, FailCall)
    assert isinstance(failure.error, DeadlineError)
    assert (failure.call_id, str(failure.error)) == (1, "gather(): no answer in time from 'b', 'c'")
    assert requests.tick(11.0) == []


def test_what_may_be_partial_is_answered_with_what_is_there(requests: PendingRequests) -> None:
    a, _ = asked(requests, 1, "a", "b", partial=True)
    requests.part_answered(a, "A")
    assert requests.tick(10.0) == [AnswerCall(1, {"a": "A"})]


def test_those_who_are_lost_end_what_waits_for_them_and_nothing_else(requests: PendingRequests) -> None:
    asked(requests, 1, "a", "b")
    asked(requests, 2, "a", "b", partial=True)
    (other,) = asked(requests, 3, "c")
    answered, _ = asked(requests, 4, "a", "c")
    requests.part_answered(answered, "A")
    assert requests.parts_lost(["a", "b"], GONE) == [FailCall(1, GONE), AnswerCall(2, {})]
    assert requests.parts_lost(["a", "b"], GONE) == []
    assert requests.part_answered(other, "C") == [AnswerCall(3, {"c": "C"})]
