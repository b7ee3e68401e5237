"""A graph in one process, one step after the other: no process, no socket, the same joins and the same rules of a node.

It is for breakpoints, profilers and quick trials. Nothing is dropped but what a join drops, and nothing is fast.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

import numpy as np

from .chunk import DataChunk, Origin, Stamp, Times
from .control.joins import AnyJoin, FollowJoin, Join
from .errors import EndOfStream, FlowmeshError, NodeError, StateError
from .graph import Graph
from .node import Node
from .wire import values
from .wire.specs import EdgeSpec


class _Seat:
    """A node and what waits for it. It is the node's host, as the stepper is in a process of its own."""

    def __init__(self, node: Node, edges: tuple[EdgeSpec, ...]) -> None:
        self.node = node
        self.senders = [edge.source for edge in edges if edge.target == node.name]
        self.followers: list[tuple[_Seat, int]] = []
        self.ended = False
        self.set_up = False
        self.join = _join([edge for edge in edges if edge.target == node.name])
        self._number = 0
        self._steps = 0
        self._stamp = Stamp()
        self._emissions = 0
        self._stepping = False

    def work(self) -> bool:
        """Do one step if there is anything to do; whether there was."""
        if self.ended:
            return False
        if self.join is None:
            self._step(Stamp(trigger=self._steps + 1))
            return True
        taken = self.join.take()
        if taken is None:
            if self.join.over:
                self._end()
                return True
            return False
        place, chunks = taken
        trigger = chunks[place].stamp
        origin = trigger.origin
        self._step(
            Stamp(trigger=trigger.number, origin=origin),
            {self.senders[where]: chunk for where, chunk in chunks.items()},
        )
        return True

    def _step(self, stamp: Stamp, *data: dict[str, DataChunk]) -> None:
        self._stamp = stamp
        self._emissions = 0
        self._steps += 1
        self._stepping = True
        try:
            value = call(self.node.step, *data)
            if value is not None:
                self.emit(value)
        except EndOfStream:
            self._end()
        except Exception as error:
            if self.node.on_error != "skip":
                raise _node_error(self.node, "step", error) from error
            self.node.logger.error("step raised at chunk %d, which is skipped", stamp.trigger, exc_info=error)
        finally:
            self._stepping = False

    def emit(self, value: Any) -> None:
        if not self._stepping:
            raise StateError(f"{self.node.name}: emit() works only inside step()")
        self._number += 1
        chunk = DataChunk.of(value)
        now = time.time()
        origin = self._stamp.origin or {self.node.name: Origin(self._number, now)}
        stamp = self._stamp._replace(
            run=1, epoch=1, number=self._number, emission=self._emissions, origin=origin, times=Times(now, 0.0, 0.0)
        )
        self._emissions += 1
        packed = values.pack(chunk.records())
        payload = bytearray(packed.size)
        values.write(packed, memoryview(payload))
        for follower, place in self.followers:
            if not follower.ended and follower.join is not None:
                follower.join.put(place, DataChunk(values.unpack(packed.records, bytes(payload)), stamp))

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def _end(self) -> None:
        self.ended = True
        for follower, place in self.followers:
            if follower.join is not None:
                follower.join.end(place)


def run_inline(graph: Graph) -> None:
    """Run the graph to its end in this process; see `flowmesh.run`.

    Raises:
        GraphError: the graph contradicts itself.
        NodeError: a node raised; its own exception is the cause.
    """
    graph.check()
    specs = graph.specs()
    seats = {name: _Seat(graph.nodes[name]["node"], specs.edges) for name in specs.names}
    for edge in specs.edges:
        target = seats[edge.target]
        seats[edge.source].followers.append((target, target.senders.index(edge.source)))
    failure: BaseException | None = None
    try:
        for seat in seats.values():
            seat.node._host = seat
            seat.set_up = True
            _guarded(seat.node, "setup")
        _flow(list(seats.values()))
    except BaseException as error:
        failure = error
        raise
    finally:
        _tear_down(list(seats.values()), failure)


def _flow(seats: list[_Seat]) -> None:
    """Downstream first: what is in flight is worked off before a source steps again."""
    while not all(seat.ended for seat in seats):
        if not any(seat.work() for seat in reversed(seats)):
            return
        for seat in seats:
            if seat.followers and all(follower.ended for follower, _ in seat.followers) and not seat.ended:
                seat._end()


def _tear_down(seats: list[_Seat], failure: BaseException | None) -> None:
    errors: list[FlowmeshError] = []
    for seat in seats:
        try:
            if seat.set_up:
                _guarded(seat.node, "teardown")
        except NodeError as raised:
            errors.append(raised)
        seat.node._host = None
    for error in errors:
        if failure is None:
            raise error
        failure.add_note(f"afterwards: {error}")


def _guarded(node: Node, phase: str) -> None:
    try:
        call(getattr(node, phase))
    except Exception as error:
        raise _node_error(node, phase, error) from error


def call(method: Any, *arguments: Any) -> Any:
    """Call a method that may be a coroutine's."""
    value = method(*arguments)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def _node_error(node: Node, phase: str, error: Exception) -> NodeError:
    return NodeError(f"node {node.name!r} failed in {phase}: {error!r}", node=node.name, worker="inline", phase=phase)


def _join(edges: list[EdgeSpec]) -> Join[DataChunk] | None:
    if not edges:
        return None
    followed = [place for place, edge in enumerate(edges) if edge.follow]
    if len(followed) == len(edges):
        return AnyJoin(len(edges))
    return FollowJoin(len(edges), followed[0], edges[followed[0]].depth)
