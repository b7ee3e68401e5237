"""What flowmesh-worker says of what it hears: one line a change."""

from __future__ import annotations

import logging

import pytest

from flowmesh.wire.messages import Deploy, Heartbeat, LogLine, NodeFailure, NodeNews, Rejoin, TearDown
from flowmesh.wire.plan_specs import Code, NodeSpec, Plan
from flowmesh.wire.states import NodeState
from worker_entry.console import ConsoleReporter

NODES = tuple(NodeSpec(place, name, "step", b"") for place, name in enumerate(("film", "edges")))
PLAN = Plan("g.1", 1, ("film", "edges"), NODES, (), Code(b""))


@pytest.fixture
def teller(capsys: pytest.CaptureFixture[str]) -> ConsoleReporter:
    teller = ConsoleReporter()
    teller(Deploy(PLAN, 5.0))
    assert capsys.readouterr().out == "committed: film, edges\n"
    return teller


def become(teller: ConsoleReporter, *states: NodeState) -> None:
    for node, state in zip(("film", "edges"), states, strict=False):
        teller(NodeNews("g.1", node, state))


def test_the_life_of_a_graph(teller: ConsoleReporter, capsys: pytest.CaptureFixture[str]) -> None:
    become(teller, NodeState.READY)
    assert capsys.readouterr().out == ""
    become(teller, NodeState.READY, NodeState.READY)
    become(teller, NodeState.RUNNING, NodeState.RUNNING)
    become(teller, NodeState.ENDED, NodeState.ENDED)
    teller(TearDown("g.1"))
    become(teller, NodeState.CLOSED, NodeState.DEAD)
    assert capsys.readouterr().out.splitlines() == [
        f"{what}: film, edges" for what in ("ready", "running", "tearing down", "ended")
    ]


def test_what_fails_is_named(teller: ConsoleReporter, capsys: pytest.CaptureFixture[str]) -> None:
    teller(NodeFailure("g.1", "film", "w", "step", 3, "text"))
    teller(NodeFailure("g.1", "edges", "w", "process", 0, "text"))
    assert capsys.readouterr().out.splitlines() == [
        "node 'film': it failed in step; the Manager has the whole text",
        "node 'edges': its process died; the Manager has the whole text",
    ]


def test_warnings_of_the_worker_go_to_standard_error(
    teller: ConsoleReporter, capsys: pytest.CaptureFixture[str]
) -> None:
    teller(LogLine("", "w", logging.WARNING, "an edge is full"))
    teller(LogLine("film", "w", logging.INFO, "what a node logs"))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "flowmesh-worker: an edge is full\n")


def test_being_lost_is_told_and_all_else_is_not(teller: ConsoleReporter, capsys: pytest.CaptureFixture[str]) -> None:
    teller(Rejoin())
    teller(Heartbeat())
    teller(NodeNews("g.1", "another", NodeState.RUNNING))
    assert capsys.readouterr().out == (
        "the Manager had lost this worker: what ran is torn down, and it registers again\n"
    )
