"""Verbs that wait: each is answered or failed once, and by its own event only."""

from __future__ import annotations

from flowmesh.control.manager.effects import AnswerCall, FailCall
from flowmesh.control.manager.waiters import Waiters
from flowmesh.errors import StateError


def test_all_who_wait_for_the_same_are_answered_once() -> None:
    verbs = Waiters()
    for token in (2, 1):
        verbs.add("stop", token)
    verbs.add("wait", 3)
    assert verbs.answer("stop", "value") == [AnswerCall(1, "value"), AnswerCall(2, "value")]
    assert verbs.answer("stop") == []
    assert verbs.answer("wait") == [AnswerCall(3)]


def test_what_waits_is_known_by_its_name() -> None:
    verbs = Waiters()
    verbs.add("halt", 1)
    assert "halt" in verbs
    assert "stop" not in verbs
    verbs.answer("halt")
    assert "halt" not in verbs


def test_several_verbs_fail_for_the_same_reason_and_others_go_on_waiting() -> None:
    verbs = Waiters()
    for token, verb in enumerate(("commit", "start", "reset")):
        verbs.add(verb, token)
    error = StateError("gone")
    assert verbs.fail("start", "commit", error=error) == [FailCall(1, error), FailCall(0, error)]
    assert "reset" in verbs
