"""The Machine of one node: stepping, pause, end, failure and exit. It runs in the node process. No I/O."""

from __future__ import annotations

from collections.abc import Collection

from ...wire.messages import NodeNews
from ...wire.packets import END, PAUSE
from ...wire.states import NODE, NodeState, move
from ..node.effects import CloseInputs, ExitProcess, NodeEffect, RunTearDown, SendMarker, SendToWorker


class NodeMachine:
    """The state of one node: events in, effects out. Between two steps the stepper reads only `may_step`."""

    def __init__(self, graph: str, name: str, inputs: int) -> None:
        self._graph = graph
        self._name = name
        self._source = inputs == 0
        self.state = NodeState.STARTING
        self.may_step = False
        self._start_id = 0
        self._steps_left: int | None = None
        self._open = set(range(inputs))
        self._paused: dict[int, int] = {}

    def set_up(self) -> list[NodeEffect]:
        """Note that the user's `setup` has returned."""
        return self._become("set up")

    def start(self, turn: int, steps: int | None) -> list[NodeEffect]:
        """Handle the Manager's Start. A node that has ended or failed has nothing to start."""
        if self.state is not NodeState.READY:
            return []
        self._start_id = turn
        self._steps_left = steps
        return self._become("start")

    def stop(self, turn: int, now: bool) -> list[NodeEffect]:
        """Handle the Manager's Stop. A node with inputs drains them first, unless it must pause `now`."""
        if self.state is not NodeState.RUNNING or turn != self._start_id:
            return []
        return self._pause() if self._source or now else []

    @property
    def counts_steps(self) -> bool:
        """Whether `step_done` must be called after each step of a source."""
        return self._steps_left is not None

    def step_done(self) -> list[NodeEffect]:
        """Count a step: a source may have done all that was asked of it."""
        if self._steps_left is None or not self._source:
            return []
        self._steps_left -= 1
        return self._pause() if self._steps_left <= 0 and self.state is NodeState.RUNNING else []

    def input_paused(self, index: int, turn: int) -> None:
        """Note that an input's PAUSE marker of this start id has arrived, and so all that was sent before it."""
        self._paused[index] = turn

    def input_ended(self, index: int) -> None:
        """Note that an input has ended, or that its producer has died."""
        self._open.discard(index)

    def on_inputs_idle(self, missing: Collection[int] = ()) -> list[NodeEffect]:
        """Handle inputs without a possible step. `missing`: the inputs each of which must bring something first; once
        one of them has paused, nothing that the others bring matters until the next start."""
        if self.state is not NodeState.RUNNING or self._source:
            return []
        paused = {index for index in self._open if self._paused.get(index, 0) >= self._start_id}
        return self._pause() if paused == self._open or paused.intersection(missing) else []

    def on_blocked_by_paused(self) -> list[NodeEffect]:
        """Handle an emission that waits for a consumer that has paused already."""
        return self._pause() if self.state is NodeState.RUNNING else []

    def node_ended(self) -> list[NodeEffect]:
        """End the node: its source said so, its inputs have finished, or no consumer takes what it sends."""
        if self.state is not NodeState.RUNNING:
            return []
        return [CloseInputs("after_end"), SendMarker(END, 0), *self._become("ended")]

    def step_failed(self) -> list[NodeEffect]:
        """Handle an exception of the user's code that ends the node."""
        if self.state not in (NodeState.STARTING, NodeState.READY, NodeState.RUNNING, NodeState.ENDED):
            return []
        return [CloseInputs("failed"), SendMarker(END, 0), *self._become("failed")]

    def tear_down(self) -> list[NodeEffect]:
        """Handle the Manager's TearDown, or the loss of the worker."""
        if self.state is NodeState.CLOSED:
            return []
        return [RunTearDown(), *self._become("closed"), ExitProcess()]

    def _pause(self) -> list[NodeEffect]:
        return [SendMarker(PAUSE, self._start_id), *self._become("paused")]

    def _become(self, event: str) -> list[NodeEffect]:
        self.state = move(NODE, self.state, event)
        self.may_step = self.state is NodeState.RUNNING
        return [SendToWorker(NodeNews(graph=self._graph, node=self._name, state=self.state, start_id=self._start_id))]
