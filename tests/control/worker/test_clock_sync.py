"""How well another clock is known: never worse than it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowmesh.control.worker.clock_sync import DRIFT, EVERY, LONGEST, TRIPS, ClockSync

MS = 10**6
ROUNDED = 3  # ns


def test_nothing_is_known_at_first() -> None:
    assert ClockSync().reading(5) == (0, 0)


def test_the_middle_of_the_trip_is_taken_and_half_of_it_is_the_bound() -> None:
    clock = ClockSync()
    assert clock.heard(1000 * MS, 5_001_000 * MS, 1002 * MS)
    assert clock.reading(1000 * MS) == (5_000_000 * MS - 1 * MS, 1 * MS)
    assert clock.reading(1000 * MS + 10**9) == (5_000_000 * MS - 1 * MS, 1 * MS + 10**9 * DRIFT)


def test_the_shortest_trip_counts_until_it_is_old() -> None:
    clock = ClockSync()
    clock.heard(0, 100 * MS, 2 * MS)
    clock.heard(3 * MS, 120 * MS, 23 * MS)
    assert clock.reading(23 * MS)[0] == 99 * MS
    later = 3600 * 10**9
    clock.heard(later, later + 110 * MS, later + 20 * MS)
    assert clock.reading(later) == (100 * MS, 10 * MS)


def test_eight_trips_follow_each_other_every_ten_seconds() -> None:
    clock = ClockSync()
    answers = [clock.heard(now, now, now + 1) for now in range(TRIPS + 2)]
    assert answers == [True] * (TRIPS - 1) + [False] * 3
    assert not clock.heard(EVERY - 1, 0, EVERY - 1)
    assert clock.heard(EVERY + 1, 0, EVERY + 1)


def test_a_trip_that_can_not_be_or_takes_too_long_says_nothing() -> None:
    clock = ClockSync()
    assert not clock.heard(10, 5, 9)
    assert not clock.heard(0, 5, LONGEST + 1)
    assert clock.reading(10) == (0, 0)


def test_a_bound_is_never_zero_once_something_is_known() -> None:
    clock = ClockSync()
    clock.heard(7, 7, 7)
    assert clock.reading(7) == (0, 1)


@given(
    st.integers(-(2**62), 2**62),
    st.floats(-DRIFT, DRIFT),
    st.lists(st.tuples(st.integers(0, 20 * 10**9), st.integers(0, 50 * MS), st.integers(0, 50 * MS)), min_size=1),
)
def test_the_true_offset_lies_within_the_bound(ahead: int, drift: float, trips: list[tuple[int, int, int]]) -> None:
    """`drift` is how much faster the Manager's clock runs; a trip waits, goes there, and comes back."""

    def managers(moment: int) -> int:
        return moment + ahead + round(moment * drift)

    clock, now = ClockSync(), 0
    for waits, there, back in trips:
        now += waits
        if clock.reading(now)[1]:
            offset, bound = clock.reading(now)
            assert abs(managers(now) - now - offset) <= bound + ROUNDED
        clock.heard(now, managers(now + there), now + there + back)
        now += there + back
        offset, bound = clock.reading(now)
        assert abs(managers(now) - now - offset) <= bound + ROUNDED
