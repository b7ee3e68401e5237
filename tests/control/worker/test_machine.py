"""The Machine of a worker: in which order nodes are forked, set up, told, torn down and killed, and what is said of them."""

from __future__ import annotations

from math import inf

import pytest

from flowmesh.control.worker.effects import (
    AnswerBusy,
    ExpectChannel,
    ForkNode,
    KillNode,
    Leave,
    OpenChannel,
    ReleaseGraph,
    ReportMetrics,
    SendToManager,
    SendToNode,
    SetUpNode,
)
from flowmesh.control.worker.machine import WorkerMachine
from flowmesh.wire.messages import (
    AnyMessage,
    Call,
    Deploy,
    Dismiss,
    EdgeEnd,
    Gather,
    LogLine,
    MetricsRequest,
    NodeFailure,
    NodeNews,
    PauseBlocked,
    Reply,
    Start,
    Stop,
    TearDown,
    Welcome,
)
from flowmesh.wire.states import NodeState

from ..harness import plan

S = NodeState
GRAPH = plan(["film > edges", "edges > show"], {"film": "local", "edges": "local", "show": "other"})
START, STOP, TEAR_DOWN = Start("graph.1", 1), Stop("graph.1", 1), TearDown("graph.1")


def worker(set_up: bool = True) -> WorkerMachine:
    """A worker with film and edges, which have all their ends and are ready if `set_up`."""
    machine = WorkerMachine("local")
    machine.received_from_manager(Deploy(GRAPH.for_worker("local"), 5.0), 0.0)
    for pid, node in enumerate(machine.nodes, start=100):
        machine.node_forked(node, pid)
    if set_up:
        for edge, side in ((0, "in"), (0, "out"), (1, "out")):
            machine.channel_end_arrived(edge, side)
        for node in machine.nodes:
            machine.received_from_node(node, NodeNews("graph.1", node, S.READY))
    return machine


def news(node: str, state: NodeState, turn: int = 0, pid: int = 0, gone: bool = False) -> SendToManager:
    return SendToManager(NodeNews("graph.1", node, state, turn, pid, gone))


# --- a graph comes ---------------------------------------------------------------------------------------------------


def test_a_plan_is_carried_out_in_order() -> None:
    machine = WorkerMachine("local")
    effects = machine.received_from_manager(Deploy(GRAPH.for_worker("local"), 5.0), 0.0)
    assert effects == [ReleaseGraph(), ForkNode("film"), ForkNode("edges"), OpenChannel(0), OpenChannel(1)]


def test_an_edge_that_another_worker_makes_is_claimed() -> None:
    machine = WorkerMachine("other")
    assert machine.received_from_manager(Deploy(GRAPH.for_worker("other"), 5.0), 0.0) == [
        ReleaseGraph(),
        ForkNode("show"),
        ExpectChannel(1),
    ]
    assert machine.channel_end_arrived(1, "in") == [SetUpNode("show")]


def test_a_node_without_edges_is_set_up_at_once() -> None:
    machine = WorkerMachine("local")
    effects = machine.received_from_manager(Deploy(plan([], {"alone": "local"}), 5.0), 0.0)
    assert effects == [ReleaseGraph(), ForkNode("alone"), SetUpNode("alone")]


def test_a_node_is_set_up_when_its_last_end_is_there() -> None:
    machine = worker(set_up=False)
    assert machine.channel_end_arrived(0, "in") == []
    assert machine.channel_end_arrived(0, "out") == [SetUpNode("film")]
    assert machine.channel_end_arrived(1, "out") == [SetUpNode("edges")]
    assert machine.channel_end_arrived(1, "out") == []


def test_what_a_node_is_set_up_with() -> None:
    message = worker().set_up_message("edges")
    assert (message.graph, message.worker, message.run, message.epoch) == ("graph.1", "local", 1, 1)
    assert (message.node.name, message.names) == ("edges", ("film", "edges", "show"))
    assert message.inputs == (EdgeEnd(0, "film", "lossless", 256, 4, False),)
    assert message.outputs == (EdgeEnd(1, "show", "lossless", 256, 4, False),)


def test_the_nodes_of_the_graph_before_are_killed_and_their_calls_forgotten() -> None:
    machine = worker()
    machine.received_from_manager(Call("graph.1", 5, "film", 1.0, "method", b""), 0.0)
    machine.node_exited("edges", 0, "", 0.0)
    effects = machine.received_from_manager(Deploy(plan([], {"film": "local"}, "graph.2"), 5.0), 0.0)
    assert effects == [KillNode("film"), ReleaseGraph(), ForkNode("film"), SetUpNode("film")]
    assert list(machine.nodes) == ["film"]
    assert machine.tick(99.0) == []


# --- it is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [START, STOP, TEAR_DOWN])
def test_what_the_manager_says_goes_to_all_that_are_there(message: AnyMessage) -> None:
    machine = worker()
    assert machine.received_from_manager(message, 0.0) == [SendToNode("film", message), SendToNode("edges", message)]
    machine.node_exited("film", 1, "", 0.0)
    assert machine.received_from_manager(message, 0.0) == [SendToNode("edges", message)]


def test_that_a_consumer_has_paused_is_told_to_the_node_concerned_while_it_is_there() -> None:
    machine = worker()
    message = PauseBlocked("graph.1", "film")
    assert machine.received_from_manager(message, 0.0) == [SendToNode("film", message)]
    assert machine.received_from_manager(PauseBlocked("graph.1", "show"), 0.0) == []
    assert machine.received_from_manager(PauseBlocked("graph.0", "film"), 0.0) == []
    machine.node_exited("film", 1, "", 0.0)
    assert machine.received_from_manager(message, 0.0) == []


@pytest.mark.parametrize("message", [Start("graph.0", 1), Stop("graph.0", 1), TearDown("graph.0"), Welcome()])
def test_what_concerns_another_graph_or_nobody_is_passed_over(message: AnyMessage) -> None:
    assert worker().received_from_manager(message, 0.0) == []
    assert WorkerMachine("local").received_from_manager(message, 0.0) == []


def test_an_inspection_is_a_report() -> None:
    assert worker().received_from_manager(MetricsRequest(9), 0.0) == [ReportMetrics(9)]


@pytest.mark.parametrize("kind", [Call("graph.1", 5, "film", 2.0, "method", b""), Gather("graph.1", 5, "film", 2.0)])
def test_a_request_goes_to_its_node_and_is_answered_for_it_when_it_is_busy(kind: Call | Gather) -> None:
    machine = worker()
    assert machine.received_from_manager(kind, 10.0) == [SendToNode("film", kind)]
    assert machine.tick(11.9) == []
    assert machine.tick(12.0) == [AnswerBusy(5, "film")]
    assert machine.tick(13.0) == []
    assert machine.received_from_manager(kind, 20.0) == [SendToNode("film", kind)]
    assert machine.received_from_node("film", Reply(5, b"value")) == [SendToManager(Reply(5, b"value"))]
    assert machine.tick(30.0) == []


def test_a_request_to_a_node_that_is_not_there_is_answered_at_once() -> None:
    machine = worker()
    machine.received_from_node("edges", NodeNews("graph.1", "edges", S.CLOSED))
    for graph, node in (("graph.1", "show"), ("graph.1", "edges"), ("graph.0", "film")):
        refusal = SendToManager(Reply(5, error=f"node {node!r} does not run any more"))
        assert machine.received_from_manager(Gather(graph, 5, node, 2.0), 0.0) == [refusal]


def test_a_request_to_a_node_that_dies_is_answered_when_it_does() -> None:
    machine = worker()
    for token, node in ((5, "film"), (6, "edges"), (7, "film")):
        machine.received_from_manager(Gather("graph.1", token, node, 2.0), 0.0)
    effects = machine.node_exited("film", -9, "", 1.0)
    assert effects[1:3] == [SendToManager(Reply(token, error="node 'film' does not run any more")) for token in (5, 7)]
    assert machine.tick(2.0) == [AnswerBusy(6, "edges")]


# --- its nodes speak and end -----------------------------------------------------------------------------------------


def test_news_carry_the_pid_and_the_turn() -> None:
    machine = worker(set_up=False)
    assert machine.received_from_node("film", NodeNews("graph.1", "film", S.READY)) == [news("film", S.READY, 0, 100)]
    assert machine.received_from_node("film", NodeNews("graph.1", "film", S.RUNNING, 4)) == [
        news("film", S.RUNNING, 4, 100)
    ]
    assert machine.node_forked("film", 200) == [news("film", S.RUNNING, 4, 200)]


def test_what_else_a_node_says_goes_up_as_it_is() -> None:
    line = LogLine("film", "local", 20, "hello")
    assert worker().received_from_node("film", line) == [SendToManager(line)]
    assert worker().received_from_node("stranger", line) == []


def test_a_node_that_was_closed_leaves_without_a_word_of_failure() -> None:
    machine = worker()
    machine.received_from_node("film", NodeNews("graph.1", "film", S.CLOSED, 2))
    assert machine.node_exited("film", 0, "", 0.0) == [news("film", S.CLOSED, 2, gone=True)]


@pytest.mark.parametrize("state", [S.STARTING, S.READY, S.RUNNING, S.ENDED, S.FAILED])
def test_a_node_that_dies_is_a_failure_with_what_its_crash_has_left(state: NodeState) -> None:
    machine = worker()
    machine.received_from_node("film", NodeNews("graph.1", "film", state, 2))
    text = "was ended by SIGSEGV\nFatal Python error"
    assert machine.node_exited("film", -11, "Fatal Python error", 0.0) == [
        SendToManager(NodeFailure("graph.1", "film", "local", "process", 0, text)),
        news("film", S.DEAD, 2, gone=True),
    ]


def test_a_node_that_dies_before_it_is_set_up_is_a_failure_too() -> None:
    failure, last = worker(set_up=False).node_exited("film", 0, "", 0.0)
    text = "ended by itself with exit status 0 (something in it called os._exit?)"
    assert failure == SendToManager(NodeFailure("graph.1", "film", "local", "process", 0, text))
    assert last == news("film", S.DEAD, gone=True)


def test_a_node_that_does_not_leave_in_time_is_killed_once() -> None:
    machine = worker()
    machine.received_from_manager(TEAR_DOWN, 10.0)
    machine.received_from_manager(TEAR_DOWN, 14.0)  # a second time does not give it more
    machine.node_exited("edges", 0, "", 14.0)
    assert machine.tick(14.9) == []
    assert machine.tick(15.0) == [KillNode("film")]
    assert machine.tick(16.0) == []
    failure, last = machine.node_exited("film", -9, "", 16.0)
    assert isinstance(failure, SendToManager)
    assert "did not end within 5 s of being told to, and was killed" in str(failure.message)
    assert last == news("film", S.DEAD, gone=True)


def test_a_node_that_was_never_set_up_is_killed_at_once_and_that_is_its_close() -> None:
    machine = worker(set_up=False)
    machine.channel_end_arrived(0, "in")
    machine.channel_end_arrived(0, "out")
    assert machine.received_from_manager(TEAR_DOWN, 0.0) == [SendToNode("film", TEAR_DOWN), KillNode("edges")]
    assert machine.channel_end_arrived(1, "out") == []  # which comes too late
    assert machine.node_exited("edges", -9, "", 0.0) == [news("edges", S.CLOSED, gone=True)]


def test_the_end_of_a_process_that_is_nobodys_is_passed_over() -> None:
    assert worker().node_exited("stranger", 0, "", 0.0) == []


# --- it leaves -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dismissed", [True, False])
def test_a_worker_leaves_when_its_last_node_has(dismissed: bool) -> None:
    machine = worker()
    leaving = machine.received_from_manager(Dismiss(), 0.0) if dismissed else machine.leave(0.0)
    assert leaving == [SendToNode("film", TEAR_DOWN), SendToNode("edges", TEAR_DOWN)]
    assert Leave() not in machine.node_exited("film", 0, "", 0.0)
    assert machine.received_from_manager(Deploy(GRAPH, 5.0), 0.0) == []
    assert machine.node_exited("edges", 0, "", 0.0)[-1] == Leave()


def test_in_a_hurry_a_worker_kills_what_lives_once() -> None:
    machine = worker()
    machine.node_exited("film", 0, "", 0.0)
    assert machine.received_from_manager(Dismiss(at_once=True), 0.0) == [KillNode("edges")]
    assert machine.leave(0.0, at_once=True) == []
    assert machine.node_exited("edges", -9, "", 0.0)[-1] == Leave()


def test_how_long_a_node_may_take_is_said_with_the_plan() -> None:
    machine = WorkerMachine("local")
    machine.received_from_manager(Deploy(plan([], {"film": "local"}), 2.0), 0.0)
    machine.leave(10.0)
    assert (machine.tick(11.9), machine.tick(12.0)) == ([], [KillNode("film")])


def test_a_worker_without_nodes_leaves_at_once() -> None:
    assert WorkerMachine("local").received_from_manager(Dismiss(), 0.0) == [Leave()]


# --- when it is due --------------------------------------------------------------------------------------------------


def test_the_next_look_at_the_clock_is_when_something_has_to_be_done() -> None:
    machine = worker()
    assert machine.due == inf
    machine.received_from_manager(Call("graph.1", 1, "film", 2.0, "method", b""), 10.0)
    machine.received_from_manager(Gather("graph.1", 2, "edges", 1.0), 10.0)
    assert machine.due == 11.0
    machine.tick(11.0)
    assert machine.due == 12.0
    machine.received_from_node("film", Reply(1))
    assert machine.due == inf
    machine.received_from_manager(TEAR_DOWN, 20.0)
    assert machine.due == 25.0
    machine.tick(25.0)
    assert machine.due == inf


def test_a_link_that_has_to_be_started_again_is_due_too() -> None:
    crossing = plan(["film > edges"], {"film": "local", "edges": "far"}, hosts={"far": "host 2"})
    machine = WorkerMachine("local")
    machine.received_from_manager(Deploy(crossing.for_worker("local"), 5.0), 0.0)
    machine.gateway_exited(-9, 0.5)
    assert machine.due == 1.5
    machine.tick(1.5)
    assert machine.due == inf
