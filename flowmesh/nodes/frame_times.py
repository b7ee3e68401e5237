"""Display times of the frames of a film being written: by media time, source clock, or number. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..chunk import DataChunk
from ..node import is_number

USUAL_RATE = 30.0  # frames a second, where nothing says it
_NEW_PART = 1  # seconds: what goes back further is no disorder, but a source that has begun again


class FrameTimes:
    """Gives frames their times in a film, from 0.

    Args:
        fps: frames a second, for chunks without "media_time"; None takes the times at which their source made them.
    """

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._period = 1 / Fraction(fps or USUAL_RATE).limit_denominator(1001)
        self._start: Fraction | None = None
        self._last = Fraction(0)

    def place(self, chunk: DataChunk, data: Mapping[str, DataChunk]) -> Fraction:
        """When the frame in `chunk`, one of the chunks of a step, is shown, in seconds; never earlier than the one before."""
        said = self._said(chunk, data)
        if self._start is None:
            self._start = Fraction(0) if said is None else said
            return self._last
        follows = self._last + self._period
        shown = follows if said is None else said - self._start
        if shown < self._last - _NEW_PART:
            self._start += shown - follows
            shown = follows
        self._last = max(shown, self._last)
        return self._last

    def _said(self, chunk: DataChunk, data: Mapping[str, DataChunk]) -> Fraction | None:
        """The frame's time on its own scale; None if nothing says it."""
        for one in (chunk, *data.values()):
            if "media_time" in one and is_number(time := one.get("media_time")["value"]):
                return Fraction(time)
        if not chunk.number:  # it came from no node: a test, a program of its own
            return None
        if self._fps is not None:
            return chunk.number * self._period
        origin = min(
            (origin.time for origin in chunk.origin.values()), default=chunk.times.created + chunk.times.offset
        )
        return Fraction(origin)
