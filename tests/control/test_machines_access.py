"""Tokens and revoking as verbs of the Manager's Machine: what a graph hears of it."""

from __future__ import annotations

import pytest

from flowmesh.control.manager.effects import AnswerCall, RevokeKey, SendToPeer
from flowmesh.errors import WorkerError
from flowmesh.wire.fingerprints import short
from flowmesh.wire.messages import Dismiss, Enroll
from flowmesh.wire.plan_specs import TokenStatus
from flowmesh.wire.states import GraphState

from .harness import World, plan


@pytest.fixture
def world() -> World:
    """Two workers, and a running graph on both."""
    world = World("one", "two")
    world.result(world.commit(plan(["film > show"], {"film": "one", "show": "two"})))
    world.result(world.start())
    return world


def revoke(world: World, which: str) -> int:
    return world.ask(lambda manager, token: manager.revoke(token, which, world.now), 5.0)


def test_tokens_are_made_and_listed(world: World) -> None:
    world.result(world.ask(lambda manager, token: manager.make_token(token, "key", 60.0, world.now)))
    listed = world.result(world.ask(lambda manager, token: manager.list_tokens(token, world.now)))
    assert listed == (TokenStatus(short("key"), "open", 60.0),)
    world.pass_time(61.0)
    (expired,) = world.result(world.ask(lambda manager, token: manager.list_tokens(token, world.now)))
    assert expired.state == "expired"


def test_revoking_a_worker_fails_the_graph_that_it_runs_a_part_of(world: World) -> None:
    waiting = world.wait()
    world.result(revoke(world, "one"))
    world.until_state(GraphState.FAILED)
    with pytest.raises(WorkerError, match=r"worker 'one' \(pid 7\) was revoked; it ran 'film'"):
        world.result(waiting)
    assert list(world.manager.registry.workers) == ["two"]


def test_the_last_word_goes_out_before_the_key_is_struck_off() -> None:
    world = World("one")
    dismissal, revoked, *_, answer = world.manager.revoke(5, "one", world.now)
    assert dismissal == SendToPeer("key of one", Dismiss(at_once=True, reason="its access was revoked"))
    assert (revoked, answer) == (RevokeKey("key of one"), AnswerCall(5))


def test_revoking_a_token_concerns_no_graph(world: World) -> None:
    world.result(world.ask(lambda manager, token: manager.make_token(token, "key", 60.0, world.now)))
    world.manager.received_from_peer("key", Enroll("own"), world.now)
    world.result(revoke(world, short("key")))
    assert world.manager.state is GraphState.RUNNING


def test_what_is_not_there_can_not_be_revoked(world: World) -> None:
    with pytest.raises(WorkerError, match="nothing to revoke is called 'three'; workers: 'one', 'two'; tokens: none"):
        world.result(revoke(world, "three"))
    empty = World()
    with pytest.raises(WorkerError, match="workers: none"):
        empty.result(revoke(empty, "three"))
