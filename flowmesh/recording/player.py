"""Player: a source that plays a recorded stream again. It imports neither networkx nor ZeroMQ."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..chunk import DataChunk
from ..errors import EndOfStream, FlowmeshError, GraphError
from ..node import is_number
from ..nodes.base import BaseNode
from .assembly import RecordedChunk
from .reader import SessionReader

_LONGEST_WAIT = 0.1  # seconds: a step that waits longer would hold up a stop


class Player(BaseNode):
    """A source that emits the chunks of a recorded stream: the same records and types, in the same order.

    The stream ends with the recording. `created` is the recorded time plus `shift_ns`, so that several players of one
    session keep their distance and `Align` pairs as it did, at any speed. Chunks are numbered anew, from 1; where the
    recording has gaps, the numbers differ from the recorded ones, which is reported at the start.

    Needs the packages of the extra `record`.

    Args:
        name: the node's name.
        session: the session's folder, on the host on which the node runs.
        node: whose stream; None: that of the recorded node of the same name.
        speed: how many times as fast as it was; 0: as fast as the consumers take it.
        loop: begin again at the end; times go on.
        begin, end: seconds after the session's beginning between which to play; None: all.
        run: which run of the recorded graph; None: the first that has the stream.
        shift_ns: what to add to the recorded times; give all players of a session the same.
        trust: open pickles, which may run any code of their writer's choice.
        options: options of Node.

    Raises:
        GraphError: a value is out of range.
        FlowmeshError: in `setup`: there is no such session or stream.
        PickleRefused: in `step`: a record is a pickle, and `trust` is False.
    """

    def __init__(
        self,
        name: str,
        session: str | os.PathLike[str],
        *,
        node: str | None = None,
        speed: float = 1.0,
        loop: bool = False,
        begin: float | None = None,
        end: float | None = None,
        run: int | None = None,
        shift_ns: int = 0,
        trust: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        if not is_number(speed) or not 0 <= speed <= 1000:
            raise GraphError(f"{self.name}: speed must be a number from 0 to 1000, got {speed!r}")
        for what, seconds in (("begin", begin), ("end", end)):
            if seconds is not None and not (is_number(seconds) and seconds >= 0):
                raise GraphError(f"{self.name}: {what} must be a number of seconds from 0, got {seconds!r}")
        self.session, self.node = Path(session), node or self.name
        self.speed, self.loop, self.begin, self.end = speed, loop, begin, end
        self.run, self.shift_ns, self.trust = run, shift_ns, trust

    def setup(self) -> None:
        self._reader = SessionReader(self.session, trust=self.trust)
        streams = [one for one in self._reader.totals() if one.node == self.node]
        if not streams:
            there = ", ".join(sorted({one.node for one in self._reader.totals()})) or "none"
            raise FlowmeshError(f"{self.name}: {self.session} has no stream of {self.node!r}; it has: {there}")
        self._run = self.run if self.run is not None else min(one.run for one in streams)
        totals = next((one for one in streams if one.run == self._run), None)
        if totals is None:
            raise FlowmeshError(f"{self.name}: {self.session} has no run {self._run} of {self.node!r}")
        if totals.missing_count or totals.first != 1:
            self.logger.warning(
                "the recording of %s begins with %d and lacks %d chunks: numbers are not those recorded",
                self.node, totals.first, totals.missing_count,
            )  # fmt: skip
        self._begin_ns, self._end_ns = self._span()
        self._started: float | None = None  # when playing began, by the monotonic clock
        self._played = False  # whether there was anything
        self._round_ns = 0  # what earlier rounds of a loop took
        self._chunks = self._opened()
        self._next: RecordedChunk | None = None

    def step(self, data: Any = None) -> DataChunk | None:
        if self._next is None:
            self._next = self._following()
        recorded = self._next
        if not self._is_due(recorded.time_ns + self._round_ns):
            return None
        self._next = None
        recorded.chunk.created = recorded.time_ns + self._round_ns + self.shift_ns
        return recorded.chunk

    def teardown(self) -> None:
        reader: SessionReader | None = getattr(self, "_reader", None)
        for (node, reason), count in reader.skipped.items() if reader is not None else ():
            self.logger.warning("%d chunks of %s can't be played: %s", count, node, reason)

    def _span(self) -> tuple[int, int]:
        """When what is played begins and ends, by the Manager's clock in ns: the same for all players of a session."""
        first, last = self._reader.span_ns()
        begin, end = (None if seconds is None else first + round(seconds * 1e9) for seconds in (self.begin, self.end))
        return first if begin is None else begin, last + 1 if end is None else end

    def _opened(self) -> Iterator[RecordedChunk]:
        chunks = self._reader.chunks([self.node], self._begin_ns, self._end_ns)
        return (one for one in chunks if one.stamp.run == self._run)

    def _following(self) -> RecordedChunk:
        following = next(self._chunks, None)
        if following is None and self.loop and self._played:
            self._round_ns += self._end_ns - self._begin_ns
            self._chunks = self._opened()
            following = next(self._chunks, None)
        if following is None:
            raise EndOfStream
        self._played = True
        return following

    def _is_due(self, time_ns: int) -> bool:
        """Whether the chunk of that time may go; waits a little if not."""
        if not self.speed:
            return True
        now = time.monotonic()
        if self._started is None:
            self._started = now
        due = self._started + (time_ns - self._begin_ns) / 1e9 / self.speed
        if due > now:
            time.sleep(min(due - now, _LONGEST_WAIT))
        return due <= now + _LONGEST_WAIT
