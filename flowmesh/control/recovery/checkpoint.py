"""Settling on the consumer's side: settled chunks, and the checkpoint for the next incarnation of a node. No I/O.

    taken ──► its step has ended ──► its emissions are settled ──► the checkpoint is written ──► settled

Steps settle in their order, so that one checkpoint says where all inputs and the output go on together. The caller that
gets a Checkpoint writes it before anything else happens: before a step begins, before a chunk is sent, before *settled*
goes out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...wire.packets import Origins
from ..node.flow_control import ReceiveWindow
from .connection_id import ConnectionId, ResumePosition
from .retransmit import RetransmitBuffer


class Checkpoint(NamedTuple):
    """The state that outlives an incarnation: the next one starts here.

    Attributes:
        settled: of each input, all up to this number needs no step any more.
        next: the number of the first emission of the first unsettled step.
        highest: the highest number given.
        order: of an `any` node, the inputs in the order in which they were taken since.
        mark: the node's watermark after the settled steps.
        begun: whether any step was begun: from then on nothing is dropped as `before_first`.
        ended: whether all is settled, this node's own end too. Its worker answers for it.
    """

    settled: tuple[int, ...]
    next: int = 1
    highest: int = 0
    order: tuple[int, ...] = ()
    mark: Mapping[int, tuple[int, int]] = {}
    begun: bool = False
    ended: bool = False


class _Step:
    """A step that is not settled: what it used, and once it has ended, the highest number given by then."""

    def __init__(self, used: Mapping[int, int]) -> None:
        self.used = used
        self.highest: int | None = None
        self.mark: Origins = {}


class CommitTracker:
    """The steps of one incarnation of a node.

    Args:
        page: the checkpoint of the earlier incarnation.
        keeping: the retransmit buffer of the node's output.
        lossy: the indices of inputs on which chunks are settled at once.
        ordered: whether the order in which inputs are taken must be repeated (`any`).
    """

    def __init__(self, page: Checkpoint, keeping: RetransmitBuffer[Any], lossy: frozenset[int], ordered: bool) -> None:
        self.page = page
        self._keeping = keeping
        self._lossy = lossy
        self._ordered = ordered
        self._steps: deque[_Step] = deque()
        self._done: list[set[int]] = [set() for _ in page.settled]
        self._order = deque(page.order)
        self._repeated = 0  # how many entries of the order this incarnation has taken

    def step_began(self, trigger: int, used: Mapping[int, int]) -> Checkpoint:
        """Note that a step is about to begin; `used` has the chunks' numbers by input."""
        self._steps.append(_Step({index: number for index, number in used.items() if index not in self._lossy}))
        for index in used.keys() & self._lossy:
            self._done[index].add(used[index])
        if self._ordered:
            self._repeated += 1
            if self._repeated > len(self._order):
                self._order.append(trigger)
        return self._write(begun=True)

    def chunk_emitted(self) -> Checkpoint:
        """Note that the step has emitted; the chunk is not sent yet."""
        return self._write()

    def step_finished(self, mark: Origins) -> Checkpoint:
        """Note that the step has ended, with the node's watermark at `mark`."""
        self._steps[-1].highest = self._keeping.highest
        self._steps[-1].mark = mark
        return self.settle_steps()

    def chunk_dropped(self, index: int, number: int, mark: Origins) -> Checkpoint:
        """Settle a chunk that no step will use at once, and with it the watermark: no later incarnation gets the chunk
        again."""
        self._done[index].add(number)
        if self._steps:
            self._steps[-1].mark = mark or self._steps[-1].mark
        elif mark:
            self.page = self.page._replace(mark=mark)
        return self._write()

    def settle_steps(self) -> Checkpoint:
        """Settle the steps whose output the consumers have settled meanwhile."""
        settled = self._keeping.settled
        page = self.page
        while self._steps and self._is_settled(self._steps[0], settled):
            step = self._steps.popleft()
            for index, number in step.used.items():
                self._done[index].add(number)
            if self._ordered:
                self._order.popleft()
                self._repeated -= 1
            page = page._replace(next=(step.highest or 0) + 1, mark=step.mark or page.mark)
        self.page = page
        return self._write()

    def inputs_closed(self) -> Checkpoint:
        """Note that the node has ended, and that all its consumers have settled its end."""
        self._steps.clear()
        return self._write(ended=True)

    def _is_settled(self, step: _Step, settled: int) -> bool:
        return step.highest is not None and step.highest <= settled

    def _write(self, begun: bool = False, ended: bool = False) -> Checkpoint:
        page = self.page
        self.page = page._replace(
            settled=tuple(map(self._cut, range(len(page.settled)))),
            highest=max(page.highest, self._keeping.highest),
            order=tuple(self._order),
            begun=page.begun or begun,
            ended=page.ended or ended,
        )
        return self.page

    def _cut(self, index: int) -> int:
        """The number up to which an input is settled without a gap."""
        done, cut = self._done[index], self.page.settled[index]
        if index in self._lossy:
            cut = max(cut, max(done, default=0))
            done.clear()
        while cut + 1 in done:
            cut += 1
            done.discard(cut)
        return cut


class InputCursor:
    """The consumer's side of one edge, over several connections.

    Args:
        settled: as the checkpoint says; 0 on a sampled edge, so that a new incarnation is given the newest chunk again.
    """

    def __init__(self, depth: int, lossless: bool, settled: int) -> None:
        self.connection: ConnectionId | None = None
        self.intake = ReceiveWindow(depth, lossless)
        self.intake.arrived = self.intake.taken = settled
        self._credited = settled

    def connected(self, connection: ConnectionId, settled: int) -> ResumePosition:
        """Begin a new connection, which replaces any other; returns the first message for it."""
        self.connection = connection
        self._credited = self.intake.taken
        return ResumePosition(self.intake.arrived, self.intake.taken, settled)

    def chunk_arrived(self, connection: ConnectionId, number: int) -> bool:
        """Check a chunk or the end that has come; False when it is of another connection, and refused.

        Raises:
            ChunkError: it arrived before, or on a lossless edge one before it is missing.
        """
        if connection != self.connection:
            return False
        self.intake.record_arrival(number)
        return True

    def chunk_taken(self, number: int, shared: bool) -> int:
        """Note that a chunk was taken into a step, or dropped; returns the number up to which credit is given."""
        self._credited = max(self._credited, self.intake.record_taken(number, shared))
        return self._credited
