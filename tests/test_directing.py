"""The Manager's own time."""

from __future__ import annotations

import pytest

from flowmesh.control.roster import SILENCE
from flowmesh.directing import _TICK, Awake


def test_the_clock_goes_on_while_it_is_read_and_stands_still_while_nobody_reads_it() -> None:
    clock = Awake(100.0)
    assert [clock.at(100.0 + turn * _TICK) for turn in (1, 2, 3)] == pytest.approx([100 + n * _TICK for n in (1, 2, 3)])
    before = clock.at(103.0)
    assert clock.at(109.0) - before < SILENCE, "a worker that was suspended with us is not taken for dead"
    after = clock.at(109.0 + _TICK)
    assert after == pytest.approx(clock.at(109.0 + _TICK))
    assert clock.at(109.0 + 2 * _TICK) - after == pytest.approx(_TICK)
