"""What goes wrong with a worker; and requests, which workers answer."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from flowmesh.control.effect import Log
from flowmesh.errors import DeadlineError, GraphError, NodeDied, NodeError, StateError, WorkerError
from flowmesh.wire.messages import (
    Departure,
    Deploy,
    Gather,
    LogLine,
    Message,
    MetricsReport,
    NodeFailure,
    NodeNews,
    Reply,
)
from flowmesh.wire.states import GraphState, NodeState

from .fakes import Behaviour
from .harness import BEAT, Worker, World, plan, registration
from .scenarios import CHAIN, FLOWING, ONE, TWO, chain, nothing_lives, reach, running


@pytest.mark.parametrize("state", list(GraphState))
@pytest.mark.parametrize("lost", ["local", "other"])
def test_a_worker_may_vanish_in_any_state(state: GraphState, lost: str) -> None:
    world = reach(state, "local", "other")
    wait = world.wait()
    needed = any(process.alive for process in world.workers[lost].processes.values())
    world.vanish(lost)
    world.pass_time(2.5)
    assert list(world.manager.registry.workers) == [name for name in world.workers if name != lost]
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


def test_another_process_under_the_key_of_a_worker_ends_what_that_one_ran_at_once() -> None:
    world = running("local", "other")
    wait = world.wait()
    worker = world.workers["other"]
    world.manager_receives(worker, registration("other", life="another"))
    with pytest.raises(
        WorkerError, match="worker 'other' .pid 7. died, and another process has taken its place; it ran"
    ):
        world.result(wait, within=1)
    assert "other" in world.manager.registry.workers


def test_a_worker_that_dies_of_an_error_says_which() -> None:
    world = running("local", "other")
    world.manager_receives(world.workers["other"], Departure("other", "died of OSError: no descriptor is left"))
    with pytest.raises(
        WorkerError, match="worker 'other' .pid 7. died of OSError: no descriptor is left; it ran 'edges'"
    ):
        world.result(world.wait())


def test_the_same_process_that_registers_once_more_loses_nothing() -> None:
    world = running("local", "other")
    world.manager_receives(world.workers["other"], registration("other", life=""))
    world.pass_time(1)
    assert world.manager.state is GraphState.RUNNING


@pytest.mark.parametrize(
    "message",
    [
        NodeNews("graph.1", "film", NodeState.ENDED, 1, 7, True),
        NodeFailure("graph.1", "film", "other", "step", 3, "spoofed"),
        LogLine("film", "other", logging.ERROR, "spoofed"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_a_worker_says_of_another_ones_nodes_is_ignored_and_counted(message: Message) -> None:
    world = running("local", "other")
    world.manager_receives(world.workers["other"], message)
    world.pass_time(1)
    assert world.manager.ignored == 1
    assert world.manager.state is GraphState.RUNNING
    assert not any("spoofed" in note.text for note in world.notes)
    world.manager_receives(world.workers["local"], LogLine("film", "local", logging.ERROR, "its own"))
    assert any(note.text == "its own" for note in world.notes)


def test_an_answer_counts_only_from_the_worker_that_was_asked() -> None:
    world = running("local", "other")
    gathering = world.gather()
    numbers = [message.call_id for message in world.workers["local"].down if isinstance(message, Gather)]
    for number in numbers:
        world.manager_receives(world.workers["other"], Reply(number, b"spoofed"))
    assert world.manager.ignored == len(numbers) > 0
    assert b"spoofed" not in world.result(gathering).values()


def test_a_plan_that_a_broken_connection_took_is_sent_again_and_one_that_came_is_not_begun_twice() -> None:
    world, graph = chain("local", "other")
    token = world.commit(graph)
    assert [type(message) for message in world.workers["other"].down] == [Deploy]
    world.workers["other"].down.clear()
    again = next(iter(world.workers["local"].down))
    begun = world.now
    world.result(token)
    assert 2.0 <= world.now - begun < 5.0
    assert world.manager.state is GraphState.READY
    world.workers["local"].down.append(again)
    pids = {name: member.pid for name, member in world.manager.members.items()}
    world.pass_time(1)
    assert pids == {name: member.pid for name, member in world.manager.members.items()}
    assert world.manager.state is GraphState.READY


def test_a_worker_that_was_silent_and_comes_back_is_registered_again_with_nothing_running() -> None:
    world = running("local", "other")
    world.workers["other"].cut = True
    with pytest.raises(WorkerError, match="'other'"):
        world.result(world.wait())
    lost = world.process("edges")
    assert lost.alive
    world.result(world.reset())
    assert list(world.manager.registry.workers) == ["local"]
    world.workers["other"].cut = False
    world.until(lambda: "other" in world.manager.registry.workers, within=7)
    assert not lost.alive
    assert lost.calls == ["setup", "teardown"]
    world.result(world.commit(plan(CHAIN, TWO, "another.1")))
    world.result(world.start())
    world.pass_time(2)
    assert world.process("show").took


def test_what_is_stuck_on_a_worker_that_comes_back_is_killed_before_it_registers() -> None:
    world = running("local", "other", edges=Behaviour(hangs_at=3))
    world.workers["other"].cut = True
    world.pass_time(3)
    world.workers["other"].cut = False
    world.pass_time(4)
    assert list(world.manager.registry.workers) == ["local"]
    assert world.process("edges").alive
    world.until(lambda: "other" in world.manager.registry.workers, within=3)
    assert not world.process("edges").alive


def test_a_worker_that_comes_back_when_its_name_is_taken_leaves() -> None:
    world = running("local", "other")
    lost = world.workers["other"]
    lost.cut = True
    with pytest.raises(WorkerError, match="'other'"):
        world.result(world.wait())
    successor = Worker("other")
    successor.key = "another key"
    world.workers = {"local": world.workers["local"], "lost": lost, "other": successor}
    world.register(successor)
    world.settle()
    assert world.manager.registry.workers["other"].key == "another key"
    lost.cut = False
    world.until(lambda: not lost.alive, within=7)
    assert world.manager.registry.workers["other"].key == "another key"


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
    assert not world.manager.registry.workers
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
    assert world.notes[-1] == Log(logging.WARNING, "dark", "film", "local")


@pytest.mark.parametrize(("graph", "node"), [("graph.1", "stranger"), ("graph.0", "film"), ("", "film")])
def test_news_of_what_is_not_there_change_nothing(graph: str, node: str) -> None:
    for world in (running(), World("local")):
        before = [(member.name, member.state, member.gone) for member in world.manager.members.values()]
        late = [
            NodeNews(graph, node, NodeState.DEAD, gone=True),
            Reply(99, b""),
            Reply(99, error="late"),
            MetricsReport(99, graph),
        ]
        if graph == "graph.0":
            late.append(NodeFailure(graph, node, "local", "step", 1, "late"))
        world.workers["local"].up.extend(late)
        world.settle()
        assert world.manager.error is None
        assert [(member.name, member.state, member.gone) for member in world.manager.members.values()] == before
