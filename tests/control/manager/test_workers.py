"""Who may join, who is heard, who has fallen silent."""

from __future__ import annotations

import logging
from unittest.mock import ANY

import pytest

from flowmesh.control.effect import Log
from flowmesh.control.manager.effects import AllowKey, PersistKey, RevokeKey, SendClock, SendToPeer
from flowmesh.control.manager.workers import SILENCE, WorkerRegistry
from flowmesh.wire.messages import Enroll, Enrollment, Heartbeat, MetricsRequest, Refusal, Registration, Welcome
from flowmesh.wire.plan_specs import Host, Versions

OURS = Versions("1.2", "3.11")
HOST = Host("boot", 1, 1000, "address")


def registration(name: str = "local", versions: Versions = OURS) -> Registration:
    return Registration(name, 7, HOST, versions)


@pytest.fixture
def roster() -> WorkerRegistry:
    """One that "local" has registered with, at second 100."""
    roster = WorkerRegistry(OURS, frozenset({"user"}), admit=lambda name, key: key != "unwanted")
    roster.received_from_worker("key", registration(), 100.0)
    return roster


def test_a_key_is_let_in_and_told_so() -> None:
    effects = WorkerRegistry(OURS, frozenset({"user"})).received_from_worker("user", Enroll("own"), 1.0)
    assert effects == [SendToPeer("user", Enrollment()), AllowKey("own")]


def test_a_token_lets_in_one_key_and_hears_of_it_before_it_is_struck_off() -> None:
    roster = WorkerRegistry(OURS)
    roster.tokens.token_made("token", 60.0, 0.0)
    assert roster.received_from_worker("token", Enroll("own"), 1.0) == [
        SendToPeer("token", Enrollment()),
        AllowKey("own"),
        RevokeKey("token"),
    ]
    refused = roster.received_from_worker("token", Enroll("another"), 1.0)
    assert refused[0] == SendToPeer("token", Refusal("this key may not enrol others"))
    assert isinstance(refused[1], Log)
    roster.received_from_worker("own", registration("remote"), 2.0)
    assert [token.worker for token in roster.tokens.listing(2.0)] == ["remote"]


def test_a_worker_is_welcome_and_known() -> None:
    roster = WorkerRegistry(OURS)
    effects = roster.received_from_worker("key", registration(), 5.0)
    assert effects == [SendToPeer("key", Welcome()), Log(logging.INFO, "worker 'local' registered")]
    worker = roster.by_key("key")
    assert worker is roster.workers["local"]
    assert worker is not None
    assert (worker.name, worker.key, worker.pid, worker.host, worker.heard_at) == ("local", "key", 7, HOST, 5.0)


@pytest.mark.parametrize(
    ("key", "message", "reason"),
    [
        ("other", registration(), "a worker named 'local' is registered already: choose another name"),
        ("key", registration("second"), "its key is that of worker 'local': one key has one name"),
        ("user", registration("second"), "it has not handed in a key of its own"),
        ("unwanted", registration("second"), "the Manager's allow= does not want it"),
        (
            "other",
            registration("a/b"),
            "the node's name 'a/b' holds a character that can't be used: '/', ',' or a control character",
        ),
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
def test_a_worker_that_does_not_fit_is_refused(
    roster: WorkerRegistry, key: str, message: Registration, reason: str
) -> None:
    text = f"worker {message.name!r} was refused: {reason}"
    assert roster.received_from_worker(key, message, 100.0) == [
        SendToPeer(key, Refusal(reason)),
        Log(logging.WARNING, text),
    ]
    assert list(roster.workers) == ["local"]
    assert roster.by_key(key) is roster.workers.get("local" if key == "key" else "")


def test_a_worker_may_register_again(roster: WorkerRegistry) -> None:
    assert roster.received_from_worker("key", registration(), 101.0)[0] == SendToPeer("key", Welcome())
    assert len(roster.workers) == 1


def test_a_heartbeat_is_answered_to_those_who_are_registered(roster: WorkerRegistry) -> None:
    assert roster.received_from_worker("key", Heartbeat(7), 100.5) == [SendClock("key", 7)]
    assert roster.received_from_worker("stranger", Heartbeat(), 100.5) == []


def test_whoever_says_anything_is_alive_and_the_silent_are_struck_off(roster: WorkerRegistry) -> None:
    roster.received_from_worker("key 2", registration("second"), 100.0)
    assert roster.received_from_worker("key", MetricsRequest(1), 101.0) == []
    assert roster.silent_workers(100.0 + SILENCE) == []
    lost = roster.silent_workers(100.1 + SILENCE)
    assert [worker.name for worker in lost] == ["second"]
    assert list(roster.workers) == ["local"]
    assert roster.silent_workers(100.1 + SILENCE) == []


def test_time_in_which_nobody_was_heard_is_nobodys_silence(roster: WorkerRegistry) -> None:
    roster.received_from_worker("key", Heartbeat(), 100.0)
    roster.was_suspended(60.0)
    assert roster.silent_workers(160.0 + SILENCE) == []
    assert [worker.name for worker in roster.silent_workers(160.1 + SILENCE)] == ["local"]


def test_a_name_is_free_when_its_worker_has_left(roster: WorkerRegistry) -> None:
    worker = roster.workers["local"]
    roster.worker_departed(worker)
    assert roster.worker_departed(worker) == []
    assert roster.received_from_worker("other", registration(), 102.0)[0] == SendToPeer("other", Welcome())


def test_who_was_let_in_by_the_users_key_is_struck_off_when_it_leaves(roster: WorkerRegistry) -> None:
    roster.received_from_worker("user", Enroll("own"), 101.0)
    roster.received_from_worker("own", registration("second"), 101.0)
    assert roster.worker_departed(roster.workers["second"]) == [RevokeKey("own")]


def test_a_worker_is_revoked_by_its_name_and_by_the_token_that_it_came_with(roster: WorkerRegistry) -> None:
    local = roster.workers["local"]
    assert roster.revoke_worker("local") == ([RevokeKey("key")], local)
    assert roster.revoke_worker("local") is None
    roster.tokens.token_made("token", 60.0, 101.0)
    (token,) = roster.tokens.listing(101.0)
    roster.received_from_worker("token", Enroll("own"), 101.0)
    assert roster.revoke_worker(token.id) == ([RevokeKey("token"), RevokeKey("own")], None)
    roster.received_from_worker("own", registration("second"), 102.0)
    second = roster.workers["second"]
    assert roster.revoke_worker(token.id) == ([RevokeKey("token"), RevokeKey("own")], second)
    assert roster.workers == {}


def test_a_key_that_is_kept_comes_back_under_its_name_only() -> None:
    roster = WorkerRegistry(OURS, kept={"own": "remote"})
    assert roster.received_from_worker("own", registration("other"), 1.0)[0] == SendToPeer(
        "own", Refusal("its key is that of worker 'remote': one key has one name")
    )
    assert roster.received_from_worker("own", registration("remote"), 1.0)[0] == SendToPeer("own", Welcome())
    assert roster.revoke_worker("remote") == (
        [RevokeKey("own"), PersistKey("own", "")],
        roster.workers.get("remote", ANY),
    )


def test_a_token_that_is_to_be_kept_says_so() -> None:
    roster = WorkerRegistry(OURS)
    roster.tokens.token_made("token", 60.0, 0.0, keep=True)
    assert roster.received_from_worker("token", Enroll("own"), 1.0)[0] == SendToPeer("token", Enrollment(keep=True))
    assert PersistKey("own", "remote") in roster.received_from_worker("own", registration("remote"), 2.0)
