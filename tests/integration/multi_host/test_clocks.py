"""Streams from hosts whose clocks disagree are joined by when things happened."""

from __future__ import annotations

import json

import numpy as np
import pytest

from .harness import Site, edge, is_balanced
from .network import Clocks, Host, Network

TOLERANCE = 0.03  # seconds; the sensors step every 50 ms: the nearest is never further than 25
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
        f"    graph.add_edge(Event(name, count={COUNT}, rate=20, ahead=ahead, report=report(name)), match)",
        {"here": ["one", "match"], "there": ["two"], "third": ["three"]},
    )
    status = site.finished()
    found = {name: np.array(rows).T for name, rows in site.reported("match").items()}
    made = {name: events(here, name) for name in found}
    times = {name: made[name][found[name][0].astype(int)] for name in found}
    wrong = {name: bounds.max() for name, (_, _, bounds) in found.items()}
    managers = np.median(found["one"][1])  # the Manager's clock to the true one
    off = wrong["one"] + np.median(np.diff(times["one"]))
    for name, (_, more, bounds) in found.items():
        assert (distances(times[name], times["one"]) <= TOLERANCE + wrong[name] + wrong["one"]).all()
        assert (np.abs(more - managers) <= bounds + np.diff(times[name])[:, 0] + off).all()
        assert 0 < bounds.max() < 0.05
        assert is_balanced(edge(status, name, "match"))
    assert len(found) == 3
    near = [has_near(made["one"], made[name], TOLERANCE - wrong[name] - wrong["one"]) for name in ("two", "three")]
    assert len(times["one"]) >= np.logical_and(*near).sum() > 0


def events(host: Host, name: str) -> np.ndarray:
    """Of each event of a sensor, the two times between which it was: a busy machine may stop between two lines of a step."""
    return np.array(json.loads((host.folder / f"{name}.json").read_text()))


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far two events were apart at least, of which each is known to have been between two times."""
    return np.maximum(one[:, 0] - other[:, 1], other[:, 0] - one[:, 1])


def has_near(those: np.ndarray, others: np.ndarray, tolerance: float) -> np.ndarray:
    """Which of `those` have one of `others` that surely was not further away."""
    spans = np.maximum(np.abs(those[:, None, 0] - others[None, :, 1]), np.abs(those[:, None, 1] - others[None, :, 0]))
    return np.asarray((spans <= tolerance).any(axis=1))
