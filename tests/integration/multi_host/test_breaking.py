"""What breaks between hosts: links that are killed, lines that are cut, workers that vanish."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from .driver import PORT
from .harness import Site, edge, is_balanced
from .network import Host, Network

Deadline = Callable[[float], float]
NOTICED = 2.0  # seconds
SLACK = 0.5  # for those who look
ENDLESS = 1_000_000  # chunks: more than are ever sent


def link_of(host: Host) -> int:
    """The process id of the host's link: of those that listen, the one that is not the Manager."""
    (pid,) = {pid for port, pid in host.listeners().items() if port != PORT}
    return pid


def numbers(count: int = ENDLESS, rate: int = 200, size: int = 20_000) -> str:
    """A lossless stream, until it is told that it is enough."""
    return (
        f"numbers = Numbers('numbers', count={count}, size={size}, rate={rate})\n"
        "graph.add_edge(numbers, Check('seen', report=report('seen')))"
    )


def until_received(site: Site, count: int, deadline: Deadline) -> None:
    """Wait until so many chunks have arrived."""
    until = time.monotonic() + deadline(20)
    while received(site) < count:
        assert time.monotonic() < until, site.manager.output


def received(site: Site) -> int:
    """How many chunks have arrived."""
    return int(edge(site.status(), "numbers", "seen")["received"])


def test_nothing_is_lost_or_repeated_when_links_are_killed(here: Host, there: Host, deadline: Deadline) -> None:
    site = Site(here, {"there": there}, numbers(), {"here": ["numbers"], "there": ["seen"]})
    site.started()
    for host, arrived in ((there, 100), (here, 250), (there, 400)):
        until_received(site, arrived, deadline)
        killed = link_of(host)
        os.kill(killed, signal.SIGKILL)
        until_received(site, arrived + 100, deadline)
        assert link_of(host) != killed
    count = site.enough("numbers")
    status = site.finished()
    seen = site.reported("seen")
    assert (seen["seen"], seen["wrong"]) == (list(range(count)), [])
    counts = edge(status, "numbers", "seen")
    assert (counts["sent"], counts["received"], counts["dropped"]) == (count, count, {})


def test_a_short_cut_loses_nothing(here: Host, there: Host, deadline: Deadline) -> None:
    """So short that, with what TCP then waits, no worker counts as lost: nothing is asked meanwhile that takes time."""
    site = Site(here, {"there": there}, numbers(), {"here": ["numbers"], "there": ["seen"]})
    site.started()
    until_received(site, 50, deadline)
    there.cut()
    sent, until = here.traffic().sent, time.monotonic() + deadline(20)
    while here.traffic().sent == sent:  # something has to be lost
        assert time.monotonic() < until
    there.mend()
    until_received(site, 300, deadline)
    count = site.enough("numbers")
    site.finished()
    assert site.reported("seen")["seen"] == list(range(count))


def test_two_workers_that_lose_each_other_go_on_where_they_were(
    network: Network, here: Host, there: Host, deadline: Deadline
) -> None:
    third = network.host("third")
    mapping = {"there": ["numbers"], "third": ["seen"]}
    site = Site(here, {"there": there, "third": third}, numbers(), mapping)
    site.started()
    until_received(site, 100, deadline)
    there.lose(third)
    third.lose(there)
    stuck, before = received(site), time.monotonic()
    while time.monotonic() < before + 2.5:  # the Manager hears both of them all the time
        assert site.status()["state"] == "running"
    assert received(site) <= stuck + 100
    there.mend()
    third.mend()
    until_received(site, stuck + 300, deadline)
    count = site.enough("numbers")
    status = site.finished()
    seen = site.reported("seen")
    assert (seen["seen"], seen["wrong"]) == (list(range(count)), [])
    assert is_balanced(edge(status, "numbers", "seen"))


def test_a_worker_that_vanishes_is_reported_and_the_graph_ends(here: Host, there: Host, deadline: Deadline) -> None:
    site = Site(here, {"there": there}, numbers(), {"here": ["numbers"], "there": ["seen"]})
    site.started()
    until_received(site, 100, deadline)
    died = time.monotonic()
    site.workers["there"].signal(signal.SIGKILL)
    failed = site.failed()
    assert failed["at"] - died <= deadline(NOTICED + SLACK)
    assert "there" in failed["error"]
    assert site.left() - failed["at"] <= deadline(8)
    assert there.pids() == []


def test_a_host_that_vanishes_is_reported_and_the_graph_ends(here: Host, there: Host, deadline: Deadline) -> None:
    site = Site(here, {"there": there}, numbers(), {"here": ["numbers"], "there": ["seen"]})
    site.started()
    until_received(site, 100, deadline)
    there.cut()
    cut = time.monotonic()
    failed = site.failed()
    assert failed["at"] - cut <= deadline(NOTICED + SLACK)
    assert "there" in failed["error"]
    assert site.left() - failed["at"] <= deadline(8)
    site.workers["there"].signal(signal.SIGINT)
    assert site.workers["there"].ends(deadline(10)) == 0
    assert there.pids() == []


@pytest.mark.long
def test_workers_whose_manager_was_killed_tear_down_and_leave(here: Host, there: Host, deadline: Deadline) -> None:
    site = Site(here, {"there": there}, numbers(), {"here": ["numbers"], "there": ["seen"]})
    site.started()
    until_received(site, 100, deadline)
    site.manager.signal(signal.SIGKILL)
    assert site.workers["there"].ends(deadline(15)) == 1
    assert site.reported("seen")["seen"]  # torn down, not killed
    assert there.pids() == []
