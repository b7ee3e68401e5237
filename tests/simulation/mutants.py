"""Rules broken on purpose: each must be found, or the simulator proves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowmesh.control.node.joins import AnyJoin
from flowmesh.control.recovery.checkpoint import Checkpoint, CommitTracker, InputCursor
from flowmesh.control.recovery.connection_id import ConnectionId, ResumePosition
from flowmesh.control.recovery.retransmit import ReliableSender, RetransmitBuffer

from .simulation import Rules


class SettlesAtTaken(CommitTracker):
    """A chunk is settled as soon as a step has taken it."""

    def step_began(self, trigger: int, used: Any) -> Checkpoint:
        super().step_began(trigger, used)
        for index, number in used.items():
            self._done[index].add(number)
        return self._write()


class SettlesAtEnd(CommitTracker):
    """A chunk is settled when its step has ended, whatever has become of what the step emitted."""

    def _is_settled(self, step: Any, settled: int) -> bool:
        return step.highest is not None


class ForgetsMarks(CommitTracker):
    """The page does not say how far the node's marks are."""

    def _write(self, begun: bool = False, ended: bool = False) -> Checkpoint:
        super()._write(begun, ended)
        self.page = self.page._replace(mark={})
        return self.page


class DropsQuietly(CommitTracker):
    """What is dropped is settled, but not what that says downstream."""

    def chunk_dropped(self, index: int, number: int, mark: Any) -> Checkpoint:
        return super().chunk_dropped(index, number, {})


class StartsBehind(CommitTracker):
    """The page says where the output is, not where its first unsettled step began."""

    def _write(self, begun: bool = False, ended: bool = False) -> Checkpoint:
        super()._write(begun, ended)
        self.page = self.page._replace(next=self.page.highest + 1)
        return self.page


class OneIsEnough(RetransmitBuffer[Any]):
    """A chunk is forgotten as soon as one of several edges has settled it."""

    @property
    def settled(self) -> int:
        return max(self._settled.values(), default=self.highest)


class KeepsOnlyNews(ReliableSender[Any]):
    """What a consumer already has is forgotten, although it is not settled."""

    def position_reported(self, connection: ConnectionId, report: ResumePosition) -> list[int]:
        return super().position_reported(connection, report._replace(settled=report.last))


class SendsAllAgain(ReliableSender[Any]):
    """A new connection begins with all that is unsettled, not behind what the consumer has."""

    def position_reported(self, connection: ConnectionId, report: ResumePosition) -> list[int]:
        return super().position_reported(connection, report._replace(last=report.settled, taken=report.settled))


class BelievesOldCredit(ReliableSender[Any]):
    """Credit of another connection counts."""

    def credit_received(self, connection: ConnectionId, taken: int, settled: int) -> list[int]:
        return super().credit_received(self.connection or connection, taken, settled)


class BelievesOldChunks(InputCursor):
    """Chunks of another connection are taken."""

    def chunk_arrived(self, connection: ConnectionId, number: int) -> bool:
        return super().chunk_arrived(self.connection or connection, number)


def as_it_comes(inputs: int, order: Sequence[int]) -> AnyJoin[Any]:
    """An `any` that does not repeat its order."""
    return AnyJoin(inputs)


# What is broken, and the shape in which it shows.
MUTANTS: dict[str, tuple[str, Rules]] = {
    "settled at taken": ("chain", Rules(settling=SettlesAtTaken)),
    "settled at the step's end": ("chain", Rules(settling=SettlesAtEnd)),
    "told before the page is written": ("chain", Rules(page_first=False)),
    "next is behind the highest given": ("chain", Rules(settling=StartsBehind)),
    "forgotten when one edge has settled": ("merged", Rules(keeping=OneIsEnough)),
    "forgotten when the consumer has it": ("chain", Rules(kept_edge=KeepsOnlyNews)),
    "everything is sent again": ("chain", Rules(kept_edge=SendsAllAgain)),
    "old credit is believed": ("chain", Rules(kept_edge=BelievesOldCredit)),
    "old chunks are believed": ("chain", Rules(inlet=BelievesOldChunks)),
    "connections are named by epochs alone": ("chain", Rules(serials=False)),
    "nobody answers for who has left": ("chain", Rules(worker_answers=False)),
    "no marks before zip": ("filtered_zip", Rules(marks=False)),
    "marks die with their node": ("filtered_zip", Rules(settling=ForgetsMarks)),
    "drops are no progress": ("starved", Rules(drops_advance=False)),
    "the progress of drops dies with their node": ("starved", Rules(settling=DropsQuietly)),
    "a zip forgets what it has settled": ("filtered_zip", Rules(zip_remembers=False)),
    "any takes as it comes after a restart": ("merged", Rules(repeating_join=as_it_comes)),
    "before_first is dropped after a restart": ("sampled", Rules(waits_after_restart=False)),
    "the newest sample dies with its producer": ("sampled", Rules(newest_outlives=False)),
    "what is followed is kept until the first sample": ("starved", Rules(keeps_nothing=False)),
    "strangers pair by their own numbers": ("crossed", Rules(strangers_by_sources=False)),
    "a lone chunk is not known to be the last": ("filtered_zip", Rules(lone_is_last=False)),
}
