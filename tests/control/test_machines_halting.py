"""The Machines of Manager, workers and nodes, joined: an operator halts the graph, whatever state it is in."""

from __future__ import annotations

import pytest

from flowmesh.control.manager.effects import HandleAdminRequest
from flowmesh.control.manager.machine import ManagerMachine
from flowmesh.errors import NodeError, StateError
from flowmesh.wire.messages import AdminHello, StatusRequest
from flowmesh.wire.states import GraphState

from .fakes import Behaviour
from .harness import BEAT, VERSIONS, World
from .scenarios import nothing_lives, reach, running, shown


def halt(world: World, drain: float | None = None) -> int:
    return world.ask(lambda manager, token: manager.halt(token, drain, world.now), 30)


def test_a_running_graph_is_worked_off_and_torn_down_and_who_waits_goes_on() -> None:
    world = running()
    wait, stop = world.wait(), world.stop()
    assert world.result(halt(world)) == "finished"
    assert world.result(wait) is True
    world.result(stop)
    assert shown(world) == list(range(1, world.process("film").steps + 1))
    assert all(process.calls == ["setup", "teardown"] for process in world.processes)
    assert nothing_lives(world)
    assert world.result(halt(world)) == "finished"
    world.result(world.start())  # a new run
    assert world.manager.state is GraphState.RUNNING


@pytest.mark.parametrize("state", list(GraphState))
def test_whatever_the_state_it_ends(state: GraphState) -> None:
    world = reach(state, "local")
    finished = (GraphState.READY, GraphState.RUNNING, GraphState.FINISHED)
    empty = (GraphState.EMPTY, GraphState.COMMITTING, GraphState.RESETTING)
    # In the others a node has failed, or is stuck and has to be killed.
    reached = dict.fromkeys(finished, "finished") | dict.fromkeys(empty, "empty")
    assert world.result(halt(world)) == reached.get(state, "failed")
    assert nothing_lives(world)


def test_a_commit_that_is_halted_fails() -> None:
    world = reach(GraphState.COMMITTING, "local")
    commit = max(world.answers)
    halt(world)
    with pytest.raises(StateError, match="was reset"):
        world.result(commit)


def test_a_node_that_is_stuck_is_killed_when_the_drain_is_over_and_named() -> None:
    world = running(edges=Behaviour(hangs_at=3))
    wait, halted, begun = world.wait(), halt(world, drain=1.0), world.now
    assert world.result(halted) == "failed"
    with pytest.raises(NodeError, match="'edges'"):
        world.result(wait)
    assert 1.0 < world.now - begun < 15.0
    assert nothing_lives(world)


def test_a_drain_of_nothing_leaves_what_is_queued() -> None:
    world = running(edges=Behaviour(hangs_at=3))
    world.process("edges").stuck = True
    halted = halt(world, drain=0.0)
    world.pass_time(BEAT)
    world.process("edges").stuck = False
    assert world.result(halted) == "finished"
    assert shown(world) != list(range(1, world.process("film").steps + 1))


def test_a_node_that_fails_meanwhile_fails_the_graph() -> None:
    world = running(show=Behaviour(hangs_at=3))
    wait, halted = world.wait(), halt(world)
    world.crash("show")
    assert world.result(halted) == "failed"
    with pytest.raises(NodeError, match="'show'"):
        world.result(wait)


def test_operators_are_heard_beside_the_workers() -> None:
    manager = ManagerMachine(VERSIONS, standing="standing")
    manager.received_from_peer("standing", AdminHello("own"), 1.0)
    assert manager.received_from_peer("own", StatusRequest(3), 1.0) == [HandleAdminRequest("own", StatusRequest(3))]
    assert len(manager.dismiss()) == 1
    assert manager.tick(100.0)
