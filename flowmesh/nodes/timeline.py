"""The times of a film's frames, from time stamps that may be missing, repeated or set back. Exact fractions; no I/O."""

from __future__ import annotations

from fractions import Fraction

_JUMP = 10  # seconds: a longer gap in a format whose clock may be set anew is a new part, no pause
_LEAST = Fraction(1, 1000)  # seconds between two frames with the same time stamp: the unit of most containers


class Timeline:
    """Gives each frame, in display order, its time: seconds from the start, always rising.

    Args:
        period: seconds from one frame to the next, where no time stamp says it.
        start: the time stamp, in seconds, that is 0 here.
        broadcast: whether a long gap forwards is the beginning of a new part, too. A jump back is so always.

    Attributes:
        jumps: how many new parts have begun.
    """

    def __init__(self, period: Fraction, start: Fraction, broadcast: bool) -> None:
        self._period, self._start, self._broadcast = period, start, broadcast
        self._last: Fraction | None = None
        self.jumps = 0

    def place(self, stamp: Fraction | None, duration: Fraction | None) -> tuple[Fraction, Fraction]:
        """When the frame with this time stamp is shown, and for how long, in seconds."""
        lasts = duration or self._period
        if self._last is None:
            self._last = Fraction(0) if stamp is None else max(stamp - self._start, Fraction(0))
            return self._last, lasts
        follows = self._last + self._period
        shown = follows if stamp is None else stamp - self._start
        if shown < self._last - 2 * self._period or (self._broadcast and shown > self._last + _JUMP):
            self.jumps += 1
            self._start += shown - follows  # films that were joined end to end
            shown = follows
        self._last = max(shown, self._last + min(self._period, _LEAST))
        return self._last, lasts
