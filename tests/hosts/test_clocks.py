"""Streams from hosts whose clocks disagree are joined by when things happened."""

from __future__ import annotations

import numpy as np
import pytest

from .network import Clocks, Host, Network
from .site import Site, edge, is_balanced

TOLERANCE = 0.03  # seconds; the sensors step every 50 ms: the nearest is never further than 25
BUSY = 0.01  # seconds that may pass on a busy machine between two lines of a step
COUNT = 60


@pytest.mark.parametrize(
    "wall", [3600.0, pytest.param(-90.0, marks=pytest.mark.long)], ids=["an hour ahead", "90 s behind"]
)
def test_what_happened_at_once_is_joined_whatever_the_hosts_clocks_say(
    network: Network, here: Host, wall: float
) -> None:
    there = network.host("there", Clocks(wall, monotonic=50_000))
    third = network.host("third", Clocks(-wall / 2, monotonic=7))
    site = Site(
        here,
        {"there": there, "third": third},
        f"match = Match('match', {TOLERANCE}, report=report('match'))\n"
        "for name, ahead in (('one', 0), ('two', 50_000), ('three', 7)):\n"
        f"    graph.add_edge(Event(name, count={COUNT}, rate=20, ahead=ahead), match)",
        {"here": ["one", "match"], "there": ["two"], "third": ["three"]},
    )
    status = site.finished()
    found = {name: np.array(rows).T for name, rows in site.reported("match").items()}
    managers = np.median(found["one"][1])  # the Manager's clock to the true one
    for name, (apart, more, bounds) in found.items():
        assert len(apart) >= 0.9 * COUNT
        assert np.abs(apart).max() <= TOLERANCE + BUSY
        assert (np.abs(more - managers) <= bounds + BUSY).all()
        assert 0 < bounds.max() < 0.05
        assert is_balanced(edge(status, name, "match"))
    assert len(found) == 3
