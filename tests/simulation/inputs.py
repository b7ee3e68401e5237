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
        for index in node.carries:
            self.progress.watermark_received(index, dict(page.mark))
        self._behind: list[tuple[int, int, Origins]] = []
        self._told = [(0, 0)] * len(node.ins)  # credit and settled
        self._credits = [0] * len(node.ins)

    @property
    def can_be_read(self) -> bool:
        return any(edge.down.can_be_read for edge in self.node.ins)

    def take(self) -> dict[int, Chunk] | None:
        """The chunks that trigger the next step, if there is one; the page says that it begins."""
        taken = self.join.next_step()
        if isinstance(self.join, ZipJoin):
            for dropped in self.join.drop_unpaired():
                self._drop(*dropped)
        if taken is None:
            self._say_news()
            return None
        trigger, items = taken
        for index, chunk in items.items():
            self._took(index, chunk)
        self.write(self.settling.step_began(trigger, {index: chunk.number for index, chunk in items.items()}))
        return items if self.node.join == "zip" else {trigger: items[trigger]}

    def stepped(self, causes: list[Cause]) -> None:
        """The step has ended."""
        self.progress.step_completed(causes)
        if news := self._advance():
            self.output.keeping.watermark_passed(news)
        self.write(self.settling.step_finished(news))
        self.output.flush()

    def close(self) -> None:
        """Take no more."""
        self.closed = True
        for index, chunk in self.join.drain_rest():
            self._drop(index, chunk, "after_end")

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
            followed = next(index for index, edge in enumerate(node.ins) if not edge.sampled)
            begun = page.begun and self.world.rules.waits_after_restart
            if not begun and not self.world.rules.keeps_nothing:
                return FollowJoin(len(node.ins), followed, node.ins[followed].depth - 1)
            return ReplayFollowJoin(len(node.ins), followed, begun)
        return self.world.rules.repeating_join(len(node.ins), page.order)

    def _make_zip(self, page: Checkpoint) -> ZipJoin[Chunk]:
        """What an input has settled is not given again; where that says how far the input is, nobody else will."""
        join: ZipJoin[Chunk] = ZipJoin(len(self.node.ins), self.node.number)
        for index, edge in enumerate(self.node.ins):
            if self.node.pair_by[index] == edge.source.index and self.world.rules.zip_remembers:
                join.watermark(index, page.settled[index])
        return join

    def cause(self, index: int, chunk: Chunk) -> Cause:
        sender = self.node.ins[index].source.index
        return Cause(index, sender, chunk.number, chunk.number, chunk.origin, chunk.last)

    def receive(self) -> None:
        for index, edge in enumerate(self.node.ins):
            limit = 64 if edge.lossless else 1
            while limit and (message := edge.down.receive()) is not None:
                limit -= 1
                self._arrived(index, edge, message)
        self._say_news()

    def _say_news(self) -> None:
        """What marks without a chunk, and drops, have told, goes on."""
        if self._behind and (news := self._advance()):
            self.output.keeping.watermark_passed(news)
        self.output.flush()

    def _arrived(self, index: int, edge: Edge, message: Message) -> None:
        inlet = self.inlets[index]
        match message.kind:
            case "connected":
                settled = self.node.page.settled[index]
                report = inlet.connected(message.connection, settled)
                self._told[index] = report.taken, settled
                edge.up.send(message.connection, "report", report)
            case "chunk":
                if inlet.chunk_arrived(message.connection, message.body.number):
                    self._put(index, message.body)
                elif not edge.lossless:
                    edge.lost.add(message.body.number)
            case "mark":
                if message.connection == inlet.connection:
                    self._marked(index, message.body)
            case "end":
                if inlet.chunk_arrived(message.connection, message.body):
                    self.join.end_input(index)

    def _marked(self, index: int, mark: Origins) -> None:
        if self.world.rules.marks:
            self._behind.append((index, self.inlets[index].intake.arrived, mark))
            if isinstance(self.join, ZipJoin) and self.node.pair_by[index] in mark:
                self.join.watermark(index, mark[self.node.pair_by[index]][0])

    def _put(self, index: int, chunk: Chunk) -> None:
        if self.closed:
            self._drop(index, chunk, "after_end")
            return
        if (dropped := self.join.add_chunk(index, chunk)) is not None:
            self._drop(*dropped)
        if isinstance(self.join, ZipJoin):
            lone = self.node.pair_by[index] not in chunk.origin  # it comes from that output itself
            if chunk.last or (lone and self.world.rules.lone_is_last):
                self.join.watermark(index, self.node.number(index, chunk))

    def _took(self, index: int, chunk: Chunk) -> None:
        edge = self.node.ins[index]
        edge.met(chunk.number, "received")
        self._credits[index] = self.inlets[index].chunk_taken(chunk.number, False)

    def _drop(self, index: int, chunk: Chunk, reason: str) -> None:
        self.node.ins[index].met(chunk.number, reason)
        self._credits[index] = self.inlets[index].chunk_taken(chunk.number, True)
        news: Origins = {}
        if self.world.rules.drops_advance:  # it causes nothing any more: that is progress as well
            self.progress.step_completed([self.cause(index, chunk)])
            if news := self._advance():
                self.output.keeping.watermark_passed(news)
        self.write(self.settling.chunk_dropped(index, chunk.number, news))

    def _owed(self, index: int) -> tuple[int, int]:
        told = self._told[index]
        return max(told[0], self._credits[index]), max(told[1], self.settling.page.settled[index])

    def anything_to_tell(self) -> bool:
        return any(
            inlet.connection is not None and edge.lossless and self._owed(index) != self._told[index]
            for index, (edge, inlet) in enumerate(zip(self.node.ins, self.inlets, strict=True))
        )

    def tell(self) -> Iterator[Any]:
        """Credit and what is settled, once the page is written."""
        if self.anything_to_tell():
            yield from self.world.stop_here()
        for index, (edge, inlet) in enumerate(zip(self.node.ins, self.inlets, strict=True)):
            owed = self._owed(index)
            if inlet.connection is not None and edge.lossless and owed != self._told[index]:
                self._told[index] = owed
                edge.up.send(inlet.connection, "credit", owed)
                yield from self.world.stop_here()

    def _advance(self) -> Origins:
        waiting = []
        for index, behind, origin in self._behind:
            if self.inlets[index].intake.taken >= behind:
                self.progress.watermark_received(index, origin)
            else:
                waiting.append((index, behind, origin))
        self._behind = waiting
        return self.progress.next_watermark()
