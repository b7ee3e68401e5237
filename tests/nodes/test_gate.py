"""Gate: what passes is the very chunk; what does not is counted; it is worked from the Manager."""

from __future__ import annotations

from typing import Any

import pytest

import flowmesh as fm
from flowmesh.errors import GraphError
from flowmesh.node import registered_methods
from flowmesh.nodes import Gate, TestPattern

from ..integration.single_host.conftest import Cluster
from ..integration.single_host.example_nodes import Collect, chain
from .conftest import chunk_of


def test_it_passes_the_chunk_itself_while_it_is_open() -> None:
    gate = Gate("gate")
    gate.setup()
    chunk = chunk_of(frame=1)
    assert gate.step({"anyone": chunk}) is chunk
    gate.close()
    assert gate.step({"anyone": chunk}) is None
    assert (gate.is_open(), gate.dropped()) == (False, 1)
    gate.open()
    assert gate.step({"someone": chunk}) is chunk
    assert gate.dropped() == 1


def test_it_can_begin_closed_and_begins_so_again() -> None:
    gate = Gate("gate", opened=False)
    gate.setup()
    gate.open()
    gate.setup()
    assert not gate.is_open()
    assert registered_methods(gate) == ("close", "dropped", "is_open", "open")


@pytest.mark.parametrize("opened", [1, "yes", None])
def test_open_or_not_is_no_other_value(opened: Any) -> None:
    with pytest.raises(GraphError, match="opened is True or False"):
        Gate("gate", opened=opened)


def test_in_a_graph_nothing_passes_until_it_is_opened(cluster: Cluster) -> None:
    film = TestPattern("film", width=320, height=240, rate=200)
    gate, sink = Gate("gate", opened=False), Collect("sink")
    manager = cluster.commit(chain(film, gate, sink))
    manager.start()
    cluster.until_steps("gate", 5)
    assert manager.status().nodes["sink"].steps == 0
    manager.request_registered_method(gate, "open")
    cluster.until_steps("sink", 5)
    manager.request_registered_method(gate, "close")
    manager.stop()
    dropped = manager.request_registered_method(gate, "dropped")
    edges = manager.status().edges
    assert dropped >= 5
    assert edges["film", "gate"].received == dropped + edges["gate", "sink"].sent


def test_it_works_inline() -> None:
    graph = chain(TestPattern("film", width=128, height=128, frames=3), Gate("gate"), sink := Collect("sink"))
    fm.run(graph, inline=True)
    assert len(sink.got) == 3
