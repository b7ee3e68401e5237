"""The counters' page: another process sees every cell, and step times are told well enough."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.channel.counters import BLOCK, BOUND, BUCKETS, CONTROL, HISTOGRAM, REASON_CELL, STEPS, CounterPage, bucket
from flowmesh.wire.plan_specs import REASONS

from .fakes import Send, descriptors, peer

MOST = 2**64 - 1
SECONDS = st.integers(0, 2**62)  # in nanoseconds


def test_another_process_sees_whole_cells() -> None:
    ours = CounterPage.make(outputs=2, inputs=1)

    def work(say: Send) -> None:
        theirs = CounterPage(os.dup(ours.descriptor), 2, 1)
        theirs.cells[STEPS] = MOST
        theirs.cells[theirs.input(0)] = 2**33 + 5
        say(str(theirs.cells[CONTROL]).encode())

    ours.cells[CONTROL] = 2**40 + 3
    with peer(work) as other:
        assert other.heard() == str(2**40 + 3).encode()
        other.end()
    assert (ours.cells[STEPS], ours.cells[ours.input(0)]) == (MOST, 2**33 + 5)
    ours.close()


def test_no_two_cells_are_the_same() -> None:
    page = CounterPage.make(outputs=2, inputs=3)
    blocks = [page.output(0), page.output(1), *(page.input(index) for index in range(3))]
    used = [*range(BOUND + 1), *range(HISTOGRAM, HISTOGRAM + BUCKETS)]
    used += [block + cell for block in blocks for cell in range(BLOCK)]
    assert len(set(used)) == len(used)
    assert max(used) == len(page.cells) - 1
    assert not any(page.cells)
    page.close()


def test_a_page_outlives_the_process_that_counts() -> None:
    page = CounterPage.make(outputs=1, inputs=0)

    def work(say: Send) -> None:
        CounterPage(os.dup(page.descriptor), 1, 0).cells[STEPS] = 41

    with peer(work) as other:
        other.end()
    assert page.cells[STEPS] == 41
    page.close()


def test_whoever_gets_the_page_does_not_empty_it() -> None:
    page = CounterPage.make(outputs=1, inputs=0)
    page.cells[STEPS] = 41
    again = CounterPage(os.dup(page.descriptor), 1, 0)
    assert again.cells[STEPS] == 41
    again.cells[STEPS] += 1
    assert page.cells[STEPS] == 42
    for each in (page, again):
        each.close()


def test_what_was_dropped_is_told_by_its_reason() -> None:
    page = CounterPage.make(outputs=1, inputs=1)
    for count, reason in enumerate(REASONS):
        page.cells[page.input(0) + REASON_CELL[reason]] = count
    assert page.dropped(page.input(0)) == {reason: count for count, reason in enumerate(REASONS) if count}
    assert page.dropped(page.output(0)) == {}
    page.close()


def test_before_the_first_step_there_is_no_step_time() -> None:
    page = CounterPage.make(outputs=0, inputs=0)
    assert page.percentile(0.5) == 0.0
    page.close()


@given(SECONDS, SECONDS)
def test_longer_steps_never_lie_in_a_lower_bucket(one: int, other: int) -> None:
    assert 0 <= bucket(min(one, other)) <= bucket(max(one, other)) < BUCKETS


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 1.0])
@given(st.lists(st.integers(1, 2**45), min_size=1, max_size=200))
def test_percentiles_are_within_15_percent(share: float, times: list[int]) -> None:
    page = CounterPage.make(outputs=0, inputs=0)
    for time in times:
        page.cells[HISTOGRAM + bucket(time)] += 1
    exact = np.percentile(times, 100 * share, method="inverted_cdf") / 1e9
    assert page.percentile(share) == pytest.approx(exact, rel=0.15)
    page.close()


def test_closing_leaves_nothing() -> None:
    before = descriptors()
    page = CounterPage.make(outputs=1, inputs=1)
    page.close()
    page.close()
    del page
    assert descriptors() == before


@pytest.mark.parametrize("offset", [0, 1, -1, 2**62, -(2**62)])
def test_the_clock_is_signed(offset: int) -> None:
    page = CounterPage.make(outputs=1, inputs=0)
    assert page.clock() == (0, 0)
    page.set_clock(offset, 5)
    assert page.clock() == (offset, 5)
    page.close()
