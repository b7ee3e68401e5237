"""Throttle: how many pass, which, and how many it says did not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from flowmesh.errors import GraphError
from flowmesh.nodes import TestPattern, Throttle

from ..integration.single_host.conftest import Cluster
from ..integration.single_host.example_nodes import Collect, chain
from .conftest import chunk_of


def passed(throttle: Throttle, times: list[float], sender: str = "film") -> list[float]:
    """Those of the times (s) at which a chunk would pass."""
    return [time for time in times if throttle._is_due(sender, time)]


def started(per_second: float) -> Throttle:
    throttle = Throttle("throttle", per_second=per_second)
    throttle.setup()
    return throttle


def test_a_third_of_30_a_second_pass_even_when_they_come_a_little_early_or_late() -> None:
    times = [number / 30 + 0.004 * (-1) ** number for number in range(300)]
    assert 98 <= len(passed(started(10), times)) <= 101


def test_no_second_has_more_than_one_above_the_limit() -> None:
    times = [number / 1000 for number in range(5000)]
    got = passed(started(10), times)
    assert len(got) == pytest.approx(50, abs=1)
    assert min(b - a for a, b in itertools.pairwise(got)) >= 0.099


def test_a_pause_is_not_made_up_for() -> None:
    throttle = started(10)
    passed(throttle, [0.0])
    assert len(passed(throttle, [100 + number / 1000 for number in range(1000)])) <= 12


def test_each_sender_has_its_own_count() -> None:
    throttle = started(1)
    assert passed(throttle, [0.0], "left") == passed(throttle, [0.0], "right") == [0.0]


def test_it_passes_the_chunk_itself_and_counts_the_others() -> None:
    throttle = started(0.001)
    first, second = chunk_of(a=1), chunk_of(a=2)
    assert throttle.step({"it": first}) is first
    assert throttle.step({"it": second}) is None
    assert throttle.dropped() == 1


@pytest.mark.parametrize("per_second", [0, -1, True, "5", None, float("inf"), float("nan")])
def test_what_is_no_rate_is_refused(per_second: Any) -> None:
    with pytest.raises(GraphError, match="per_second is a number of chunks a second above 0"):
        Throttle("throttle", per_second=per_second)


def test_in_a_graph_what_it_says_is_what_is_missing(cluster: Cluster) -> None:
    throttle = Throttle("throttle", per_second=5)
    manager = cluster.commit(chain(TestPattern("film", width=320, height=240, rate=200), throttle, Collect("sink")))
    manager.start()
    cluster.until_steps("throttle", 100)
    cluster.until_steps("sink", 5)
    manager.stop()
    edges = manager.status().edges
    received, passed = edges["film", "throttle"].received, edges["throttle", "sink"].received
    assert 5 <= passed <= received / 2
    assert manager.request_registered_method(throttle, "dropped") == received - passed


def test_at_the_end_the_log_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    throttle = started(0.001)
    for _ in range(3):
        throttle.step({"it": chunk_of(a=1)})
    with caplog.at_level("INFO"):
        throttle.teardown()
    assert caplog.messages == ["2 chunks of it were not passed on"]
