"""One incarnation of a node: the loop that a node's process runs, over the real Machines.

It can be killed wherever it yields: between any two of writing its page, committing, sending, telling what is settled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flowmesh.control.connections import Report
from flowmesh.control.joins import Join
from flowmesh.control.keeping import KeptEdge, SampledEdge
from flowmesh.control.marks import Cause, Progress
from flowmesh.control.node import NodeMachine
from flowmesh.control.pairing import ZipJoin
from flowmesh.control.rejoining import WaitingJoin
from flowmesh.control.settling import Page
from flowmesh.wire.lifecycle import NodeState

from .graphs import Chunk, Edge, Node, Origins
from .world import Broken, Message

if TYPE_CHECKING:
    from .simulation import Simulation

WAIT = None  # yielded: until something comes


class Process:
    """A node's process. It yields how long it is busy, or WAIT."""

    def __init__(self, world: Simulation, node: Node) -> None:
        self.world = world
        self.node = node
        self.waiting = False
        self.running = self._run()
        rules, page = world.rules, node.page
        self._page = page
        self._kept = {place: edge for place, edge in enumerate(node.outs) if edge.lossless}
        self.keeping = rules.keeping(self._kept, node.cap, page.next, dict(page.mark))
        lossy_in = frozenset(place for place, edge in enumerate(node.ins) if not edge.lossless)
        ordered = node.join == "any" and len(node.ins) > 1
        self.settling = rules.settling(page, self.keeping, lossy_in, ordered)
        self.inlets = [
            rules.inlet(edge.depth, edge.lossless, 0 if edge.sampled else settled)
            for edge, settled in zip(node.ins, page.settled, strict=True)
        ]
        self.outlets: list[KeptEdge[Chunk | None] | SampledEdge[Chunk | None]] = [
            rules.kept_edge(place, self.keeping, edge.depth, edge.depth)
            if edge.lossless
            else SampledEdge(node.newest if rules.newest_outlives else None)
            for place, edge in enumerate(node.outs)
        ]
        self.machine = NodeMachine("simulated", node.name, len(node.ins))
        self.join = self._make_join(page)
        self.progress = Progress(node.carries, node.forks)
        for place in node.carries:
            self.progress.marked(place, dict(page.mark))
        self._behind: list[tuple[int, int, Origins]] = []
        self._presses: list[tuple[int, int]] = []
        self._told = [(0, 0)] * len(node.ins)  # credit and settled
        self._credits = [0] * len(node.ins)

    def _make_join(self, page: Page) -> Join[Chunk]:
        node = self.node
        if node.join == "zip":
            by = node.pair_by
            return ZipJoin(len(node.ins), lambda chunk: chunk.origin[by][0] if by in chunk.origin else chunk.number)
        if node.join == "follow" and len(node.ins) > 1:
            followed = next(place for place, edge in enumerate(node.ins) if not edge.sampled)
            begun = page.begun and self.world.rules.waits_after_restart
            return WaitingJoin(len(node.ins), followed, node.ins[followed].depth - 1, begun)
        return self.world.rules.repeating_join(len(node.ins), page.order)

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _run(self) -> Iterator[float | None]:
        self.machine.set_up()
        self.machine.start(1, None)
        while True:
            self._receive_up()
            self._receive_down()
            yield from self._tell()
            if all(outlet.closed for outlet in self.outlets) and (self._ended or self.outlets):
                yield from self._leave()
                return
            stepped = not self._ended and (yield from self._step())
            if not stepped and not (self._anything_to_read() or self._anything_to_tell()):
                yield WAIT

    @property
    def _ended(self) -> bool:
        return self.machine.state is NodeState.ENDED

    def _may_die_here(self) -> Iterator[float | None]:
        if self.world.clock.random.random() < self.world.stops:
            yield 0.0

    def _write(self, page: Page) -> None:
        old = self.node.page
        if any(new < before for new, before in zip(page.settled, old.settled, strict=True)) or page.next < old.next:
            raise Broken(f"{self.node.name}: its page went back: {old} {page}")
        self._page = page
        if self.world.rules.page_first:
            self.node.page = page

    def _step(self) -> Iterator[Any]:
        """One step, if there is one to make, or the end; whether there was."""
        if not self.node.ins:
            yield from self._step_source()
            return True
        taken = self.join.take()
        if isinstance(self.join, ZipJoin):
            for place, chunk, reason in self.join.shed():
                self._drop(place, chunk, reason)
        if taken is None:
            self._say_news()
            if self.join.over:
                yield from self._end()
                return True
            return False
        trigger, items = taken
        for place, chunk in items.items():
            self._took(place, chunk)
        self._write(self.settling.took(trigger, {place: chunk.number for place, chunk in items.items()}))
        yield from self._may_die_here()
        yield self.world.clock.random.expovariate(1.0) * self.node.speed
        triggers = items if self.node.join == "zip" else {trigger: items[trigger]}
        yield from self._emit_all(triggers)
        return True

    def _emit_all(self, triggers: dict[int, Chunk]) -> Iterator[Any]:
        """The step's emissions or, in a sink, what it commits; and its end."""
        causes = [self._cause(place, chunk) for place, chunk in triggers.items()]
        origin: Origins = {}
        for cause in causes:
            origin.update(self.progress.origin(cause))
        if not self.node.outs:
            self._commit(triggers)
            yield from self._may_die_here()
        else:
            contents = self.node.gives(tuple(chunk.content for chunk in triggers.values()))
            completes = self.progress.completes(causes)
            for emission, content in enumerate(contents, start=1):
                yield from self._emit(content, origin, completes and emission == len(contents))
        self.progress.stepped(causes)
        if news := self._advance():
            self.keeping.mark(news)
        self._write(self.settling.stepped(news))
        self._flush()

    def _cause(self, place: int, chunk: Chunk) -> Cause:
        sender = self.node.ins[place].source.index
        return Cause(place, sender, chunk.number, chunk.number, chunk.origin, chunk.last)

    def _step_source(self) -> Iterator[Any]:
        number = self.keeping.highest + 1
        yield self.world.clock.random.expovariate(1.0) * self.node.speed
        if number > self.node.chunks >= 0:
            yield from self._end()
            return
        self._write(self.settling.took(0, {}))
        yield from self._emit(hash((self.node.index, number)), {}, True)
        self._write(self.settling.stepped({}))

    def _end(self) -> Iterator[Any]:
        """Close the inputs, and give the end."""
        self.machine.ended()
        for place, chunk in self.join.rest() if self.node.ins else ():
            self._drop(place, chunk, "after_end")
        number = self.keeping.give_end(None)
        for outlet in self.outlets:
            if isinstance(outlet, SampledEdge):
                outlet.give_end(number, None)
        yield from self._may_die_here()
        self._flush()

    def _leave(self) -> Iterator[Any]:
        """All consumers have settled our end, or want nothing more."""
        if not self._ended:
            self.node.closed_early = True
            self.machine.ended()
            for place, chunk in self.join.rest() if self.node.ins else ():
                self._drop(place, chunk, "after_end")
        self._write(self.settling.closed())
        yield from self._may_die_here()
        for place, inlet in enumerate(self.inlets):
            if inlet.connection is not None:
                last = inlet.intake.arrived
                self.node.ins[place].up.send(inlet.connection, "report", Report(last, last, last, closed=True))
                yield from self._may_die_here()
        self.machine.tear_down()
        self.world.left(self.node)

    # --- output ------------------------------------------------------------------------------------------------------

    def _emit(self, content: int, origin: Origins, last: bool) -> Iterator[Any]:
        if not self.keeping.has_room:
            self._press()
        yield from self._while_blocked(lambda: not self.keeping.has_room)
        chunk = Chunk(self.keeping.highest + 1, content, origin, last)
        self.node.gave(chunk)
        self.keeping.give(chunk)
        self._write(self.settling.gave())
        yield from self._may_die_here()
        for edge, outlet in zip(self.node.outs, self.outlets, strict=True):
            if outlet.closed:
                edge.met(chunk.number, "after_end")
            elif isinstance(outlet, SampledEdge):
                self.node.newest = max(self.node.newest or (0, None), (chunk.number, chunk))
                if dropped := outlet.give(chunk.number, chunk):
                    edge.met(dropped, "superseded")
        self.world.look_at(self)
        self._flush()
        if self._held_back():
            self._press()
        yield from self._while_blocked(self._held_back)

    def _held_back(self) -> bool:
        return any(isinstance(outlet, KeptEdge) and outlet.held_back for outlet in self.outlets)

    def _while_blocked(self, blocked: Any) -> Iterator[Any]:
        while blocked() and not all(outlet.closed for outlet in self.outlets):
            self._receive_up()
            yield from self._tell()
            if blocked() and not self._anything_to_tell() and not self._anything_said():
                yield WAIT

    def _flush(self) -> None:
        for edge, outlet in zip(self.node.outs, self.outlets, strict=True):
            while (due := outlet.due()) is not None:
                number, chunk = due
                if isinstance(outlet, SampledEdge) and chunk is not None:
                    self._make_room(edge)
                assert outlet.connection is not None
                gone = edge.down.send(outlet.connection, "end" if chunk is None else "chunk", chunk or number)
                if not gone and not edge.lossless and chunk is not None:
                    edge.lost.add(number)
                outlet.sent(number)
            if isinstance(outlet, KeptEdge) and (mark := outlet.mark_due()) is not None:
                assert outlet.connection is not None
                edge.down.send(outlet.connection, "mark", mark)
            if isinstance(outlet, KeptEdge) and outlet.press_due():
                assert outlet.connection is not None
                edge.down.send(outlet.connection, "press", None)

    def _press(self) -> None:
        if self.world.rules.presses:
            self.keeping.press()
            self._flush()

    def _make_room(self, edge: Edge) -> None:
        """A lossy edge: take out the oldest that the consumer has not read."""
        waiting = [message for message in edge.down.messages if message.kind == "chunk"]
        for message in waiting[: max(0, len(waiting) - edge.depth + 1)]:
            edge.down.take_out(message)
            if message.connection == edge.connection:
                edge.met(message.body.number, "superseded")
            else:
                edge.lost.add(message.body.number)

    def _receive_up(self) -> None:
        """What consumers say: connections, reports, credit."""
        for edge, outlet in zip(self.node.outs, self.outlets, strict=True):
            while (message := edge.up.receive()) is not None:
                self._heard(edge, outlet, message)
        self._write(self.settling.advance())
        self.world.look_at(self)
        self._flush()

    def _heard(self, edge: Edge, outlet: KeptEdge[Any] | SampledEdge[Any], message: Message) -> None:
        if message.kind == "connected":
            outlet.connected(message.connection)
            return
        fresh = message.connection == edge.connection
        gone: list[int] = []
        if message.kind == "report":
            gone = outlet.reported(message.connection, message.body) or []
            if outlet.closed and message.body.closed:
                self.world.closed(edge, message.body.last)
        elif isinstance(outlet, KeptEdge):
            gone = outlet.credited(message.connection, *message.body)
        if gone and not fresh and outlet.connection == edge.connection:
            raise Broken(f"{edge}: {message} of another connection was believed")

    # --- inputs ------------------------------------------------------------------------------------------------------

    def _receive_down(self) -> None:
        for place, edge in enumerate(self.node.ins):
            limit = 64 if edge.lossless else 1
            while limit and (message := edge.down.receive()) is not None:
                limit -= 1
                self._arrived(place, edge, message)
        heard = [(place, behind) for place, behind in self._presses if self.inlets[place].intake.taken >= behind]
        if heard:
            self._presses = [press for press in self._presses if press not in heard]
            self._press()
        self._say_news()

    def _say_news(self) -> None:
        """What marks without a chunk, and drops, have told, goes on."""
        if self._behind and (news := self._advance()):
            self.keeping.mark(news)
        self._flush()

    def _arrived(self, place: int, edge: Edge, message: Message) -> None:
        inlet = self.inlets[place]
        match message.kind:
            case "connected":
                settled = self.node.page.settled[place]
                report = inlet.connected(message.connection, settled)
                self._told[place] = report.taken, settled
                edge.up.send(message.connection, "report", report)
            case "chunk":
                if inlet.arrive(message.connection, message.body.number):
                    self._put(place, message.body)
                elif not edge.lossless:
                    edge.lost.add(message.body.number)
            case "mark":
                if message.connection == inlet.connection:
                    self._marked(place, message.body)
            case "press":
                if message.connection == inlet.connection:
                    self._presses.append((place, inlet.intake.arrived))
                    for dropped in self.join.press() if isinstance(self.join, WaitingJoin) else ():
                        self._drop(*dropped)
            case "end":
                if inlet.arrive(message.connection, message.body):
                    self.join.end(place)

    def _marked(self, place: int, mark: Origins) -> None:
        if self.world.rules.marks:
            self._behind.append((place, self.inlets[place].intake.arrived, mark))
            if isinstance(self.join, ZipJoin) and self.node.pair_by in mark:
                self.join.mark(place, mark[self.node.pair_by][0])

    def _put(self, place: int, chunk: Chunk) -> None:
        if self._ended:
            self._drop(place, chunk, "after_end")
            return
        if (dropped := self.join.put(place, chunk)) is not None:
            self._drop(*dropped)
        by = self.node.pair_by
        if isinstance(self.join, ZipJoin):
            if by not in chunk.origin and self.world.rules.lone_is_last:
                self.join.mark(place, chunk.number)  # it comes from that output itself: no other has its number
            elif chunk.last:
                self.join.mark(place, chunk.origin[by][0] if by in chunk.origin else chunk.number)

    def _took(self, place: int, chunk: Chunk) -> None:
        edge = self.node.ins[place]
        edge.met(chunk.number, "received")
        self._credits[place] = self.inlets[place].take(chunk.number, False)

    def _drop(self, place: int, chunk: Chunk, reason: str) -> None:
        self.node.ins[place].met(chunk.number, reason)
        self._credits[place] = self.inlets[place].take(chunk.number, self.world.rules.credits_drops)
        news: Origins = {}
        if self.world.rules.drops_advance:  # it causes nothing any more: that is progress as well
            self.progress.stepped([self._cause(place, chunk)])
            if news := self._advance():
                self.keeping.mark(news)
        self._write(self.settling.dropped(place, chunk.number, news))

    def _owed(self, place: int) -> tuple[int, int]:
        told = self._told[place]
        return max(told[0], self._credits[place]), max(told[1], self._page.settled[place])

    def _anything_to_tell(self) -> bool:
        return any(
            inlet.connection is not None and edge.lossless and self._owed(place) != self._told[place]
            for place, (edge, inlet) in enumerate(zip(self.node.ins, self.inlets, strict=True))
        )

    def _anything_to_read(self) -> bool:
        return self._anything_said() or any(edge.down.can_be_read for edge in self.node.ins)

    def _anything_said(self) -> bool:
        return any(edge.up.can_be_read for edge in self.node.outs)

    def _tell(self) -> Iterator[Any]:
        """Credit and what is settled, once the page is written."""
        if self._anything_to_tell():
            yield from self._may_die_here()
        for place, (edge, inlet) in enumerate(zip(self.node.ins, self.inlets, strict=True)):
            owed = self._owed(place)
            if inlet.connection is not None and edge.lossless and owed != self._told[place]:
                self._told[place] = owed
                edge.up.send(inlet.connection, "credit", owed)
                yield from self._may_die_here()
        if self.node.page is not self._page:
            yield 1.0
            self.node.page = self._page

    def _advance(self) -> Origins:
        waiting = []
        for place, behind, origin in self._behind:
            if self.inlets[place].intake.taken >= behind:
                self.progress.marked(place, origin)
            else:
                waiting.append((place, behind, origin))
        self._behind = waiting
        return self.progress.advance()

    def _commit(self, triggers: dict[int, Chunk]) -> None:
        """A sink writes data and number at once; what it has already, it skips."""
        for place, chunk in triggers.items():
            newest = max((number for where, number, _ in self.node.committed if where == place), default=0)
            if chunk.number > newest:
                self.node.committed.append((place, chunk.number, chunk.content))
