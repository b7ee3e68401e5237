"""Who may join, who is heard, who has fallen silent."""

from __future__ import annotations

import logging

import pytest

from flowmesh.control.effects import Allow, Note, Send
from flowmesh.control.roster import SILENCE, Roster
from flowmesh.wire.messages import Enrol, Enrolment, Heartbeat, Inspect, Refusal, Registration, Welcome
from flowmesh.wire.specs import Host, Versions

OURS = Versions("1.2", "3.11")
HOST = Host("boot", 1, 1000, "address")


def registration(name: str = "local", versions: Versions = OURS) -> Registration:
    return Registration(name, 7, HOST, versions)


@pytest.fixture
def roster() -> Roster:
    """One that "local" has registered with, at second 100."""
    roster = Roster(OURS)
    roster.heard("key", registration(), 100.0)
    return roster


def test_a_key_is_let_in_and_told_so() -> None:
    effects = Roster(OURS).heard("token", Enrol("own"), 1.0)
    assert effects == [Allow("own"), Send("token", Enrolment())]


def test_a_worker_is_welcome_and_known() -> None:
    roster = Roster(OURS)
    effects = roster.heard("key", registration(), 5.0)
    assert effects == [Send("key", Welcome()), Note(logging.INFO, "worker 'local' registered")]
    worker = roster.by_key("key")
    assert worker is roster.workers["local"]
    assert worker is not None
    assert (worker.name, worker.key, worker.pid, worker.host, worker.heard_at) == ("local", "key", 7, HOST, 5.0)


@pytest.mark.parametrize(
    ("key", "message", "reason"),
    [
        ("other", registration(), "a worker named 'local' is registered already: choose another name"),
        (
            "other",
            registration("second", Versions("1.3", "3.11")),
            "it runs flowmesh 1.3, the Manager 1.2: install the same version on both",
        ),
        (
            "other",
            registration("second", Versions("1.2", "3.12")),
            "it runs Python 3.12, the Manager 3.11: code can't be shipped between them",
        ),
    ],
)
def test_a_worker_that_does_not_fit_is_refused(roster: Roster, key: str, message: Registration, reason: str) -> None:
    text = f"worker {message.name!r} was refused: {reason}"
    assert roster.heard(key, message, 100.0) == [Send(key, Refusal(reason)), Note(logging.WARNING, text)]
    assert list(roster.workers) == ["local"]
    assert roster.by_key(key) is None


def test_a_worker_may_register_again(roster: Roster) -> None:
    assert roster.heard("key", registration(), 101.0)[0] == Send("key", Welcome())
    assert len(roster.workers) == 1


def test_a_heartbeat_is_answered_to_those_who_are_registered(roster: Roster) -> None:
    assert roster.heard("key", Heartbeat(), 100.5) == [Send("key", Heartbeat())]
    assert roster.heard("stranger", Heartbeat(), 100.5) == []


def test_whoever_says_anything_is_alive_and_the_silent_are_struck_off(roster: Roster) -> None:
    roster.heard("key 2", registration("second"), 100.0)
    assert roster.heard("key", Inspect(1), 101.0) == []
    assert roster.silent(100.0 + SILENCE) == []
    lost = roster.silent(100.1 + SILENCE)
    assert [worker.name for worker in lost] == ["second"]
    assert list(roster.workers) == ["local"]
    assert roster.silent(100.1 + SILENCE) == []


def test_a_name_is_free_when_its_worker_has_left(roster: Roster) -> None:
    worker = roster.workers["local"]
    roster.departed(worker)
    roster.departed(worker)
    assert roster.heard("other", registration(), 102.0)[0] == Send("other", Welcome())
