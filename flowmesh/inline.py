"""A graph in one process, one step after the other: no process, no socket, the same joins and the same rules of a node.

Use it for breakpoints, profilers and quick trials. Only joins drop chunks; it is not fast.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .chunk import DataChunk, Nanoseconds, Origin, Stamp, Times
from .control.node.joins import AnyJoin, FollowJoin, Join, PairingJoin
from .control.node.pairing import AlignJoin, ZipJoin
from .control.node.watermarks import Cause, WatermarkTracker
from .errors import ChunkError, EndOfStream, FlowmeshError, GraphError, NodeError, StateError
from .failures import chunks
from .graph.graph import Graph, GraphSpecs
from .node import Node
from .wire import values
from .wire.packets import Origins
from .wire.plan_specs import JoinSpec


class _Item(NamedTuple):
    """A value that waits for a step, with the cause that it will be."""

    chunk: DataChunk
    cause: Cause


class _InlineNode:
    """A node and what waits for it. It is the node's host, as the Stepper is in a node process."""

    def __init__(self, node: Node, specs: GraphSpecs) -> None:
        self.node = node
        self.senders = [edge.source for edge in specs.edges if edge.target == node.name]
        self.followers: list[tuple[_InlineNode, int]] = []
        self.ended = False
        self.set_up = False
        self.number = 0
        self._newest_ns = 0
        self.spec = specs.joins[node.name]
        self.pairing = _pairing(self.spec, len(self.senders))
        self.join = self.pairing or _plain_join(
            [edge.follow for edge in specs.edges if edge.target == node.name], self.spec.keeps
        )
        self._sent_by: dict[int, _InlineNode] = {}  # the senders by the indices of their inputs
        self._waiting: list[list[Cause]] = [[] for _ in self.senders]
        self._names = specs.names
        self._index = specs.names.index(node.name)
        self._progress = WatermarkTracker(self.spec.carries, frozenset(specs.forks))
        self._says = node.name in specs.marks
        self._steps = 0
        self._trigger = 0
        self._causes: list[Cause] = []
        self._emissions = 0
        self._stepping = False

    def send_to(self, follower: _InlineNode) -> None:
        """Join the two by an edge of the graph."""
        index = follower.senders.index(self.node.name)
        self.followers.append((follower, index))
        follower._sent_by[index] = self

    def work(self) -> bool:
        """Do one step if there is anything to do; returns whether there was."""
        if self.ended:
            return False
        if self.join is None:
            self._step(self._steps + 1, [])
            return True
        taken = self.join.next_step()
        self._drop(self.pairing.drop_unpaired() if self.pairing else [])
        if taken is not None:
            index, items = taken
            self._drop([(where, item, "") for where, item in items.items()])
            causes = items if self.spec.kind == "zip" else {index: items[index]}
            data = {self.senders[where]: item.chunk for where, item in items.items()}
            self._step(items[index].cause.number, [item.cause for item in causes.values()], data)
        elif self.join.finished:
            self.end()
        else:
            return False
        return True

    def put(self, index: int, item: _Item) -> None:
        if not self.ended and self.join is not None:
            self._waiting[index].append(item.cause)
            dropped = self.join.add_chunk(index, item)
            self._drop([] if dropped is None else [dropped])

    def _drop(self, gone: list[tuple[int, _Item, str]]) -> None:
        for index, item, _ in gone:
            self._waiting[index] = [cause for cause in self._waiting[index] if cause.number > item.cause.number]

    def mark(self) -> None:
        """Pass watermarks to a join that pairs items: its upstream has drained."""
        if self.pairing is None:
            return
        for index, sender in self._sent_by.items():
            if self.spec.kind == "align":
                self.pairing.watermark(index, min(sender._passed(output)[1] for output in sender._sources()))
            else:
                self.pairing.watermark(index, sender._passed(self.spec.pair_by[index])[0])

    def _sources(self) -> frozenset[int]:
        """The sources' outputs that it descends from; its own, if it is one."""
        above = frozenset().union(*self.spec.carries.values()) - self._progress.forks
        return above or frozenset([self._index])

    def _passed(self, output: int) -> tuple[int, int]:
        """The number and time of an output up to which everything that descends from it was sent on."""
        if output == self._index:
            return self.number, time.time_ns()
        return min(self._worked_off(index, output) for index, carried in self.spec.carries.items() if output in carried)

    def _worked_off(self, index: int, output: int) -> tuple[int, int]:
        if not self._waiting[index]:
            return self._sent_by[index]._passed(output)
        oldest = self._waiting[index][0]
        number, at = oldest.origin.get(output, (oldest.number, oldest.time))
        return number - 1, at - 1

    def _step(self, trigger: int, causes: list[Cause], *data: dict[str, DataChunk]) -> None:
        self._trigger = trigger
        self._causes = causes
        self._emissions = 0
        self._steps += 1
        self._stepping = True
        try:
            value = call(self.node.step, *data)
            if value is not None:
                self._send(value, not self._causes or not self._says or self._progress.completes(self._causes))
        except EndOfStream:
            self.end()
        except Exception as error:
            if self.node.on_error != "skip":
                raise _node_error(self.node, "step", error, trigger, *data) from error
            self.node.logger.error("step raised at chunk %d, which is skipped", trigger, exc_info=error)
        finally:
            self._stepping = False

    def emit(self, value: Any) -> None:
        if not self._stepping:
            raise StateError(f"{self.node.name}: emit() works only inside step()")
        self._send(value, False)

    def _send(self, value: Any, last: bool) -> None:
        chunk = DataChunk.of(value)
        packed = values.pack(chunk.records())
        payload = bytearray(packed.size)
        values.write(packed, memoryview(payload))
        self.number += 1
        origin: Origins = {}
        for cause in self._causes:
            origin.update(self._progress.origin(cause))
        now = chunk.preset_created or time.time_ns()
        if now < self._newest_ns:
            raise ChunkError(
                f"{self.node.name}: a chunk's time must not be earlier than that of the last one, got {now}"
            )
        self._newest_ns = now
        stamp = self._stamp(origin, now, last)
        self._emissions += 1
        for follower, index in self.followers:
            received = DataChunk(values.unpack(packed.records, bytes(payload)), stamp)
            follower.put(index, _Item(received, Cause(index, self._index, self.number, now, origin, last)))

    def _stamp(self, origin: Origins, now: int, last: bool) -> Stamp:
        numbers = origin or {self._index: (self.number, now)}
        whole = {self._names[output]: at for output, at in numbers.items()}
        named = {name: Origin(number, at / 10**9) for name, (number, at) in whole.items()}
        times, ns = Times(now / 10**9, 0.0, 0.0), Nanoseconds(now, 0, 0)
        return Stamp(1, 1, self.number, self._trigger, self._emissions, last, named, times, ns, whole)

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def end(self) -> None:
        self.ended = True
        for follower, index in self.followers:
            if follower.join is not None:
                follower.join.end_input(index)


def run_inline(graph: Graph) -> None:
    """Run the graph to its end in this process; see `flowmesh.run`.

    Raises:
        GraphError: the graph contradicts itself.
        NodeError: a node raised; its own exception is the cause.
    """
    graph.check()
    if graph.recording is not None:
        raise GraphError("inline=True runs no recorder: leave record() out, or run the graph on workers")
    specs = graph.specs()
    seats = {name: _InlineNode(graph.nodes[name]["node"], specs) for name in specs.names}
    for edge in specs.edges:
        seats[edge.source].send_to(seats[edge.target])
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


def _flow(seats: list[_InlineNode]) -> None:
    """Downstream first: drain what is in flight before the next source steps."""
    sources = deque(seat for seat in seats if seat.join is None)
    while not all(seat.ended for seat in seats):
        if not _work_off(seats):
            while sources and sources[0].ended:
                sources.popleft()
            if not sources:
                return
            sources[0].work()
            sources.rotate(-1)
        for seat in seats:
            if seat.followers and all(follower.ended for follower, _ in seat.followers) and not seat.ended:
                seat.end()


def _work_off(seats: list[_InlineNode]) -> bool:
    """Do one step of what is in flight; returns whether there was any."""
    if any(seat.work() for seat in reversed(seats) if seat.join is not None):
        return True
    for seat in seats:
        seat.mark()
        if seat.pairing is not None and seat.work():
            return True
    return False


def _tear_down(seats: list[_InlineNode], failure: BaseException | None) -> None:
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


def _node_error(
    node: Node, phase: str, error: Exception, number: int = 0, data: Mapping[str, DataChunk] | None = None
) -> NodeError:
    inputs = {name: chunk.number for name, chunk in (data or {}).items()}
    inputs = dict(sorted(inputs.items(), key=lambda item: item[1] != number))
    where = f" ({chunks(number, inputs)})" if number else ""
    return NodeError(
        f"node {node.name!r} failed in {phase}{where}: {error!r}",
        node=node.name, worker="inline", phase=phase, number=number, inputs=inputs,
    )  # fmt: skip


def _plain_join(follows: list[bool], keeps: int) -> Join[_Item] | None:
    if not follows:
        return None
    return AnyJoin(len(follows)) if all(follows) else FollowJoin(len(follows), follows.index(True), keeps)


def _pairing(spec: JoinSpec, inputs: int) -> PairingJoin[_Item] | None:
    if spec.kind == "zip":
        return ZipJoin(
            inputs, lambda index, item: item.cause.origin.get(spec.pair_by[index], (item.cause.number, 0))[0]
        )
    if spec.kind == "align":
        return AlignJoin(
            inputs, round(spec.tolerance * 1e9), lambda item: item.cause.made, lambda index, waiting: False
        )
    return None
