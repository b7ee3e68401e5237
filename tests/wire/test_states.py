from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from flowmesh.errors import StateError
from flowmesh.wire.states import GRAPH, NODE, GraphState, NodeState, diagram, move

TABLES = pytest.mark.parametrize(("table", "states"), [(GRAPH, GraphState), (NODE, NodeState)], ids=["graph", "node"])


def reachable(table: dict[Any, dict[str, Any]], state: Any) -> set[Any]:
    found, left = {state}, [state]
    while left:
        new = set(table[left.pop()].values()) - found
        found |= new
        left += new
    return found


@TABLES
def test_every_state_has_a_row_and_can_be_reached(table: dict[Any, dict[str, Any]], states: type[Enum]) -> None:
    assert list(table) == list(states)
    assert reachable(table, next(iter(table))) == set(states)


@TABLES
def test_a_move_of_the_table_is_made_and_any_other_raises(table: dict[Any, dict[str, Any]], states: type[Enum]) -> None:
    assert set(table) == set(states)
    events = {event for moves in table.values() for event in moves}
    for state, moves in table.items():
        for event in events:
            if event in moves:
                assert move(table, state, event) is moves[event]
            else:
                with pytest.raises(StateError, match=f"'{event}' is not possible while {state.value}; possible: "):
                    move(table, state, event)


def test_an_illegal_move_lists_the_legal_ones() -> None:
    with pytest.raises(StateError, match="'start' is not possible while empty; possible: commit$"):
        move(GRAPH, GraphState.EMPTY, "start")
    with pytest.raises(StateError, match="possible: nothing$"):
        move(NODE, NodeState.DEAD, "start")


def test_a_graph_can_be_reset_from_everywhere_and_committed_again() -> None:
    for state in set(GraphState) - {GraphState.EMPTY, GraphState.RESETTING}:
        assert move(GRAPH, state, "reset") is GraphState.RESETTING
    assert GraphState.COMMITTING in reachable(GRAPH, GraphState.RESETTING)


def test_a_node_leaves_every_state_but_the_last_ones() -> None:
    final = {state for state, moves in NODE.items() if not moves}
    assert NodeState.DEAD in final
    assert final <= {NodeState.CLOSED, NodeState.DEAD}
    for state in set(NodeState) - final:
        assert move(NODE, state, "died") is NodeState.DEAD


@TABLES
def test_the_diagram_shows_the_whole_table(table: dict[Any, dict[str, Any]], states: type[Enum]) -> None:
    head, start, *arrows = diagram(table).splitlines()
    assert head == "stateDiagram-v2"
    assert start.strip() == f"[*] --> {next(iter(states)).value}"
    assert len(arrows) == sum(map(len, table.values()))
    for state, moves in table.items():
        for event, after in moves.items():
            assert f"    {state.value} --> {after.value}: {event}" in arrows
