"""A failure is told once: raised by a verb, or logged when none raises it in time."""

from __future__ import annotations

import math

from flowmesh.control.effect import Log
from flowmesh.control.manager.unraised_failures import UnraisedFailures
from flowmesh.errors import NodeError


def note(text: str) -> Log:
    return Log(40, text, raised=NodeError(text))


def test_what_no_verb_raises_is_logged_after_a_second() -> None:
    failures = UnraisedFailures()
    failures.put(note("first"), 10.0)
    failures.put(note("second"), 10.6)
    assert failures.due(10.9) == []
    assert [each.text for each in failures.due(11.0)] == ["first"]
    assert [each.text for each in failures.due(math.inf)] == ["second"]
    assert failures.due(math.inf) == []


def test_what_a_verb_raises_is_not_logged() -> None:
    failures = UnraisedFailures()
    failures.put(note("first"), 10.0)
    failures.put(note("second"), 10.0)
    failures.put(note("third"), 10.0)
    error = NodeError("first")
    error.add_note("afterwards: second")
    failures.raised(error)
    assert [each.text for each in failures.due(math.inf)] == ["third"]


def test_an_error_that_was_raised_before_tells_nothing_of_what_came_later() -> None:
    failures = UnraisedFailures()
    failures.raised(NodeError("first"))
    failures.due(9.0)
    failures.put(note("first"), 10.0)
    assert [each.text for each in failures.due(11.0)] == ["first"]
