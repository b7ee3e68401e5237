"""A worker's link: when its process is started, started again and ended, and what passes between it and the Manager."""

from __future__ import annotations

import logging

from flowmesh.control.worker.effects import (
    ConnectConsumers,
    ConnectProducer,
    EndGateway,
    SendToGateway,
    SendToManager,
    StartGateway,
)
from flowmesh.control.worker.gateway_supervisor import GatewaySupervisor
from flowmesh.wire.messages import GatewayOpened, Heartbeat, LinkNews, LogLine, PeerGateways
from flowmesh.wire.plan_specs import LinkAddress

from ..harness import plan

WORKERS = {"film": "here", "edges": "there", "show": "here"}
GRAPH = plan(["film > edges", "edges > show"], WORKERS, hosts={"there": "host 2"})
LINK = LinkAddress("key", "10.0.0.1", 4001)
START = [StartGateway("10.0.0.9"), ConnectProducer(0), ConnectConsumers(1)]
AGAIN = [StartGateway("10.0.0.9"), ConnectProducer(0), ConnectConsumers(1, restarts=1)]


def keeper() -> GatewaySupervisor:
    keeper = GatewaySupervisor("here")
    assert keeper.begin_graph(GRAPH.for_worker("here"), "10.0.0.9", 0.0) == START
    return keeper


def warning(how: str) -> SendToManager:
    text = f"the link's process of worker 'here' {how}; it is started again"
    return SendToManager(LogLine("", "here", logging.WARNING, text))


def test_a_graph_that_crosses_no_hosts_starts_no_link() -> None:
    keeper = GatewaySupervisor("here")
    assert keeper.begin_graph(plan(["film > edges"], WORKERS), "", 0.0) == []
    assert keeper.end_graph() == []


def test_it_ends_once_and_then_hears_and_says_nothing() -> None:
    link = keeper()
    assert link.end_graph() == [EndGateway()]
    assert link.end_graph() == []
    assert link.gateway_ended("was ended by SIGKILL", 1.0) == []
    assert link.tick(100.0) == []
    assert link.peers_changed(PeerGateways("graph.1", {})) == []
    assert link.gateway_reported(GatewayOpened("here", LINK)) == []


def test_what_it_says_goes_to_the_manager_as_this_workers_word_of_this_graph() -> None:
    link = keeper()
    assert link.gateway_reported(GatewayOpened("liar", LINK)) == [SendToManager(GatewayOpened("here", LINK, "graph.1"))]
    assert link.gateway_reported(LinkNews("liar", "there", True, "x")) == [
        SendToManager(LinkNews("here", "there", True, "x", "graph.1"))
    ]
    assert link.gateway_reported(LogLine("film", "liar", 30, "text")) == [
        SendToManager(LogLine("", "here", 30, "text"))
    ]
    assert link.gateway_reported(Heartbeat()) == []


def test_what_was_before_a_graph_is_not_its_affair() -> None:
    link = keeper()
    link.gateway_ended("was ended by SIGKILL", 60.0)
    link.end_graph()
    assert link.begin_graph(GRAPH.for_worker("here"), "10.0.0.9", 61.0) == START


def test_it_is_told_its_peers() -> None:
    peers = PeerGateways("graph.1", {"there": LINK})
    assert keeper().peers_changed(peers) == [SendToGateway(peers)]


def test_one_that_dies_is_started_again_with_new_channels() -> None:
    assert keeper().gateway_ended("was ended by SIGKILL", 60.0) == [warning("was ended by SIGKILL"), *AGAIN]


def test_one_that_can_not_live_is_started_again_with_pauses() -> None:
    link = keeper()
    assert link.gateway_ended("ended with exit status 1", 0.1) == [warning("ended with exit status 1")]
    assert link.peers_changed(PeerGateways("graph.1", {})) == []
    assert link.tick(1.0) == []
    assert link.tick(1.1) == AGAIN
    assert link.tick(1.2) == []
    assert link.gateway_ended("ended with exit status 1", 1.2) == [warning("ended with exit status 1")]
    assert link.end_graph() == []
    assert link.tick(100.0) == []
