"""The inputs of a simulated node: the real join, marks and settling, over the world's edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flowmesh.control.node.joins import FollowJoin, Join
from flowmesh.control.node.pairing import ZipJoin
from flowmesh.control.node.watermarks import Cause, WatermarkTracker
from flowmesh.control.recovery.checkpoint import Checkpoint, CommitTracker
from flowmesh.control.recovery.connection_id import ResumePosition
from flowmesh.control.recovery.replay_joins import ReplayFollowJoin

from .graphs import Chunk, Edge, Node, Origins
from .output import Output
from .world import Message

if TYPE_CHECKING:
    from .simulation import Simulation


class Inputs:
    """What one incarnation of a node receives. `write` takes a page that is to outlive it."""

    def __init__(
        self,
        world: Simulation,
        node: Node,
        output: Output,
        settling: CommitTracker,
        write: Callable[[Checkpoint], None],
    ) -> None:
        self.world = world
        self.node = node
        self.output = output
        self.settling = settling
        self.write = write
        self.closed = False
        page = node.page
        self.inlets = [
            world.rules.inlet(edge.depth, edge.lossless, 0 if edge.sampled else settled)
            for edge, settled in zip(node.ins, page.settled, strict=True)
        ]
        self.join = self._make_join(page)
        self.progress = WatermarkTracker(node.carries, node.forks)
        for place in node.carries:
            self.progress.marked(place, dict(page.mark))
        self._behind: list[tuple[int, int, Origins]] = []
        self._told = [(0, 0)] * len(node.ins)  # credit and settled
        self._credits = [0] * len(node.ins)

    @property
    def can_be_read(self) -> bool:
        return any(edge.down.can_be_read for edge in self.node.ins)

    def take(self) -> dict[int, Chunk] | None:
        """The chunks that trigger the next step, if there is one; the page says that it begins."""
        taken = self.join.take()
        if isinstance(self.join, ZipJoin):
            for dropped in self.join.shed():
                self._drop(*dropped)
        if taken is None:
            self._say_news()
            return None
        trigger, items = taken
        for place, chunk in items.items():
            self._took(place, chunk)
        self.write(self.settling.took(trigger, {place: chunk.number for place, chunk in items.items()}))
        return items if self.node.join == "zip" else {trigger: items[trigger]}

    def stepped(self, causes: list[Cause]) -> None:
        """The step has ended."""
        self.progress.stepped(causes)
        if news := self._advance():
            self.output.keeping.mark(news)
        self.write(self.settling.stepped(news))
        self.output.flush()

    def close(self) -> None:
        """Take no more."""
        self.closed = True
        for place, chunk in self.join.rest():
            self._drop(place, chunk, "after_end")

    def report_closed(self) -> Iterator[Any]:
        """Tell the producers that all is settled."""
        for edge, inlet in zip(self.node.ins, self.inlets, strict=True):
            if inlet.connection is not None:
                last = inlet.intake.arrived
                edge.up.send(inlet.connection, "report", ResumePosition(last, last, last, closed=True))
                yield from self.world.stop_here()

    def _make_join(self, page: Checkpoint) -> Join[Chunk]:
        node = self.node
        if node.join == "zip":
            return self._make_zip(page)
        if node.join == "follow" and len(node.ins) > 1:
            followed = next(place for place, edge in enumerate(node.ins) if not edge.sampled)
            begun = page.begun and self.world.rules.waits_after_restart
            if not begun and not self.world.rules.keeps_nothing:
                return FollowJoin(len(node.ins), followed, node.ins[followed].depth - 1)
            return ReplayFollowJoin(len(node.ins), followed, begun)
        return self.world.rules.repeating_join(len(node.ins), page.order)

    def _make_zip(self, page: Checkpoint) -> ZipJoin[Chunk]:
        """What an input has settled is not given again; where that says how far the input is, nobody else will."""
        join: ZipJoin[Chunk] = ZipJoin(len(self.node.ins), self.node.number)
        for place, edge in enumerate(self.node.ins):
            if self.node.pair_by[place] == edge.source.index and self.world.rules.zip_remembers:
                join.mark(place, page.settled[place])
        return join

    def cause(self, place: int, chunk: Chunk) -> Cause:
        sender = self.node.ins[place].source.index
        return Cause(place, sender, chunk.number, chunk.number, chunk.origin, chunk.last)

    def receive(self) -> None:
        for place, edge in enumerate(self.node.ins):
            limit = 64 if edge.lossless else 1
            while limit and (message := edge.down.receive()) is not None:
                limit -= 1
                self._arrived(place, edge, message)
        self._say_news()

    def _say_news(self) -> None:
        """What marks without a chunk, and drops, have told, goes on."""
        if self._behind and (news := self._advance()):
            self.output.keeping.mark(news)
        self.output.flush()

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
            case "end":
                if inlet.arrive(message.connection, message.body):
                    self.join.end(place)

    def _marked(self, place: int, mark: Origins) -> None:
        if self.world.rules.marks:
            self._behind.append((place, self.inlets[place].intake.arrived, mark))
            if isinstance(self.join, ZipJoin) and self.node.pair_by[place] in mark:
                self.join.mark(place, mark[self.node.pair_by[place]][0])

    def _put(self, place: int, chunk: Chunk) -> None:
        if self.closed:
            self._drop(place, chunk, "after_end")
            return
        if (dropped := self.join.put(place, chunk)) is not None:
            self._drop(*dropped)
        if isinstance(self.join, ZipJoin):
            lone = self.node.pair_by[place] not in chunk.origin  # it comes from that output itself
            if chunk.last or (lone and self.world.rules.lone_is_last):
                self.join.mark(place, self.node.number(place, chunk))

    def _took(self, place: int, chunk: Chunk) -> None:
        edge = self.node.ins[place]
        edge.met(chunk.number, "received")
        self._credits[place] = self.inlets[place].take(chunk.number, False)

    def _drop(self, place: int, chunk: Chunk, reason: str) -> None:
        self.node.ins[place].met(chunk.number, reason)
        self._credits[place] = self.inlets[place].take(chunk.number, True)
        news: Origins = {}
        if self.world.rules.drops_advance:  # it causes nothing any more: that is progress as well
            self.progress.stepped([self.cause(place, chunk)])
            if news := self._advance():
                self.output.keeping.mark(news)
        self.write(self.settling.dropped(place, chunk.number, news))

    def _owed(self, place: int) -> tuple[int, int]:
        told = self._told[place]
        return max(told[0], self._credits[place]), max(told[1], self.settling.page.settled[place])

    def anything_to_tell(self) -> bool:
        return any(
            inlet.connection is not None and edge.lossless and self._owed(place) != self._told[place]
            for place, (edge, inlet) in enumerate(zip(self.node.ins, self.inlets, strict=True))
        )

    def tell(self) -> Iterator[Any]:
        """Credit and what is settled, once the page is written."""
        if self.anything_to_tell():
            yield from self.world.stop_here()
        for place, (edge, inlet) in enumerate(zip(self.node.ins, self.inlets, strict=True)):
            owed = self._owed(place)
            if inlet.connection is not None and edge.lossless and owed != self._told[place]:
                self._told[place] = owed
                edge.up.send(inlet.connection, "credit", owed)
                yield from self.world.stop_here()

    def _advance(self) -> Origins:
        waiting = []
        for place, behind, origin in self._behind:
            if self.inlets[place].intake.taken >= behind:
                self.progress.marked(place, origin)
            else:
                waiting.append((place, behind, origin))
        self._behind = waiting
        return self.progress.advance()
