"""Console output of `flowmesh-worker`: its nodes, and their ends. One line per change."""

from __future__ import annotations

import sys

from flowmesh.wire.messages import Deploy, LogLine, Message, NodeFailure, NodeNews, Rejoin, TearDown
from flowmesh.wire.states import NodeState


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


class ConsoleReporter:
    """A reporter of the messages from and to the Manager, in short lines."""

    def __init__(self) -> None:
        self._states: dict[str, NodeState] = {}
        self._told = ""

    def __call__(self, message: Message) -> None:
        match message:
            case Deploy(plan=plan):
                self._states = {node.name: NodeState.STARTING for node in plan.nodes}
                self._told = ""
                self._tell("committed")
            case NodeNews(node=node, state=state) if node in self._states:
                self._states[node] = state
                self._look()
            case NodeFailure(node=node, phase=phase):
                where = "its process died" if phase == "process" else f"it failed in {phase}"
                say(f"node {node!r}: {where}; the Manager has the whole text")
            case LogLine(node="", text=text):
                print(f"flowmesh-worker: {text}", file=sys.stderr, flush=True)
            case Rejoin():
                say("the Manager had lost this worker: what ran is torn down, and it registers again")
            case TearDown() if self._told != "ended":
                self._tell("tearing down")
            case _:
                pass

    def _look(self) -> None:
        states = set(self._states.values())
        if states == {NodeState.READY}:
            self._tell("ready")
        elif NodeState.RUNNING in states:
            self._tell("running")
        elif states <= {NodeState.CLOSED, NodeState.DEAD}:
            self._tell("ended")

    def _tell(self, what: str) -> None:
        if self._states and what != self._told:
            self._told = what
            say(f"{what}: {', '.join(self._states)}")
