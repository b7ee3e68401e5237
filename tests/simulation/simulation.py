"""One schedule: a graph's processes run, die and come back until all have ended; every rule is looked at on the way.

`python -m tests.simulation SHAPE SEED` runs one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from flowmesh.control.recovery.checkpoint import Checkpoint, CommitTracker, InputCursor
from flowmesh.control.recovery.connection_id import ConnectionId, ResumePosition
from flowmesh.control.recovery.replay_joins import ReplayAnyJoin
from flowmesh.control.recovery.retransmit import ReliableSender, RetransmitBuffer

from .expected import check_results
from .graphs import Edge, Node
from .process import WAIT, Process
from .world import Broken, Clock, Way

EVENTS = 60_000  # what goes on for longer never ends


@dataclass(frozen=True)
class Rules:
    """The Machines that are tried; a test that the simulator can fail puts a broken one in."""

    keeping: Callable[..., RetransmitBuffer[Any]] = RetransmitBuffer
    kept_edge: Callable[..., ReliableSender[Any]] = ReliableSender
    settling: Callable[..., CommitTracker] = CommitTracker
    inlet: Callable[..., InputCursor] = InputCursor
    repeating_join: Callable[..., Any] = ReplayAnyJoin
    page_first: bool = True  # whether the page is written before it is told what is settled
    marks: bool = True  # whether nodes say how far they are
    newest_outlives: bool = True  # whether the newest chunk of a sampled edge outlives its producer
    drops_advance: bool = True  # whether what a join drops moves the node's marks on
    zip_remembers: bool = True  # whether a zip's new incarnation knows that what it has settled has come
    keeps_nothing: bool = True  # whether nothing is kept before the first sample, which may need that to be settled
    strangers_by_sources: bool = True  # whether a zip of strangers pairs by the numbers of their sources
    lone_is_last: bool = True  # whether a chunk of the very output by which a zip pairs is known to be the only one
    waits_after_restart: bool = True  # whether `before_first` is dropped only by a node that never stepped
    serials: bool = True  # whether a connection's name tells it from an earlier one of the same two incarnations
    worker_answers: bool = True  # whether somebody reports for a node that has left


class Simulation:
    """A graph in a world. `stops` is how likely a process is to be slow, or to die, at each point where it matters."""

    def __init__(self, clock: Clock, nodes: list[Node], edges: list[Edge], rules: Rules) -> None:
        self.clock = clock
        self.nodes = nodes
        self.edges = edges
        self.rules = rules
        self.stops = clock.random.choice((0.0, 0.1, 0.5))
        self.deaths = 0
        for edge in edges:
            edge.down = Way(clock, edge.latency, partial(self._wake, edge.target))
            edge.up = Way(clock, edge.latency, partial(self._wake, edge.source))
        for node in nodes:
            node.page = Checkpoint((0,) * len(node.ins))

    def run(self, deaths: list[int], cuts: list[int]) -> None:
        """Run to the end; at these events a node dies, or a link is cut.

        Raises:
            Broken: a rule is broken.
        """
        for node in self.nodes:
            self.clock.later(self.clock.random.random(), partial(self._start, node))
        while self.clock.step():
            if deaths and self.clock.events >= deaths[0]:
                deaths.pop(0)
                self._kill(self.clock.random.choice(self.nodes))
            if cuts and self.clock.events >= cuts[0]:
                cuts.pop(0)
                self._cut(self.clock.random.choice(self.edges))
            if self.clock.events > EVENTS:
                raise Broken(f"it goes on for ever: {self._where()}")
        if not all(node.left for node in self.nodes):
            raise Broken(f"it hangs: {self._where()}")
        for edge in self.edges:
            if not edge.lossless:
                edge.lost.update(message.body.number for message in edge.down.messages if message.kind == "chunk")
        for node in self.nodes:
            check_results(node)

    # --- processes ---------------------------------------------------------------------------------------------------

    def _start(self, node: Node) -> None:
        node.epoch += 1
        node.process = Process(self, node)
        self._resume(node.process)
        for edge in (*node.ins, *node.outs):
            self._connect_later(edge)

    def _wake(self, node: Node) -> None:
        if node.process is not None and node.process.waiting:
            self._resume(node.process)

    def _resume(self, process: Process) -> None:
        if process.node.process is not process:
            return  # it has died meanwhile
        process.waiting = False
        try:
            busy = next(process.running)
        except StopIteration:
            return
        if busy is WAIT:
            process.waiting = True
        else:
            self.clock.later(busy, partial(self._resume, process))

    def _kill(self, node: Node) -> None:
        if node.process is None or node.left:
            return
        self.deaths += 1
        node.process = None
        for edge in (*node.ins, *node.outs):
            self._break(edge, edge.target is node)
        if node.page.ended:
            self.left(node)
        else:
            self.clock.later(
                self.clock.random.random() * self.clock.random.choice((0.1, 5.0)), partial(self._start, node)
            )

    def left(self, node: Node) -> None:
        """A process ends for good: its worker answers for it, on a connection that it has not heard of as well."""
        inlets = node.process.inputs.inlets if node.process is not None else []
        node.left = True
        node.process = None
        for index, edge in enumerate(node.ins):
            if edge.connection is None:
                self._connect_later(edge)
            elif not inlets or inlets[index].connection != edge.connection:
                self._answer(edge)

    # --- connections -------------------------------------------------------------------------------------------------

    def _connect_later(self, edge: Edge) -> None:
        self.clock.later(self.clock.random.random() * edge.latency, partial(self._connect, edge))

    def _connect(self, edge: Edge) -> None:
        """Connect if both are there, or the producer with the worker of a consumer that has left."""
        source, target = edge.source, edge.target
        if edge.connection is not None or source.process is None or not (target.process or target.left):
            return
        edge.serial += self.rules.serials
        name = ConnectionId(source.epoch, target.epoch, edge.serial)
        edge.connection = name
        edge.up.open(name, notify=True)
        edge.down.open(name, notify=not target.left)
        if target.left:
            self._answer(edge)

    def _answer(self, edge: Edge) -> None:
        """The worker of a consumer that has left reports for it."""
        if edge.connection is not None and self.rules.worker_answers:
            last = edge.target.page.settled[edge.target.ins.index(edge)]
            edge.up.send(ConnectionId(*edge.connection), "report", ResumePosition(last, last, last, closed=True))

    def _break(self, edge: Edge, consumer_died: bool) -> None:
        if edge.connection is None:
            return
        edge.connection = None
        lost = edge.down.lose()
        edge.up.lose()
        if not edge.lossless:
            edge.lost.update(message.body.number for message in lost if message.kind == "chunk")
            if consumer_died:
                newest = max(edge.source.given, default=0)
                edge.lost.update(number for number in range(1, newest + 1) if number not in edge.fates)

    def _cut(self, edge: Edge) -> None:
        """The link is lost, and nobody has died."""
        if edge.source.process is not None and not edge.target.left and edge.connection is not None:
            self._break(edge, False)
            self._connect_later(edge)

    # --- rules that hold at any time ---------------------------------------------------------------------------------

    def closed(self, edge: Edge, last: int) -> None:
        """A producer has learnt that its consumer is closed: what the consumer has not seen is dropped."""
        for number in edge.source.given:
            if number > last:
                edge.met(number, "after_end")

    def stop_here(self) -> Iterator[float]:
        """A point at which it matters whether a process goes on."""
        if self.clock.random.random() < self.stops:
            yield 0.0

    def look_at(self, process: Process) -> None:
        """Nothing grows without bound, and nothing is forgotten that may be asked for again."""
        node, keeping = process.node, process.output.keeping
        if len(keeping) > keeping.cap + (keeping.end > 0):
            raise Broken(f"{node.name} keeps {len(keeping)} chunks, its cap is {keeping.cap}")
        for edge, outlet in zip(node.outs, process.output.outlets, strict=True):
            if isinstance(outlet, ReliableSender):
                _look_at_edge(edge, keeping, outlet)
        for edge, inlet in zip(node.ins, process.inputs.inlets, strict=True):
            if edge.lossless and inlet.intake.arrived - inlet.intake.taken > edge.depth + 1:
                raise Broken(f"{edge}: {inlet.intake.arrived} arrived, {inlet.intake.taken} taken")

    def _where(self) -> str:
        return "; ".join(
            f"{node.name} {'left' if node.left else 'runs' if node.process else 'died'} {node.page}"
            for node in self.nodes
        )


def _look_at_edge(edge: Edge, keeping: RetransmitBuffer[Any], outlet: ReliableSender[Any]) -> None:
    window, target = outlet.window, edge.target
    inlet = target.process.inputs.inlets[target.ins.index(edge)] if target.process is not None else None
    if window is not None and window.sent - window.taken > window.depth + 1:  # the end needs no room
        raise Broken(f"{edge}: {window.sent} sent, {window.taken} taken, the window is {window.depth}")
    same = window is not None and inlet is not None and inlet.connection == outlet.connection
    if same and window.taken > inlet.intake.taken:
        raise Broken(f"{edge}: {window.taken} is taken, says old credit; it is {inlet.intake.taken}")
    if outlet.closed or target.left:
        return
    settled = target.page.settled[target.ins.index(edge)]
    forgotten = [number for number in range(settled + 1, keeping.highest + 1) if number not in keeping.kept]
    if forgotten:
        raise Broken(f"{edge}: chunks {forgotten} are forgotten, but only {settled} is settled")
