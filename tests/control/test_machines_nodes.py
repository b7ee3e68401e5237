"""What goes wrong in a node, and what the Manager makes of it."""

from __future__ import annotations

import logging

import pytest

from flowmesh.errors import DeadlineError, NodeDied, NodeError, StateError
from flowmesh.wire.states import GraphState, NodeState

from .fakes import Behaviour
from .harness import BEAT, plan
from .scenarios import CHAIN, FLOWING, ONE, chain, nothing_lives, reach, running, shown


def test_a_setup_that_raises_fails_the_commit() -> None:
    world, graph = chain("local", "other", edges=Behaviour(setup="raises"))
    with pytest.raises(NodeError, match=r"(?s)'edges' on worker 'other' failed in setup:.*ValueError: no") as caught:
        world.result(world.commit(graph))
    assert (caught.value.node, caught.value.worker, caught.value.phase) == ("edges", "other", "setup")
    assert world.manager.state is GraphState.FAILED
    assert nothing_lives(world)
    assert all(process.calls == ["setup", "teardown"] for process in world.processes)
    for verb in (world.start, world.step, world.stop, world.wait):
        with pytest.raises(NodeError, match="'edges' on worker 'other' failed in setup"):
            world.result(verb())


def test_a_setup_that_hangs_fails_the_commit_at_its_deadline() -> None:
    world, graph = chain("local", "other", edges=Behaviour(setup="hangs"))
    begun = world.now
    with pytest.raises(DeadlineError, match=r"setup did not end within 3 s in: 'edges' on worker 'other'$"):
        world.result(world.commit(graph, timeout=3.0))
    assert 3.0 <= world.now - begun <= 3.0 + BEAT
    world.until_state(GraphState.FAILED, within=7)
    assert nothing_lives(world)
    assert world.process("film").calls == ["setup", "teardown"]


def test_a_setup_that_hangs_in_a_new_run_fails_the_start() -> None:
    world = reach(GraphState.FINISHED, "local")
    world.behaviours["show"] = Behaviour(setup="hangs")
    with pytest.raises(DeadlineError, match="within 60 s in: 'show'"):
        world.result(world.start())
    world.until_state(GraphState.FAILED)


def test_a_setup_that_raises_in_a_new_run_fails_the_start() -> None:
    world = reach(GraphState.FINISHED, "local")
    world.behaviours["show"] = Behaviour(setup="raises")
    with pytest.raises(NodeError, match="'show' on worker 'local' failed in setup"):
        world.result(world.start())


def test_a_step_that_raises_lets_what_is_in_flight_arrive() -> None:
    world, graph = chain("local", "other", film=Behaviour(raises_at=10))
    world.result(world.commit(graph))
    world.result(world.start())
    with pytest.raises(NodeError, match=r"'film' on worker 'local' failed in step \(chunk 10\)") as caught:
        world.result(world.wait())
    assert (caught.value.phase, caught.value.number) == ("step", 10)
    assert shown(world) == list(range(1, 10))
    assert nothing_lives(world)
    assert all(process.calls == ["setup", "teardown"] for process in world.processes)


def test_what_is_in_flight_arrives_even_where_the_start_comes_after_the_failure() -> None:
    world, graph = chain("local", "other", film=Behaviour(raises_at=3))
    world.result(world.commit(graph))
    world.workers["other"].cut = True
    world.start()
    world.pass_time(1)
    assert world.manager.state is GraphState.FAILING
    world.workers["other"].cut = False
    world.until_state(GraphState.FAILED, within=2)
    assert shown(world) == [1, 2]


def test_a_step_that_raises_in_the_middle_pauses_the_source() -> None:
    world = running("local", edges=Behaviour(raises_at=5))
    assert world.manager.state is GraphState.FAILED
    assert shown(world) == [1, 2, 3, 4]
    assert world.process("film").steps < 12


def test_the_first_failure_is_raised_and_has_the_others_as_notes() -> None:
    world, graph = chain("local", film=Behaviour(raises_at=4), show=Behaviour(teardown="raises"))
    world.result(world.commit(graph))
    world.result(world.start())
    with pytest.raises(NodeError, match="'film'") as caught:
        world.result(world.wait())
    assert "afterwards: node 'show' on worker 'local' failed in teardown" in caught.value.__notes__[0]
    told = [note.text for note in world.notes if note.level == logging.ERROR]
    assert ["'film'" in told[0], "'show'" in told[1]] == [True, True]


def test_whoever_waits_hears_of_a_failure_when_all_is_torn_down() -> None:
    world = reach(GraphState.FAILING, "local")
    wait = world.wait()
    while world.manager.state is GraphState.FAILING:
        assert world.answers[wait] == []
        world.pass_time(BEAT)
    assert nothing_lives(world)
    with pytest.raises(NodeError):
        world.result(wait, within=0)


def test_a_stop_under_way_fails_at_once_when_a_node_does() -> None:
    world = running("local", show=Behaviour(hangs_at=2))
    stop, begun = world.stop(), world.now
    world.pass_time(9)
    world.crash("film")
    with pytest.raises(NodeDied, match="'film'"):
        world.result(stop)
    assert world.now - begun < 10


@pytest.mark.parametrize(
    ("state", "node"),
    [
        *((state, node) for state in FLOWING for node in ONE),
        *((state, "edges") for state in (GraphState.ENDING, GraphState.RESETTING)),
        *((GraphState.FAILING, node) for node in ("film", "show")),
    ],
)
def test_a_node_may_die_in_any_state(state: GraphState, node: str) -> None:
    world = reach(state, "local", "other")
    wait = world.wait()
    world.crash(node)
    if state is GraphState.RESETTING:
        world.until_state(GraphState.EMPTY, within=7)
    else:
        world.until_state(GraphState.FAILED, within=12)
        with pytest.raises(NodeError) as caught:
            world.result(wait)
        texts = [str(caught.value), *getattr(caught.value, "__notes__", [])]
        assert any(f"the process of node {node!r}" in text and "was ended by SIGSEGV" in text for text in texts)
    assert nothing_lives(world)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (3, r"ended by itself with exit status 3 \(something in it called os\._exit\?\)"),
        (-9, r"was ended by SIGKILL \(.* memory ran out.*\)"),
        (-11, "was ended by SIGSEGV"),
        (-99, "was ended by signal 99"),
    ],
)
def test_a_death_is_told_with_its_cause(status: int, cause: str) -> None:
    world = running()
    world.crash("edges", status)
    with pytest.raises(NodeDied, match=f"the process of node 'edges' on worker 'local' {cause}$") as caught:
        world.result(world.wait())
    assert (caught.value.node, caught.value.worker, caught.value.phase) == ("edges", "local", "process")


def test_a_node_whose_teardown_hangs_is_killed_and_named() -> None:
    world, graph = chain("local", film=Behaviour(chunks=2), edges=Behaviour(teardown="hangs"))
    world.result(world.commit(graph))
    world.result(world.start())
    with pytest.raises(
        NodeDied, match="node 'edges' on worker 'local' did not end within 5 s of being told to, and was"
    ):
        world.result(world.wait())
    assert shown(world) == [1, 2]
    assert nothing_lives(world)


def test_a_stop_names_the_node_that_is_stuck_every_time() -> None:
    world = running("local", edges=Behaviour(hangs_at=3))
    for _ in range(2):
        begun = world.now
        with pytest.raises(DeadlineError, match=r"stop\(\): still busy in a step: 'edges'$"):
            world.result(world.stop())
        assert 5 <= world.now - begun <= 11
    assert world.manager.members["film"].state is NodeState.READY
    world.result(world.reset())
    assert nothing_lives(world)
    assert world.process("film").calls == ["setup", "teardown"]


def test_a_new_graph_runs_where_one_has_failed() -> None:
    world = reach(GraphState.FAILED, "local")
    with pytest.raises(StateError, match="the graph is failed"):
        world.result(world.commit(plan(CHAIN, ONE, "another.1")))
    world.result(world.reset())
    world.result(world.commit(plan(CHAIN, ONE, "another.1")))
    world.result(world.start())
    with pytest.raises(NodeError, match="'film'"):
        world.result(world.wait(), within=5)
    assert nothing_lives(world)
    world.result(world.reset())
    world.behaviours["film"] = Behaviour(chunks=5)
    world.result(world.commit(plan(CHAIN, ONE, "another.2")))
    world.result(world.start())
    assert world.result(world.wait()) is True
    assert shown(world) == [1, 2, 3, 4, 5]
