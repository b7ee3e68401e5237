"""The inputs of a node: chunks of all in-edges, joined into the data of one step, and upstream watermarks."""

from __future__ import annotations

from collections.abc import Callable

from ..channel.packet_socket import PeerGone
from ..chunk import DataChunk
from ..control.node.joins import AnyJoin, FollowJoin, Join, PairingJoin
from ..control.node.pairing import AlignJoin, ZipJoin
from ..control.node.watermarks import Cause, WatermarkTracker
from ..edges.input_edge import InputEdge, ReceivedChunk
from ..wire import packets
from ..wire.packets import Origins
from ..wire.plan_specs import NodeSpec


class Inputs:
    """All inputs of a node. `paused(index, start_id)` and `ended(index)` are called for the markers that come."""

    def __init__(
        self, node: NodeSpec, edges: list[InputEdge], paused: Callable[[int, int], None], ended: Callable[[int], None]
    ) -> None:
        self.edges = edges
        self._pair_by = node.join.pair_by
        self._pairing = _pairing(node, edges)
        self._join: Join[ReceivedChunk] = self._pairing or _plain_join(edges, node.join.keeps)
        self._forks = frozenset(node.pairing_outputs)
        self._progress = WatermarkTracker(node.join.carries, self._forks)
        self.says = node.sends_watermarks  # whether a join downstream needs this node's watermarks
        self._zips = node.join.kind == "zip"
        self.triggering = -1  # of the edge that has triggered the present step
        self.trigger: packets.Chunk  # the chunk on it; not its opened values, whose lease must end with the step
        self._causes: list[Cause] = []
        self._behind: list[tuple[int, int, Origins]] = []  # watermarks that wait for the chunks before them
        self._dropped = False  # since the last watermark was asked for
        self._paused = paused
        self._ended = ended
        self._closed_as: str | None = None

    @property
    def finished(self) -> bool:
        """Whether no step will ever come again."""
        return self._join.finished

    @property
    def missing(self) -> list[int]:
        """The inputs each of which must bring something before there can be a step."""
        return self._join.missing if isinstance(self._join, ZipJoin) else []

    @property
    def never_fires(self) -> str | None:
        """The sender that has ended without sending anything, although each step needs it: no step can come."""
        index = self._join.never_fires if isinstance(self._join, FollowJoin) else None
        return None if index is None else self.edges[index].peer

    def next_step(self) -> dict[str, DataChunk] | None:
        """The next step's data by sender, if it is complete."""
        taken = self._join.next_step() if self._pairing is None else self._take_paired(self._pairing)
        if taken is None:
            return None
        index, items = taken
        data = {}
        for where, item in items.items():
            edge = self.edges[where]
            number = item.chunk.number
            data[edge.peer] = item.open()
            if where == index or number > edge.intake.taken:
                edge.taken(number, item.shared)
        self.triggering, self.trigger = index, items[index].chunk
        causes = items if self._zips else {index: items[index]}
        self._causes = [self._cause(where, item) for where, item in causes.items()]
        return data

    @property
    def origin(self) -> Origins:
        """The origin of the present step's emissions."""
        origin: Origins = {}
        for cause in self._causes:
            origin.update(self._progress.origin(cause))
        return origin

    def _take_paired(self, join: PairingJoin[ReceivedChunk]) -> tuple[int, dict[int, ReceivedChunk]] | None:
        taken = join.next_step()
        self._drop(join.drop_unpaired())
        return taken

    def _cause(self, index: int, item: ReceivedChunk) -> Cause:
        chunk = item.chunk
        sender = self.edges[index].sender
        return Cause(index, sender, chunk.number, chunk.created + chunk.offset, chunk.origin, chunk.last)

    def completes(self) -> bool:
        """Whether the present step's last emission can carry that all of its origin is complete."""
        return self._progress.completes(self._causes)

    def step_completed(self, said: bool) -> Origins:
        """End the step; returns the watermark that is news to a join downstream. `said`: the step's last emission
        completed its origin."""
        self._progress.step_completed(self._causes)
        self._causes = []
        if said:
            self._progress.next_watermark()
        return self._advance()

    def _advance(self) -> Origins:
        waiting = []
        for index, behind, origin in self._behind:
            if self.edges[index].intake.taken >= behind:
                self._progress.watermark_received(index, origin)
            else:
                waiting.append((index, behind, origin))
        self._behind = waiting
        return self._progress.next_watermark()

    def new_watermark(self) -> Origins:
        """The watermark from received watermarks and drops, without a step, that was not sent yet."""
        anything = self._behind or self._dropped
        self._dropped = False
        return self._advance() if anything else {}

    def receive(self) -> bool:
        """Take what has arrived, without waiting; returns whether anything had."""
        anything = False
        for index, edge in enumerate(self.edges):
            if edge.gone:
                continue
            try:
                received = edge.receive()
            except PeerGone:
                edge.gone = True
                anything = True
                self._end(index)
                continue
            if received:
                anything = True
                for packet in received:
                    self._handle(index, edge, packet)
        return anything

    def make_room(self) -> None:
        """Drop the oldest items of lossy inputs with too many, while nothing steps (else only items that await a
        partner)."""
        for index, edge in enumerate(self.edges):
            self._make_room(index, edge)

    def _make_room(self, index: int, edge: InputEdge) -> None:
        while edge.has_too_many(self._join.waiting(index), self._pairing is not None):
            self._drop([(index, self._join.give_up(index), edge.overtaken)])

    def account(self) -> None:
        """Record the number of chunks that wait here."""
        for index, edge in enumerate(self.edges):
            edge.account(self._join.waiting(index))

    def retry(self) -> None:
        """Send the packets to the producers that the kernel had no room for."""
        for edge in self.edges:
            edge.retry()

    def close(self, reason: str) -> None:
        """Close all inputs: what waits and what will come is dropped, counted under the reason."""
        if self._closed_as is not None:
            return
        self._closed_as = reason
        self._drop([(index, item, reason) for index, item in self._join.drain_rest()])
        for edge in self.edges:
            edge.close()

    def _handle(self, index: int, edge: InputEdge, packet: packets.Packet) -> None:
        if isinstance(packet, packets.CHUNKS):
            item = edge.arrived(packet)
            if self._closed_as is not None:
                self._drop([(index, item, self._closed_as)])
                return
            dropped = self._join.add_chunk(index, item)
            if dropped is not None:
                self._drop([dropped])
            if self._pairing is not None:
                if not edge.lossless:
                    self._make_room(index, edge)
                if item.chunk.last or (self._zips and self._pair_by[index] == edge.sender):
                    self._pairing.watermark(index, _number(item, self._pair_by[index]) if self._zips else _time(item))
        elif isinstance(packet, packets.Marker):
            self._handle_mark(index, edge, packet)

    def _handle_mark(self, index: int, edge: InputEdge, mark: packets.Marker) -> None:
        if mark.kind == packets.END:
            self._end(index)
        elif mark.kind == packets.PAUSE:
            self._paused(index, mark.number)
        else:
            if self.says:
                self._behind.append((index, edge.intake.arrived, mark.origin))
            if self._zips and self._pairing is not None and self._pair_by[index] in mark.origin:
                self._pairing.watermark(index, mark.origin[self._pair_by[index]][0])
            elif self._pairing is not None and not self._zips:
                times = [time for output, (_, time) in mark.origin.items() if output not in self._forks]
                self._pairing.watermark(index, max(times, default=0))

    def _drop(self, dropped: list[tuple[int, ReceivedChunk, str]]) -> None:
        for index, item, reason in dropped:
            self.edges[index].dropped(item.chunk.number, reason)
            if self.says:
                self._progress.step_completed([self._cause(index, item)])
                self._dropped = True

    def _end(self, index: int) -> None:
        self._join.end_input(index)
        self._ended(index)


def _plain_join(edges: list[InputEdge], keeps: int) -> Join[ReceivedChunk]:
    followed = [index for index, edge in enumerate(edges) if edge.follow]
    if len(followed) == len(edges):
        return AnyJoin(len(edges))
    return FollowJoin(len(edges), followed[0], keeps)


def _pairing(node: NodeSpec, edges: list[InputEdge]) -> PairingJoin[ReceivedChunk] | None:
    if node.join.kind == "zip":
        return ZipJoin(len(edges), lambda index, item: _number(item, node.join.pair_by[index]))
    if node.join.kind == "align":
        full = [edge.is_full for edge in edges]
        return AlignJoin(len(edges), round(node.join.tolerance * 1e9), _time, lambda index, count: full[index](count))
    return None


def _number(item: ReceivedChunk, output: int) -> int:
    """The number by which a zip pairs an item: that of an output that it descends from, or its own."""
    return item.chunk.origin[output][0] if output in item.chunk.origin else item.chunk.number


def _time(item: ReceivedChunk) -> int:
    """The creation time of what an item descends from, in ns."""
    chunk = item.chunk
    return min((time for _, time in chunk.origin.values()), default=chunk.created + chunk.offset)
