"""The Machines of Manager, workers and nodes, joined: the life of graphs, all that can go wrong in it, any order of events."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from flowmesh.control.effects import Answer, Note
from flowmesh.errors import DeadlineError, GraphError, NodeDied, NodeError, StateError, WorkerError
from flowmesh.wire.lifecycle import GraphState, NodeState
from flowmesh.wire.messages import Failure, LogLine, NodeNews, Reply, Report
from flowmesh.wire.specs import Plan

from .processes import Behaviour
from .world import BEAT, World, plan

CHAIN = ("film > edges", "edges > show")
ONE = {"film": "local", "edges": "local", "show": "local"}
FLOWING = (GraphState.COMMITTING, GraphState.READY, GraphState.RUNNING, GraphState.STOPPING)
TWO = {"film": "local", "edges": "other", "show": "local"}


def chain(*workers: str, **behaviours: Behaviour) -> tuple[World, Plan]:
    """A world and film > edges > show in it, on one worker or, if two are named, on both."""
    mapping = dict(zip(ONE, workers * 3, strict=False))
    return World(*workers, **behaviours), plan(CHAIN, mapping)


def running(*workers: str, **behaviours: Behaviour) -> World:
    """The chain, started and some seconds old."""
    world, graph = chain(*(workers or ("local",)), **behaviours)
    world.result(world.commit(graph))
    world.result(world.start())
    world.pass_time(2)
    return world


def reach(state: GraphState, *workers: str) -> World:
    """A world whose graph is in that state, and stays in it for a while if left alone."""
    hanging = Behaviour(hangs_at=3)
    match state:
        case GraphState.EMPTY:
            return World(*workers)
        case GraphState.COMMITTING:
            world, graph = chain(*workers, edges=Behaviour(setup="hangs"))
            world.commit(graph)
        case GraphState.READY:
            world, graph = chain(*workers)
            world.commit(graph)
        case GraphState.RUNNING:
            return running(*workers)
        case GraphState.STOPPING:
            world = running(*workers, edges=hanging)
            world.stop()
        case GraphState.ENDING:
            world = running(*workers, film=Behaviour(chunks=2), edges=Behaviour(teardown="hangs"))
        case GraphState.FINISHED:
            world = running(*workers, film=Behaviour(chunks=2))
        case GraphState.FAILING:
            world = running(*workers, film=Behaviour(raises_at=2), show=Behaviour(hangs_at=1))
        case GraphState.FAILED:
            world = running(*workers, film=Behaviour(raises_at=2))
        case GraphState.RESETTING:
            world = running(*workers, edges=hanging)
            world.reset()
    world.settle()
    world.pass_time(BEAT)
    assert world.manager.state is state
    return world


def shown(world: World) -> list[int]:
    """The numbers that the sink has stepped."""
    return [number for _, number in world.process("show").took]


def nothing_lives(world: World) -> bool:
    return not any(process.alive for process in world.processes)


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


# --- what goes wrong in a node ---------------------------------------------------------------------------------------


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


# --- what goes wrong with a worker -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(GraphState))
@pytest.mark.parametrize("lost", ["local", "other"])
def test_a_worker_may_vanish_in_any_state(state: GraphState, lost: str) -> None:
    world = reach(state, "local", "other")
    wait = world.wait()
    needed = any(process.alive for process in world.workers[lost].processes.values())
    world.vanish(lost)
    world.pass_time(2.5)
    assert list(world.manager.roster.workers) == [name for name in world.workers if name != lost]
    if state in (GraphState.EMPTY, GraphState.RESETTING):
        world.until_state(GraphState.EMPTY, within=0 if needed else 6)
    elif state is GraphState.FINISHED:
        assert world.result(wait) is True
        with pytest.raises(WorkerError, match=rf"start\(\): nodes are mapped to '{lost}', which is not registered"):
            world.result(world.start())
    else:
        world.until_state(GraphState.FAILED, within=12)
        with pytest.raises((NodeError, WorkerError)) as caught:
            world.result(wait)
        texts = [str(caught.value), *getattr(caught.value, "__notes__", [])]
        assert any(f"worker {lost!r} (pid 7) vanished" in text for text in texts) == needed
    world.result(world.reset())
    assert nothing_lives(world)


def test_the_loss_of_a_worker_names_its_nodes() -> None:
    world = running("local", "other")
    world.vanish("local")
    with pytest.raises(WorkerError, match=r"worker 'local' \(pid 7\) vanished.*; it ran 'film', 'show'$"):
        world.result(world.wait())
    states = {name: (member.state, member.pid) for name, member in world.manager.members.items()}
    assert states == {"film": (NodeState.DEAD, 0), "edges": (NodeState.CLOSED, 0), "show": (NodeState.DEAD, 0)}
    assert "worker 'local' (pid 7) vanished" in next(note.text for note in world.notes if note.level == logging.WARNING)


def test_the_loss_of_the_only_worker_is_the_end_at_once() -> None:
    world = running("local")
    world.vanish("local")
    with pytest.raises(WorkerError, match="vanished"):
        world.result(world.wait(), within=2)


def test_a_commit_to_a_worker_that_has_gone_fails_at_once() -> None:
    world, graph = chain("local", "other")
    world.vanish("other")
    world.pass_time(2)
    begun = world.now
    with pytest.raises(WorkerError, match=r"commit\(\): nodes are mapped to 'other', which is not registered any more"):
        world.result(world.commit(graph))
    assert (world.now, world.manager.state) == (begun, GraphState.EMPTY)
    world.result(world.commit(plan(CHAIN, ONE)))


def test_a_worker_that_was_silent_and_comes_back_is_sent_home() -> None:
    world = running("local", "other")
    world.workers["other"].cut = True
    with pytest.raises(WorkerError, match="'other'"):
        world.result(world.wait())
    assert world.process("edges").alive
    world.result(world.reset())
    world.workers["other"].cut = False
    world.until(lambda: not world.workers["other"].alive, within=7)
    assert nothing_lives(world)
    assert list(world.manager.roster.workers) == ["local"]


def test_a_worker_that_leaves_takes_a_graph_down_that_needs_it() -> None:
    for state in FLOWING:
        world = reach(state, "local", "other")
        world.interrupt("local")
        with pytest.raises(WorkerError, match=r"worker 'local' \(pid 7\) left; it ran 'film', 'show'"):
            world.result(world.wait())
        assert all(process.calls == ["setup", "teardown"] for process in world.processes if not process.stuck)


def test_what_can_not_even_be_killed_is_given_up_and_named() -> None:
    world = running("local", film=Behaviour(chunks=2), show=Behaviour(teardown="hangs", immortal=True))
    assert world.manager.state is GraphState.ENDING
    stop = world.stop()
    assert world.result(world.wait(), within=7) is True
    world.result(stop, within=0)
    assert world.notes[-1].text == "the end of these nodes was not reported: 'show' on 'local'"
    world.process("show").outbox.append(NodeNews("graph.1", "show", NodeState.CLOSED))
    world.settle()
    assert world.manager.members["show"].gone


def test_a_worker_that_leaves_when_its_nodes_have_ended_is_no_loss() -> None:
    world, graph = chain("local", "other", film=Behaviour(chunks=2), edges=Behaviour(teardown="hangs"))
    graph = plan(CHAIN, {"film": "other", "edges": "local", "show": "other"})
    world.result(world.commit(graph))
    world.result(world.start())
    world.until_state(GraphState.ENDING)
    world.until(lambda: world.manager.members["show"].gone)
    world.interrupt("other")
    with pytest.raises(NodeDied, match="'edges'"):
        world.result(world.wait())


def test_workers_that_were_sent_home_are_waited_for() -> None:
    world = running("local", "other")
    world.result(world.reset())
    world.result(world.leave(within=3), within=0)
    assert not world.manager.roster.workers
    assert not any(worker.alive for worker in world.workers.values())
    world.result(world.leave(within=3))


def test_in_a_hurry_workers_are_sent_home_without_a_teardown() -> None:
    world = running("local", "other")
    world.result(world.leave(within=3, at_once=True), within=0)
    assert nothing_lives(world)
    assert all(process.calls == ["setup"] for process in world.processes)


def test_a_worker_that_does_not_go_home_is_not_waited_for_longer_than_said() -> None:
    world = World("local", "other")
    world.workers["other"].cut = True
    begun = world.now
    world.result(world.leave(within=1.0))
    assert 1.0 <= world.now - begun <= 1.0 + BEAT


def test_a_worker_that_leaves_takes_no_new_graph() -> None:
    world, graph = chain("local", "other")
    world.result(world.commit(graph))
    world.result(world.reset())
    world.interrupt("other")
    with pytest.raises(WorkerError, match="'other'"):
        world.result(world.commit(plan(CHAIN, TWO, "another.1")))


def test_a_name_is_free_again_when_its_worker_was_lost() -> None:
    world = World("local")
    world.vanish("local")
    world.pass_time(2.5)
    world.hire("local")
    world.settle()
    world.result(world.commit(plan(CHAIN, ONE)))


# --- requests --------------------------------------------------------------------------------------------------------


def test_nodes_answer_calls_and_gather() -> None:
    world = running("local", "other")
    assert world.result(world.call("edges")) == {"edges": b"edges.method"}
    assert world.result(world.gather()) == {"film": b"film", "edges": b"edges", "show": b"show"}
    world.result(world.stop())
    assert world.result(world.call("film")) == {"film": b"film.method"}


def test_a_busy_node_is_answered_for_by_its_worker() -> None:
    world = running("local", "other", edges=Behaviour(hangs_at=3))
    begun = world.now
    for ask in (partial(world.call, "edges"), world.gather):
        with pytest.raises(NodeError, match="'edges' is busy in step"):
            world.result(ask(timeout=2.0), within=3)
    assert world.now - begun >= 4.0
    assert world.result(world.call("film")) == {"film": b"film.method"}


def test_a_worker_that_does_not_answer_is_named_after_a_moment_more() -> None:
    world = running("local", "other")
    world.workers["other"].cut = True
    with pytest.raises(DeadlineError, match=r"edges.method\(\): no answer in time from 'edges'"):
        world.result(world.call("edges", timeout=0.2), within=1.5)


def test_unknown_and_lost_nodes_are_named() -> None:
    world = running("local", "other")
    with pytest.raises(GraphError, match=r"shwo.method\(\): no node 'shwo' is committed"):
        world.result(world.call("shwo"))
    call = world.call("edges", timeout=60)
    world.vanish("other")
    with pytest.raises(WorkerError, match="'other'"):
        world.result(call, within=3)
    with pytest.raises(StateError, match="it is fail"):
        world.result(world.call("edges"))


def test_a_call_of_a_node_that_has_left_fails_at_once() -> None:
    world = reach(GraphState.ENDING, "local")
    with pytest.raises(NodeError, match="node 'film' does not run any more"):
        world.result(world.call("film"), within=0)
    with pytest.raises(NodeError, match="does not run any more"):
        world.result(world.gather(), within=0)


def test_a_call_of_a_node_that_dies_meanwhile_fails_when_it_does() -> None:
    world = running("local", edges=Behaviour(hangs_at=3))
    call = world.call("edges", timeout=60)
    world.pass_time(1)
    world.crash("edges")
    with pytest.raises(NodeError, match="'edges' does not run any more"):
        world.result(call, within=1)


def test_status_leaves_out_who_does_not_answer() -> None:
    world = running("local", "other")
    assert set(world.result(world.inspect())) == {"local", "other"}
    world.workers["other"].cut = True
    assert set(world.result(world.inspect(timeout=1.0))) == {"local"}
    world.pass_time(3)
    assert set(world.result(world.inspect())) == {"local"}
    assert set(world.manager.reports) == {"local", "other"}
    world.result(world.reset())
    assert world.result(world.inspect()) == {}


def test_what_a_worker_logs_is_told_with_where_it_comes_from() -> None:
    world = running()
    world.workers["local"].up.append(LogLine("film", "local", logging.WARNING, "dark"))
    world.settle()
    assert world.notes[-1] == Note(logging.WARNING, "dark", "film", "local")


@pytest.mark.parametrize(("graph", "node"), [("graph.1", "stranger"), ("graph.0", "film"), ("", "film")])
def test_news_of_what_is_not_there_change_nothing(graph: str, node: str) -> None:
    for world in (running(), World("local")):
        before = [(member.name, member.state, member.gone) for member in world.manager.members.values()]
        late = [
            NodeNews(graph, node, NodeState.DEAD, gone=True),
            Reply(99, b""),
            Reply(99, error="late"),
            Report(99, graph),
        ]
        if graph == "graph.0":
            late.append(Failure(graph, node, "local", "step", 1, "late"))
        world.workers["local"].up.extend(late)
        world.settle()
        assert world.manager.error is None
        assert [(member.name, member.state, member.gone) for member in world.manager.members.values()] == before


# --- any order -------------------------------------------------------------------------------------------------------

SHAPES = (
    (CHAIN, ONE),
    (CHAIN, TWO),
    (("a > c", "b > c", "c > d", "c > e"), {"a": "local", "b": "other", "c": "third", "d": "local", "e": "other"}),
)
MISHAPS = {
    "setup": ("raises", "hangs"),
    "teardown": ("raises", "hangs"),
    "raises_at": range(1, 30),
    "hangs_at": range(1, 30),
    "immortal": (False, True),
}


def behaviours(chance: random.Random, nodes: list[str]) -> dict[str, Behaviour]:
    """Nodes that mostly do well, and sources that mostly end."""
    made = {node: Behaviour(chunks=chance.choice((3, 20, 20, None))) for node in nodes}
    for _ in range(chance.choice((0, 0, 1, 2))):
        mishap = chance.choice(list(MISHAPS))
        setattr(made[chance.choice(nodes)], mishap, chance.choice(MISHAPS[mishap]))
    return made


def deeds(world: World, chance: random.Random, graph: Plan, calm: bool) -> list[Callable[[], object]]:
    """What may be done to the world next; what happens more often is there more often."""
    node, name = chance.choice(graph.names), chance.choice(list(world.workers))
    worker = world.workers[name]

    def commit() -> None:
        for lost in [name for name in world.workers if name not in world.manager.roster.workers]:
            if not world.workers[lost].alive:
                world.hire(lost)
        world.settle()
        world.commit(replace(graph, graph=f"graph{len(world.answers)}.1"), timeout=4.0)

    if world.manager.state is GraphState.EMPTY and chance.random() < 0.8:
        return [commit]

    def cut_or_mend() -> None:
        worker.cut = not worker.cut

    def crash() -> None:
        if node in {process.name for process in world.processes if process.alive}:
            world.crash(node)

    def lose() -> None:
        if worker.alive:
            chance.choice((world.vanish, world.interrupt))(name)

    pauses = [lambda: world.pass_time(chance.choice((BEAT, BEAT, 2.0, 7.0)))] * 6
    verbs = [
        *[world.start] * 4,
        world.stop,
        world.stop,
        world.step,
        world.wait,
        world.reset,
        world.gather,
        world.inspect,
    ]
    requests = [lambda: world.call(node), commit]
    accidents = [crash, crash, cut_or_mend, lose, lambda: world.jump(chance.choice((1.0, 3.0, 30.0)))]
    return [*pauses, *verbs, *requests, *([] if calm else accidents)]


def accounts_balance(world: World) -> None:
    """Every chunk that was sent was stepped, in order, or lies somewhere, or was dropped at an end; none of a whole run."""
    current = [process for worker in world.workers.values() for process in worker.processes.values()]
    for process in world.processes:
        sent = sum(edge.window.sent for edge in process.inputs)
        dropped, unread = sum(edge.dropped for edge in process.inputs), sum(edge.unread for edge in process.inputs)
        assert sent == len(process.took) + dropped + process.waiting + unread
        for place in range(len(process.inputs)):
            took = [number for where, number in process.took if where == place]
            assert took == list(range(1, len(took) + 1))
        if process in current and world.manager.state is GraphState.FINISHED:
            assert sent == len(process.took)


def schedule(seed: int) -> None:
    chance = random.Random(seed)
    edges, mapping = chance.choice(SHAPES)
    graph, calm = plan(edges, mapping), chance.random() < 0.4
    world = World(*dict.fromkeys(mapping.values()), seed=seed, **behaviours(chance, list(mapping)))
    world.pass_time(1)
    for _ in range(chance.randint(10, 40)):
        chance.choice(deeds(world, chance, graph, calm))()
        accounts_balance(world)
    for worker in world.workers.values():
        worker.cut = False
    world.pass_time(1)
    reset = world.reset()
    world.pass_time(20)
    assert not [token for token, answers in world.answers.items() if len(answers) != 1]
    assert isinstance(world.answers[reset][0], Answer)
    assert world.manager.state is GraphState.EMPTY
    living = [process for process in world.processes if process.alive]
    assert all(process.behaviour.immortal for process in living)
    for worker in world.workers.values():
        left = {name for name, member in worker.machine.members.items() if worker.alive and not member.gone}
        assert left == {name for name in left if worker.processes[name] in living}


@pytest.mark.parametrize("hundred", range(6))
def test_any_order_of_events_ends_well(hundred: int) -> None:
    for seed in range(hundred * 100, hundred * 100 + 100):
        try:
            schedule(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
