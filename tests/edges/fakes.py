"""Nodes without the stepper: their inputs and outputs over real sockets and arenas, moved by the test, one act at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from flowmesh.channel.counters import CounterPage
from flowmesh.channel.packet_socket import PacketSocket, pair
from flowmesh.channel.ring import RingReader, RingWriter, make_ring
from flowmesh.chunk import DataChunk
from flowmesh.edges.input_edge import InputEdge, LeaseHolder
from flowmesh.edges.output_edge import OutputEdge
from flowmesh.planning.placement import slots_needed
from flowmesh.runtime.inputs import Inputs
from flowmesh.runtime.outputs import Outputs
from flowmesh.runtime.polling import poller, wait
from flowmesh.runtime.single_input import SingleInput
from flowmesh.wire.messages import EdgeEnd
from flowmesh.wire.packets import END
from flowmesh.wire.plan_specs import EdgePlan, EdgeSpec, NodeSpec

from ..conftest import SCALE

WITHIN = 20 * SCALE  # seconds
Wait = Callable[[list[OutputEdge], int], bool]


class Stuck(AssertionError):
    """An emission waits, and nothing can happen that would let it go on."""


@dataclass
class Wire:
    """An edge between two actors. A lossless one has a ring where `rings` is set: see conftest.py."""

    rings: ClassVar[bool] = False

    source: str
    target: str
    policy: str = "lossless"
    depth: int = 256
    slots: int = 4
    bytes: int = 0
    index: int = -1
    ends: tuple[int, int] = field(default_factory=pair)
    ring: int = -1

    def __post_init__(self) -> None:
        if not self.lossy and Wire.rings:
            self.ring = make_ring()

    @property
    def lossy(self) -> bool:
        return self.policy != "lossless"


class Rig:
    """Actors and the wires between them. `names` are in the graph's order; pages are shared with what is forked later."""

    def __init__(
        self, names: Sequence[str], *wires: Wire, hold: Mapping[str, int] | None = None, slots: int | None = None
    ) -> None:
        self.names = tuple(names)
        self.wires = wires
        self.hold = dict.fromkeys(names, 4) | dict(hold or {})
        for index, wire in enumerate(wires):
            wire.index = index
        self.into = {name: [wire for wire in wires if wire.target == name] for name in names}
        self.out = {name: [wire for wire in wires if wire.source == name] for name in names}
        self.pages = {name: CounterPage.make(len(self.out[name]), len(self.into[name])) for name in names}
        self._given = slots

    def slots(self, name: str) -> int:
        """As the Manager would give it, unless the test says how many."""
        edges = [EdgeSpec(w.index, w.source, w.target, w.policy, w.depth, w.slots) for w in self.wires]
        return self._given or slots_needed(self.names, [EdgePlan(edge, "", "") for edge in edges], self.hold)[name]

    def actor(
        self, name: str, wait: Wait | None = None, receiving: Callable[[int], PacketSocket] = PacketSocket
    ) -> Actor:
        """Make an actor in this process. `receiving` makes the producer's end of what a lossy consumer reads."""
        return Actor(self, name, wait, receiving)

    def only(self, name: str) -> None:
        """In a forked process: close what belongs to others, so that the death of a peer is noticed."""
        for wire in self.wires:
            if wire.source != name:
                os.close(wire.ends[0])
            if wire.target != name and not (wire.source == name and wire.lossy):
                os.close(wire.ends[1])

    def sent(self, wire: Wire) -> int:
        page = self.pages[wire.source]
        return page.cells[page.output(self.out[wire.source].index(wire))]

    def received(self, wire: Wire) -> int:
        page = self.pages[wire.target]
        return page.cells[page.input(self.into[wire.target].index(wire))]

    def copied(self, wire: Wire) -> int:
        page = self.pages[wire.target]
        return page.cells[page.input(self.into[wire.target].index(wire)) + 1]

    def dropped(self, wire: Wire) -> dict[str, int]:
        """By the producer and the consumer together."""
        page, other = self.pages[wire.source], self.pages[wire.target]
        counts = page.dropped(page.output(self.out[wire.source].index(wire)))
        for reason, count in other.dropped(other.input(self.into[wire.target].index(wire))).items():
            counts[reason] = counts.get(reason, 0) + count
        return counts

    def in_flight(self, wire: Wire) -> int:
        return self.sent(wire) - self.received(wire) - sum(self.dropped(wire).values())


class Actor:
    """A node's inputs and outputs. It lets an emission wait as `wait` says; without one, for what the kernel brings."""

    def __init__(self, rig: Rig, name: str, wait: Wait | None, receiving: Callable[[int], PacketSocket]) -> None:
        self.name = name
        self.ended: set[int] = set()  # the places of inputs that have
        self.warnings: list[str] = []
        index = rig.names.index(name)
        page = rig.pages[name]
        holder = LeaseHolder(index, rig.hold[name], self.warnings.append)
        self.outputs = Outputs(index, 1, 1, rig.slots(name), wait or wait_for_the_kernel)
        for place, wire in enumerate(rig.out[name]):
            out = EdgeEnd(wire.index, wire.target, wire.policy, wire.depth, wire.slots, True, bytes=wire.bytes)
            other = receiving(os.dup(wire.ends[1])) if wire.lossy else None
            end = PacketSocket(wire.ends[0])
            writer = RingWriter(os.dup(wire.ring), end) if wire.ring >= 0 else None
            self.outputs.edges.append(OutputEdge(out, end, other, page, page.output(place), writer))
        edges = []
        for place, wire in enumerate(rig.into[name]):
            into = EdgeEnd(wire.index, wire.source, wire.policy, wire.depth, wire.slots, True, bytes=wire.bytes)
            end = PacketSocket(wire.ends[1])
            reader = RingReader(os.dup(wire.ring), end) if wire.ring >= 0 else None
            edges.append(InputEdge(into, rig.names, holder, end, page, page.input(place), reader))
        spec = NodeSpec(index, name, "step", b"")
        heard: tuple[Callable[[int, int], None], Callable[[int], None]] = (lambda place, turn: None, self.ended.add)
        single = SingleInput.suits(spec, edges)
        self.inputs = SingleInput(spec, edges[0], *heard) if single else Inputs(spec, edges, *heard)

    def emit(self, value: Any) -> None:
        self.outputs.emit(value, (-1, 0, 0, True, 0, 0, 0, {}))

    def end(self) -> None:
        self.outputs.send_marker(END, 0, {})

    def allocate(self, *shape: int) -> np.ndarray:
        return self.outputs.allocate(shape, np.uint8)

    def take(self) -> dict[str, DataChunk] | None:
        """The next step's data, without waiting."""
        while (data := self.inputs.next_step()) is None:
            if not self.inputs.receive():
                self.inputs.retry()
                return None
        return data

    def take_all(self) -> list[DataChunk]:
        """All that has come, in order; the outputs are looked after as between two steps."""
        self.outputs.flush()
        chunks = []
        while (data := self.take()) is not None:
            chunks += data.values()
        return chunks

    def step(self, within: float = WITHIN) -> dict[str, DataChunk] | None:
        """The next step's data, waited for; None when all inputs have ended."""
        while (data := self.take()) is None:
            if len(self.ended) == len(self.inputs.edges):
                return None
            edges = [*self.inputs.edges, *self.outputs.edges]
            if not wait(poller(edges), within, edges):
                raise Stuck(f"{self.name}: nothing comes")
            self.outputs.flush()
        return data

    def drain(self, within: float = WITHIN) -> None:
        """Wait until all is sent and credited, or the consumers have gone."""
        self.outputs.flush()
        while waiting := [
            e for e in self.outputs.edges if not e.gone and (e.backlog or e.window.sent > e.window.taken)
        ]:
            if not wait(poller(waiting), within, waiting):
                raise Stuck(f"{self.name}: no credit comes")
            self.outputs.flush()


def wait_for_the_kernel(edges: list[OutputEdge], bell: int) -> bool:
    """As the stepper does, without messages."""
    if not wait(poller(edges, *([bell] if bell >= 0 else [])), WITHIN, edges):
        raise Stuck("an emission waits for ever")
    return True


def value(chunk: DataChunk) -> Any:
    """What was emitted bare."""
    return chunk.get("default")["value"]
