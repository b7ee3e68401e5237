"""The states of a graph and of a node, each as one table. Nothing else sets a state; an illegal move raises.

`diagram(table)` prints the table as Mermaid text; the documentation's picture is made by it.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from ..errors import StateError


class GraphState(Enum):
    EMPTY = "empty"
    COMMITTING = "committing"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDING = "ending"
    FINISHED = "finished"
    FAILING = "failing"
    FAILED = "failed"
    RESETTING = "resetting"


class NodeState(Enum):
    STARTING = "starting"
    READY = "ready"
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"
    CLOSED = "closed"
    DEAD = "dead"


State = TypeVar("State", bound=Enum)
Table = dict[State, dict[str, State]]

_G, _N = GraphState, NodeState

GRAPH: Table[GraphState] = {
    _G.EMPTY: {"commit": _G.COMMITTING},
    _G.COMMITTING: {"set up": _G.READY, "failed": _G.FAILING, "reset": _G.RESETTING},
    _G.READY: {"start": _G.RUNNING, "halt": _G.ENDING, "failed": _G.FAILING, "reset": _G.RESETTING},
    _G.RUNNING: {
        "stop": _G.STOPPING,
        "paused": _G.READY,
        "ended": _G.ENDING,
        "failed": _G.FAILING,
        "reset": _G.RESETTING,
    },
    _G.STOPPING: {
        "paused": _G.READY,
        "ended": _G.ENDING,
        "halt": _G.ENDING,
        "failed": _G.FAILING,
        "reset": _G.RESETTING,
    },
    _G.ENDING: {"closed": _G.FINISHED, "failed": _G.FAILING, "reset": _G.RESETTING},
    _G.FINISHED: {"start": _G.COMMITTING, "reset": _G.RESETTING},
    _G.FAILING: {"closed": _G.FAILED, "reset": _G.RESETTING},
    _G.FAILED: {"reset": _G.RESETTING},
    _G.RESETTING: {"closed": _G.EMPTY},
}

NODE: Table[NodeState] = {
    _N.STARTING: {"set up": _N.READY, "failed": _N.FAILED, "closed": _N.CLOSED, "died": _N.DEAD},
    _N.READY: {"start": _N.RUNNING, "failed": _N.FAILED, "closed": _N.CLOSED, "died": _N.DEAD},
    _N.RUNNING: {"paused": _N.READY, "ended": _N.ENDED, "failed": _N.FAILED, "closed": _N.CLOSED, "died": _N.DEAD},
    _N.ENDED: {"failed": _N.FAILED, "closed": _N.CLOSED, "died": _N.DEAD},
    _N.FAILED: {"closed": _N.CLOSED, "died": _N.DEAD},
    _N.CLOSED: {},
    _N.DEAD: {},
}


def move(table: Table[State], state: State, event: str) -> State:
    """The state that follows `event`.

    Raises:
        StateError: the table has no such move; the text lists those that there are.
    """
    try:
        return table[state][event]
    except KeyError:
        possible = ", ".join(table[state]) or "nothing"
        raise StateError(f"{event!r} is not possible while {state.value}; possible: {possible}") from None


def diagram(table: Table[State]) -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(table)).value}"]
    for state, moves in table.items():
        lines += [f"    {state.value} --> {after.value}: {event}" for event, after in moves.items()]
    return "\n".join(lines)
