"""Clock synchronisation: the offset of the Manager's clock from this host's, and its bound.

No I/O: times are passed in, in ns. A heartbeat that was sent at `sent`, answered at the Manager's time `clock` and
received at `heard` says that the Manager's clock was `clock` at some moment between the two: the middle is taken, and
is wrong by at most half of the round trip (Cristian's method). The shortest of several trips says it best.
"""

from __future__ import annotations

import math

TRIPS = 8  # one after the other: one of them meets neither queue nor scheduler
EVERY = 10 * 10**9  # ns from one such series to the next
DRIFT = 100e-6  # the most by which two quartzes drift apart: the bound of a measurement grows by it with age
LONGEST = 10**9  # ns: a longer trip is ignored


class ClockSync:
    """The Manager's clock as seen from this host's monotonic one."""

    def __init__(self) -> None:
        self._begun_at: int | None = None
        self._trips = 0
        self._offset = 0
        self._half = 0
        self._at: int | None = None

    def heard(self, sent: int, clock: int, heard: int) -> bool:
        """Take the answer to a heartbeat; returns whether the next is to be sent at once.

        Args:
            sent, heard: this host's monotonic clock, ns.
            clock: the Manager's, ns since the epoch.
        """
        trip = heard - sent
        if not 0 <= trip <= LONGEST:
            return False
        if self._begun_at is None or heard - self._begun_at >= EVERY:
            self._begun_at, self._trips = heard, 0
        self._trips += 1
        if self._at is None or _bound(trip, trip) <= self.reading(heard)[1]:
            self._offset, self._half, self._at = clock - (sent + heard) // 2, -(-trip // 2), sent
        return self._trips < TRIPS

    def reading(self, now: int) -> tuple[int, int]:
        """The offset from this host's monotonic clock to the Manager's, and its largest error; both in ns.

        The bound is 0 as long as nothing is known, and at least 1 from then on.
        """
        if self._at is None:
            return 0, 0
        return self._offset, _bound(2 * self._half, now - self._at)


def _bound(trip: int, age: int) -> int:
    """The largest error of a trip's offset, at this age."""
    return max(1, -(-trip // 2) + math.ceil(age * DRIFT))
