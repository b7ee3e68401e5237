"""Streams between hosts: all of them arrive, once, and a large one does not make the small ones wait."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from .harness import Site, edge, is_balanced
from .network import Host, Network

Deadline = Callable[[float], float]
RATE = 100e6  # bits a second
LARGE = 6_000_000  # bytes


def test_frames_arrive_whole_and_none_is_lost(here: Host, there: Host) -> None:
    site = Site(
        here,
        {"there": there},
        "film = Film('film', width=1920, height=1080, frames=90, rate=30)\n"
        "graph.add_edge(film, Check('seen', report=report('seen')), codec='jpeg', quality=80)",
        {"here": ["film"], "there": ["seen"]},
    )
    status = site.finished()
    seen = site.reported("seen")
    assert seen["seen"] == list(range(90))
    assert seen["wrong"] == []
    counts = edge(status, "film", "seen")
    assert (counts["transport"], counts["policy"], counts["sent"], counts["received"]) == ("link", "lossless", 90, 90)
    assert "jpeg" in counts["codec"]
    assert 0 < counts["encoded"] < counts["bytes"] / 5


def test_streams_go_both_ways_at_once(here: Host, there: Host) -> None:
    site = Site(
        here,
        {"there": there},
        "for name in ('out', 'back'):\n"
        "    graph.add_edge(Numbers(name, count=3000, size=0), Check(f'{name}_seen', report=report(f'{name}_seen')))",
        {"here": ["out", "back_seen"], "there": ["back", "out_seen"]},
    )
    status = site.finished()
    for name in ("out", "back"):
        assert site.reported(f"{name}_seen")["seen"] == list(range(3000))
        counts = edge(status, name, f"{name}_seen")
        assert (counts["sent"], counts["received"], counts["in_flight"]) == (3000, 3000, 0)


def test_values_that_no_codec_shrinks_arrive_as_they_were(here: Host, there: Host) -> None:
    sizes = [1, 999, 100_000, 1_000_000]
    site = Site(
        here,
        {"there": there},
        f"for size in {sizes}:\n"
        "    numbers = Numbers(f'numbers-{size}', count=100, size=size)\n"
        "    graph.add_edge(numbers, Check(f'seen-{size}', report=report(f'seen-{size}')))",
        {"here": [f"numbers-{size}" for size in sizes], "there": [f"seen-{size}" for size in sizes]},
    )
    site.finished()
    for size in sizes:
        seen = site.reported(f"seen-{size}")
        assert (seen["seen"], seen["wrong"]) == (list(range(100)), [])


def test_three_consumers_on_a_host_cost_one_transfer(here: Host, there: Host) -> None:
    names = ["one", "two", "three"]
    site = Site(
        here,
        {"there": there},
        "film = Film('film', width=1920, height=1080, frames=60, rate=30)\n"
        f"for name in {names}:\n"
        "    graph.add_edge(film, Check(name, report=report(name)), codec='jpeg', quality=80)",
        {"here": ["film"], "there": names},
    )
    status = site.finished()
    sent = here.traffic().sent  # the graph's code, too
    counts = [edge(status, "film", name) for name in names]
    assert [count["received"] for count in counts] == [60] * 3
    assert counts[0]["encoded"] == counts[1]["encoded"] == counts[2]["encoded"]
    assert counts[0]["encoded"] < sent < 1.2 * counts[0]["encoded"] + 200_000
    assert all(site.reported(name)["seen"] == list(range(60)) for name in names)


def test_a_frame_that_is_passed_on_to_a_third_host_is_as_good_there(network: Network, here: Host, there: Host) -> None:
    site = Site(
        here,
        {"there": there, "third": network.host("third")},
        "film = Film('film', width=1280, height=720, frames=60, rate=30)\n"
        "middle = Pass('middle')\n"
        "graph.add_edge(film, middle)\n"
        "graph.add_edge(film, Digests('near', report=report('near')))\n"
        "graph.add_edge(middle, Digests('far', report=report('far')))",
        {"here": ["film"], "there": ["middle", "near"], "third": ["far"]},
    )
    status = site.finished()
    near, far = site.reported("near"), site.reported("far")
    assert len(near["digests"]) == 60
    assert far["digests"] == near["digests"]  # encoded a second time, they would not be the same
    assert edge(status, "film", "middle")["encoded"] == pytest.approx(edge(status, "middle", "far")["encoded"], rel=0.1)


def test_small_streams_stay_fresh_beside_a_large_one(here: Host, there: Host, deadline: Deadline) -> None:
    """As fresh as one that does not leave its host: where that is late, it is the machine that is busy."""
    here.limit(f"{RATE / 1e6:g}mbit")
    small = [f"small-{place}" for place in range(9)]
    site = Site(
        here,
        {"there": there},
        f"large = Numbers('large', count=120, size={LARGE}, rate=30)\n"
        "graph.add_edge(large, Check('large-seen', report=report('large-seen')), policy='latest')\n"
        f"for name in {[*small, 'witness']}:\n"
        "    numbers = Numbers(name, count=80, size=1000, rate=20)\n"
        "    graph.add_edge(numbers, Check(f'{name}-seen', report=report(f'{name}-seen')), policy='latest')",
        {
            "here": ["large", *small, "witness", "witness-seen"],
            "there": ["large-seen", *(f"{name}-seen" for name in small)],
        },
    )
    status = site.finished()
    large, witness = site.reported("large-seen"), site.reported("witness-seen")
    on_the_line = LARGE * 8 / RATE
    assert len(large["seen"]) >= 5
    assert large["wrong"] == []
    first, *later = large["ages"]  # the first meets the beginnings of all nodes, and TCP's search for the line's limit
    assert max(later) <= deadline(2 * on_the_line + 0.3) + max(witness["ages"])
    assert first <= deadline(2 * on_the_line + 2.0)
    for name in small:
        seen = site.reported(f"{name}-seen")
        assert len(seen["seen"]) >= len(witness["seen"]) - 8
        assert np.percentile(seen["ages"], 95) <= deadline(0.1) + np.percentile(witness["ages"], 95)
    assert all(is_balanced(counts) for counts in status["edges"].values())
    assert edge(status, "large", "large-seen")["dropped"]["superseded"] > 80
