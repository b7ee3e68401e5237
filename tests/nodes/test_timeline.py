"""Timeline: times that rise, whatever the time stamps are."""

from __future__ import annotations

from fractions import Fraction

from flowmesh.nodes.timeline import Timeline

PERIOD = Fraction(1, 25)


def placed(*stamps: float | None, start: float = 0, broadcast: bool = False) -> list[float]:
    line = Timeline(PERIOD, Fraction(start), broadcast)
    return [float(line.place(None if stamp is None else Fraction(str(stamp)), None)[0]) for stamp in stamps]


def test_times_are_the_stamps_less_the_start() -> None:
    assert placed(1.5, 1.75, 5.0, start=1.5) == [0, 0.25, 3.5]


def test_what_is_shown_before_the_start_is_at_0() -> None:
    assert placed(1.0, 1.75, start=1.5) == [0, 0.25]


def test_without_stamps_frames_follow_by_the_period() -> None:
    assert placed(None, None, None) == [0, 0.04, 0.08]


def test_one_missing_stamp_is_filled_in() -> None:
    assert placed(0, 1, None, 2) == [0, 1, 1.04, 2]


def test_a_repeated_stamp_does_not_move_what_follows() -> None:
    assert placed(0, 0.04, 0.04, 0.08) == [0, 0.04, 0.041, 0.08]


def test_stamps_that_begin_again_are_a_new_part() -> None:
    assert placed(0, 0.5, 1, 0, 0.5) == [0, 0.5, 1, 1.04, 1.54]


def test_a_long_gap_is_a_pause_but_in_a_broadcast_a_new_part() -> None:
    assert placed(0, 1, 100) == [0, 1, 100]
    assert placed(0, 1, 100, 101, broadcast=True) == [0, 1, 1.04, 2.04]


def test_it_counts_the_parts() -> None:
    line = Timeline(PERIOD, Fraction(0), False)
    for stamp in (0, 1, 0, 1, 0):
        line.place(Fraction(stamp), None)
    assert line.jumps == 2


def test_a_duration_that_the_film_says_counts() -> None:
    line = Timeline(PERIOD, Fraction(0), False)
    assert line.place(Fraction(0), Fraction(1, 2)) == (0, Fraction(1, 2))
    assert line.place(Fraction(1, 2), None) == (Fraction(1, 2), PERIOD)
