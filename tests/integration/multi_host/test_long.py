"""What takes long between hosts: long cuts, memory, latencies."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowmesh.nodes.pattern import TestPattern

from .driver import PORT
from .harness import Site, edge, is_balanced
from .network import Host, Network

pytestmark = pytest.mark.long
Deadline = Callable[[float], float]
QUALITY = 80


@pytest.mark.parametrize("seconds", [1, 10, 60])
@pytest.mark.parametrize("both", [True, False], ids=["both ways", "one way"])
def test_two_workers_that_are_cut_off_from_each_other_lose_nothing(
    network: Network, here: Host, there: Host, seconds: int, both: bool, deadline: Deadline
) -> None:
    third = network.host("third")
    site = Site(
        here,
        {"there": there, "third": third},
        "numbers = Numbers('numbers', count=3000, size=20_000, rate=200)\n"
        "graph.add_edge(numbers, Check('seen', report=report('seen')))",
        {"there": ["numbers"], "third": ["seen"]},
    )
    site.started()
    until = time.monotonic() + deadline(20)
    while edge(site.status(), "numbers", "seen")["received"] < 200:
        assert time.monotonic() < until
    third.lose(there)
    if both:
        there.lose(third)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert site.status()["state"] == "running"
    third.mend()
    there.mend()
    status = site.finished(deadline(60))
    seen = site.reported("seen")
    assert (seen["seen"], seen["wrong"]) == (list(range(3000)), [])
    assert is_balanced(edge(status, "numbers", "seen"))


@pytest.mark.parametrize("policy", ["lossless", "latest"])
def test_memory_stays_bounded_where_the_line_is_narrow_and_the_consumer_slow(
    here: Host, there: Host, policy: str, deadline: Deadline
) -> None:
    here.limit("200mbit")
    site = Site(
        here,
        {"there": there},
        "numbers = Numbers('numbers', count=100_000, size=3_000_000, rate=30)\n"
        f"graph.add_edge(numbers, Check('seen', report=report('seen'), pause=0.5), policy={policy!r})",
        {"here": ["numbers"], "there": ["seen"]},
    )
    site.started()
    until = time.monotonic() + deadline(60)
    while edge(site.status(), "numbers", "seen")["received"] < 10:  # everything has been made that is made once
        assert time.monotonic() < until
    before = memory(here, there)
    while edge(site.status(), "numbers", "seen")["received"] < 60:
        assert time.monotonic() < until
    assert memory(here, there) <= 1.05 * before + 10_000_000
    site.manager.close_input()
    site.left()


def test_a_frame_is_there_soon_after_its_encoding_and_decoding(here: Host, there: Host, deadline: Deadline) -> None:
    for _ in range(3):  # a busy machine makes it late, not early
        alone = codec_alone()
        site = Site(
            here,
            {"there": there},
            "film = Film('film', width=1920, height=1080, frames=200, rate=30)\n"
            f"graph.add_edge(film, Check('seen', report=report('seen')), codec='jpeg', quality={QUALITY})",
            {"here": ["film"], "there": ["seen"]},
        )
        site.finished()
        p50 = float(np.median(site.reported("seen")["ages"]))
        if p50 <= alone + deadline(0.003):
            return
    pytest.fail(f"p50 was {p50 * 1000:.1f} ms at last, the codec alone {alone * 1000:.1f}")


def codec_alone() -> float:
    """Median seconds for a frame's encoding and decoding, at the same rate."""
    pattern = TestPattern("pattern", width=1920, height=1080)
    pattern.setup()
    spent, due = [], time.monotonic()
    for _ in range(60):
        frame = pattern.step().get("frame")["value"]
        due += 1 / 30
        time.sleep(max(0.0, due - time.monotonic()))  # a codec that is used all the time is faster than it is in use
        begun = time.perf_counter()
        cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1], cv2.IMREAD_UNCHANGED)
        spent.append(time.perf_counter() - begun)
    return float(np.median(spent))


def memory(*hosts: Host) -> int:
    """Resident bytes of the links of those hosts."""
    pids = [pid for host in hosts for port, pid in host.listeners().items() if port != PORT]
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
