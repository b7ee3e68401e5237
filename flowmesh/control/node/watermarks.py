"""Watermarks: upstream progress, so that a join downstream need not wait for what was filtered out. No I/O.

Progress is kept by output: up to which number (and time) of an output everything that descends from it has passed here.
A node sends downstream the minimum of its triggering inputs. Only nodes above a `zip` or `Align` do so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...wire.packets import Origins


class Cause(NamedTuple):
    """A chunk that caused a step.

    Attributes:
        input: the index of the input.
        sender: its producer's output.
        number: its number there.
        time: its time in ns, on the Manager's clock.
        origin: as in its header; empty in a source's own chunk.
        last: whether nothing else of its origin's numbers follows on this input.
    """

    input: int
    sender: int
    number: int
    time: int
    origin: Origins
    last: bool

    @property
    def made(self) -> int:
        """The creation time of the earliest chunk that it descends from."""
        return min((time for _, time in self.origin.values()), default=self.time)


class WatermarkTracker:
    """The watermarks of one node.

    Args:
        carries: {index of a triggering input: the outputs whose numbers its watermarks give}.
        forks: outputs of nodes other than sources by whose numbers a zip pairs.
    """

    def __init__(self, carries: Mapping[int, Sequence[int]], forks: frozenset[int]) -> None:
        self._carries = {index: frozenset(outputs) for index, outputs in carries.items()}
        self.forks = forks
        self._reached: dict[int, Origins] = {index: {} for index in carries}
        self._said: Origins = {}

    def origin(self, cause: Cause) -> Origins:
        """The origin of emissions caused by this chunk: its own, and itself if it is a source's or a fork's."""
        if not cause.origin:
            return {cause.sender: (cause.number, cause.time)}
        if cause.sender in self.forks:
            return {**cause.origin, cause.sender: (cause.number, cause.time)}
        return cause.origin

    def completes(self, causes: Sequence[Cause]) -> bool:
        """Whether the end of the step completes all numbers of its origin: its last emission can carry that itself."""
        return len(causes) == len(self._carries) and all(cause.last or not cause.origin for cause in causes)

    def step_completed(self, causes: Sequence[Cause]) -> None:
        """Note the end of a step with these causes."""
        for cause in causes:
            more = 0 if cause.last else 1
            done = {output: (number - more, time - more) for output, (number, time) in cause.origin.items()}
            if not cause.origin or cause.sender in self.forks:
                done[cause.sender] = (cause.number, cause.time)
            self.watermark_received(cause.input, done)

    def watermark_received(self, index: int, done: Origins) -> None:
        """Note a watermark of an input."""
        reached = self._reached.get(index)
        if reached is None:
            return  # a sampled input's
        for output, progress in done.items():
            if progress > reached.get(output, (0, 0)):
                reached[output] = progress

    def next_watermark(self) -> Origins:
        """The watermark to send downstream, if any of it is new."""
        news: Origins = {}
        for output in frozenset().union(*self._carries.values()):
            places = [index for index, outputs in self._carries.items() if output in outputs]
            least = min(self._reached[index].get(output, (0, 0)) for index in places)
            if least > self._said.get(output, (0, 0)):
                news[output] = least
        self._said.update(news)
        return dict(self._said) if news else {}
