"""A worker's report: what the link adds to the counters of edges that cross hosts."""

from __future__ import annotations

from typing import Any

from flowmesh.daemon.metrics import report
from flowmesh.wire.messages import EdgeCounters, NodeCounters
from flowmesh.wire.plan_specs import EdgeSpec, Plan, Transfer
from flowmesh.wire.states import NodeState

from .test_gateway_process import PLAN

FAN = Transfer(0, "film", 0, "here", "there", (EdgeSpec(4, "film", "a"), EdgeSpec(6, "film", "b")), 8)


class Seat:
    """A node's place, with counters as the test says."""

    def __init__(self, **edges: dict[int, EdgeCounters]) -> None:
        self._edges = edges

    def count(self, now: float) -> NodeCounters:
        return NodeCounters(NodeState.RUNNING, **self._edges)  # type: ignore[arg-type]


class Link:
    """A link's place, likewise."""

    def leaving(self, transfer: Transfer) -> EdgeCounters:
        return EdgeCounters(dropped={"oldest": 1, "died": 2}, encoded=500, codecs=2)

    def arriving(self, transfer: Transfer) -> list[EdgeCounters]:
        return [EdgeCounters(dropped={"superseded": 3}), EdgeCounters()]


def counted(plan: Plan | None, **seats: Seat) -> Any:
    return report(7, plan, seats, Link(), 0.0)  # type: ignore[arg-type]


def with_transfers(*parts: Transfer) -> Plan:
    return Plan(PLAN.graph, 1, PLAN.names, PLAN.nodes, PLAN.edges, PLAN.code, parts)


def test_without_a_graph_there_is_nothing_to_count() -> None:
    assert (counted(None).graph, counted(None).nodes) == ("", {})


def test_what_a_producer_has_sent_was_sent_on_each_edge_of_the_transfer() -> None:
    sent = {4: EdgeCounters(sent=10, bytes=1000, dropped={"oldest": 5}), 5: EdgeCounters(sent=10)}
    nodes = counted(with_transfers(FAN), film=Seat(outputs=sent)).nodes
    both = EdgeCounters(sent=10, bytes=1000, dropped={"oldest": 6, "died": 2}, encoded=500, codecs=2)
    assert nodes["film"].outputs == {4: both, 5: EdgeCounters(sent=10), 6: both}


def test_what_the_link_has_dropped_on_the_way_to_a_consumer_is_that_edges() -> None:
    seats = {
        "a": Seat(inputs={4: EdgeCounters(received=6, copied=1, dropped={"superseded": 1})}),
        "b": Seat(inputs={6: EdgeCounters(received=9)}),
    }
    nodes = counted(with_transfers(FAN), **seats).nodes
    assert nodes["a"].inputs == {4: EdgeCounters(received=6, copied=1, dropped={"superseded": 4})}
    assert nodes["b"].inputs == {6: EdgeCounters(received=9)}
