"""What the Manager knows of the nodes of a committed graph, and how far they are."""

from __future__ import annotations

from flowmesh.control.manager.deployment import Deployment
from flowmesh.wire.messages import NodeNews
from flowmesh.wire.states import NodeState

from ..harness import plan
from ..scenarios import CHAIN, TWO


def committed() -> Deployment:
    """film > edges > show, started once; edges runs on a worker of its own."""
    nodes = Deployment(plan(CHAIN, TWO))
    nodes.start_id = 1
    return nodes


def tell(nodes: Deployment, state: NodeState, *names: str, turn: int = 0, gone: bool = False) -> None:
    for name in names:
        nodes.node_changed(NodeNews(graph=nodes.graph, node=name, state=state, start_id=turn, pid=7, gone=gone))


def test_without_a_plan_there_is_nobody() -> None:
    nodes = Deployment()
    assert (nodes.graph, nodes.nodes, nodes.workers, nodes.busy, nodes.gone) == ("", {}, [], [], True)


def test_a_worker_is_named_once() -> None:
    assert committed().workers == ["local", "other"]


def test_a_node_is_busy_until_it_has_paused_after_the_last_start_or_ended() -> None:
    nodes = committed()
    tell(nodes, NodeState.READY, "film", turn=1)
    tell(nodes, NodeState.READY, "edges", turn=0)
    tell(nodes, NodeState.ENDED, "show")
    assert [member.name for member in nodes.busy] == ["edges"]


def test_only_who_sends_to_a_paused_node_and_is_busy_is_outrun() -> None:
    nodes = committed()
    tell(nodes, NodeState.RUNNING, "film", "edges")
    tell(nodes, NodeState.READY, "show", turn=1)
    assert [member.name for member in nodes.unpaused_senders(nodes.nodes["show"])] == ["edges"]
    tell(nodes, NodeState.READY, "edges", turn=1)
    assert nodes.unpaused_senders(nodes.nodes["show"]) == []


def test_nodes_that_left_in_order_are_a_loss_only_while_they_are_needed() -> None:
    nodes = committed()
    tell(nodes, NodeState.CLOSED, "film", gone=True)
    assert [member.name for member in nodes.worker_lost_nodes("local", needed=False)] == ["show"]
    assert nodes.nodes["show"].state is NodeState.DEAD
    assert [member.name for member in nodes.worker_lost_nodes("local", needed=True)] == ["film", "show"]
    assert nodes.nodes["film"].state is NodeState.CLOSED


def test_what_a_node_says_that_was_given_up_is_not_heard() -> None:
    nodes = committed()
    assert [member.name for member in nodes.give_up()] == ["film", "edges", "show"]
    tell(nodes, NodeState.RUNNING, "film")
    assert nodes.nodes["film"].state is NodeState.STARTING
    assert nodes.gone
