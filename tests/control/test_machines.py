"""The Machines of Manager, workers and nodes, joined: the life of graphs, all that can go wrong in it, any order of events."""

from __future__ import annotations

import logging

import pytest

from flowmesh.errors import StateError
from flowmesh.wire.states import GraphState, NodeState

from .fakes import DEPTH, Behaviour
from .harness import BEAT, World, plan
from .scenarios import CHAIN, ONE, chain, nothing_lives, reach, running, shown

# --- a graph's life --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [("local",), ("local", "other")])
def test_commit_start_stop_start_end_and_a_new_run(workers: tuple[str, ...]) -> None:
    world, graph = chain(*workers, film=Behaviour(chunks=40))
    world.result(world.commit(graph))
    assert world.manager.state is GraphState.READY
    world.result(world.start())
    world.pass_time(2)
    assert set(world.result(world.inspect())) == set(workers)
    assert all(member.pid for member in world.manager.members.values())
    world.result(world.stop())
    assert world.manager.state is GraphState.READY
    paused = shown(world)
    assert 0 < len(paused) < 40
    assert paused == list(range(1, world.process("film").steps + 1))
    world.pass_time(5)
    assert shown(world) == paused

    world.result(world.start())
    assert world.result(world.wait()) is True
    assert world.manager.state is GraphState.FINISHED
    assert shown(world) == list(range(1, 41))
    assert nothing_lives(world)
    assert all(process.calls == ["setup", "teardown"] for process in world.processes)
    assert not any(member.pid for member in world.manager.members.values())
    assert world.result(world.wait()) is True
    world.result(world.stop())

    world.result(world.start())
    assert world.manager.plan is not None
    assert (world.manager.plan.graph, world.manager.plan.run) == ("graph.2", 2)
    assert world.manager.reports == {}
    assert world.result(world.wait()) is True
    assert shown(world) == list(range(1, 41))
    assert len(world.processes) == 6
    assert not [note for note in world.notes if note.level >= logging.WARNING]


def test_a_stop_that_meets_the_end_waits_for_it() -> None:
    world, graph = chain("local", film=Behaviour(chunks=2))
    world.result(world.commit(graph))
    world.start()
    world.result(world.stop())
    assert world.manager.state in (GraphState.READY, GraphState.FINISHED)
    world.start()
    assert world.result(world.wait()) is True
    assert shown(world) == [1, 2]


def test_a_stop_does_not_wait_for_ever_for_what_is_in_flight() -> None:
    world = running()
    for _ in range(2):
        world.process("edges").stuck = True
        world.pass_time(2)
        stop = world.stop()
        world.pass_time(6)
        assert world.answers[stop] == []
        world.process("edges").stuck = False
        world.result(stop, within=BEAT)
        assert shown(world) != list(range(1, world.process("film").steps + 1))
        world.result(world.start())
    world.pass_time(2)
    world.result(world.stop())
    assert shown(world) == list(range(1, world.process("film").steps + 1))


ZIPPED = ("left > show", "right > slow", "slow > show")


@pytest.mark.parametrize("workers", [("local",), ("local", "other")])
def test_a_stop_waits_for_nobody_who_waits_for_whom_has_paused(workers: tuple[str, ...]) -> None:
    """One source is far ahead of the other, and the windows of the zip are full of what has no partner yet."""
    world = World(*workers, show=Behaviour(zips=True))
    names = ("left", "right", "slow", "show")
    mapping = {name: workers[index % len(workers)] for index, name in enumerate(names)}
    world.result(world.commit(plan(ZIPPED, mapping)))
    for _ in range(2):
        world.result(world.start())
        world.process("left").stuck = True
        world.pass_time(5)
        right = world.process("right")
        assert right.steps > world.process("left").steps + DEPTH
        before = len(shown(world))
        stop, begun = world.stop(), world.now
        world.process("left").stuck = False
        world.result(stop)
        assert world.now - begun <= 2 * BEAT
        assert [process.machine.state for process in world.processes] == [NodeState.READY] * 4
        assert len(shown(world)) >= before
    world.result(world.start())
    world.pass_time(5)
    left = [number for index, number in world.process("show").took if index == 0]
    assert left == list(range(1, len(left) + 1))
    assert left == [number for index, number in world.process("show").took if index == 1]


def test_only_at_rest_and_never_of_the_dead_is_it_known_what_lies_where() -> None:
    world, graph = chain("local")
    world.result(world.commit(graph))
    assert world.manager.at_rest == set(ONE)
    world.result(world.start())
    assert world.manager.at_rest == set()
    world.result(world.stop())
    assert world.manager.at_rest == set(ONE)
    world.start()
    world.crash("edges")
    world.until_state(GraphState.FAILED)
    assert world.manager.at_rest == {"film", "show"}


def test_nodes_that_have_ended_are_paused_too() -> None:
    world = World("local", short=Behaviour(chunks=2))
    graph = plan(["short > show", "long > show"], dict.fromkeys(("short", "long", "show"), "local"))
    world.result(world.commit(graph))
    world.result(world.start())
    world.pass_time(2)
    world.result(world.stop())
    assert world.manager.members["short"].state is NodeState.ENDED
    assert world.manager.state is GraphState.READY
    before = len(shown(world))
    world.result(world.start())
    world.pass_time(1)
    assert len(shown(world)) > before
    world.result(world.stop())


def test_a_single_step_is_one_of_every_source_and_all_that_follows() -> None:
    world, graph = chain("local", "other")
    world.result(world.commit(graph))
    for number in (1, 2):
        world.result(world.step())
        assert world.manager.state is GraphState.READY
        assert shown(world) == list(range(1, number + 1))
    world.result(world.start())
    world.pass_time(2)
    assert len(shown(world)) > 4


def test_verbs_that_do_not_fit_the_state_say_so() -> None:
    world = World("local")
    for verb in (world.start, world.step, world.stop):
        with pytest.raises(StateError, match=r"is not possible while the graph is empty"):
            world.result(verb())
    with pytest.raises(StateError, match="no graph to wait for"):
        world.result(world.wait())
    with pytest.raises(StateError, match=r"gather\(\) needs a graph that is ready or running; it is empty"):
        world.result(world.gather())
    world.result(world.reset())

    world = running()
    world.result(world.start())  # it runs already, which is what was wanted
    with pytest.raises(StateError, match=r"the graph is running: reset\(\) it before another is committed"):
        world.result(world.commit(plan(CHAIN, ONE)))
    with pytest.raises(StateError, match=r"step\(\) is not possible while the graph is running"):
        world.result(world.step())
    world.result(world.stop())
    world.result(world.stop())


def test_two_who_stop_or_reset_at_once_are_both_answered() -> None:
    world = running()
    for verb in (world.stop, world.reset):
        for token in (verb(), verb()):
            world.result(token)


def test_a_new_run_that_is_reset_while_it_is_set_up_does_not_start_later() -> None:
    world = reach(GraphState.FINISHED, "local")
    start = world.ask(lambda manager, token: manager.start(token, world.now), 72)
    world.result(world.reset())
    with pytest.raises(StateError, match="the graph was reset"):
        world.result(start)
    world.result(world.commit(plan(CHAIN, ONE, "another.1")))
    world.pass_time(2)
    assert world.manager.state is GraphState.READY


def test_another_graph_may_follow_one_that_has_finished() -> None:
    world = reach(GraphState.FINISHED, "local")
    world.result(world.commit(plan(["film > end"], {"film": "local", "end": "local"}, "another.1")))
    world.result(world.start())
    assert world.result(world.wait()) is True
    assert [number for _, number in world.process("end").took] == [1, 2]


@pytest.mark.parametrize("state", [GraphState.FINISHED, GraphState.FAILED])
def test_a_reset_of_what_is_torn_down_takes_no_time(state: GraphState) -> None:
    world = reach(state, "local")
    world.result(world.reset(), within=0)


def test_a_reset_ends_all_that_is_waited_for() -> None:
    world = running("local", edges=Behaviour(hangs_at=3))
    tokens = [world.wait(), world.stop(), world.call("edges", timeout=60), world.gather(timeout=60)]
    world.reset()
    for token in tokens:
        with pytest.raises(StateError, match="the graph was reset"):
            world.result(token, within=0)


@pytest.mark.parametrize("state", list(GraphState))
@pytest.mark.parametrize("workers", [("local",), ("local", "other")])
def test_reset_tears_down_whatever_there_is(state: GraphState, workers: tuple[str, ...]) -> None:
    world = reach(state, *workers)
    world.result(world.reset(), within=10)
    assert world.manager.state is GraphState.EMPTY
    assert (world.manager.plan, world.manager.members) == (None, {})
    assert nothing_lives(world)
    assert all(process.calls == ["setup", "teardown"] for process in world.processes if not process.stuck)
    world.behaviours.clear()
    world.result(world.commit(plan(CHAIN, dict(zip(ONE, workers * 3, strict=False)), "another.1")))
