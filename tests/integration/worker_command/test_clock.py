"""Chunks that are made on another host say how far its clock is from the Manager's, and how sure that is."""

from __future__ import annotations

from ...conftest import SCALE
from .conftest import WITHIN, Boss, Hire

ROUNDED = 20e-6  # seconds: each process reads two clocks one after the other when it begins


def test_the_true_offset_lies_within_the_bound(boss: Boss, hire: Hire) -> None:
    """The two hosts of the test have one clock in truth."""
    hire("--token", boss.token).says("^registered", WITHIN)
    assert boss.do("run()") == "running"
    boss.do("[time.sleep(0.01) for _ in range(1000) if manager.status().nodes['look'].steps < 5]")
    offset, bound = eval(boss.do("answer('look', 'clock')"))
    assert 0 < bound < 0.1 * SCALE
    assert abs(offset) <= bound + ROUNDED
