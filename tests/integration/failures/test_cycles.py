"""Many cycles: descriptors, threads, processes and memfds stay as many as they were."""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest

import flowmesh as fm

from . import example_nodes as c
from . import process_table
from .deadlines import LONG, until
from .harness import Site


class Holdings(NamedTuple):
    """What the processes of a site hold: the script's, the worker's, its fork server's and the nodes'."""

    processes: int
    descriptors: int
    threads: int
    memory_files: int


def holdings(site: Site) -> Holdings:
    pids = {os.getpid(), site.worker.pid} | process_table.descendants(site.worker.pid)
    held = [descriptor for pid in pids for descriptor in process_table.descriptors(pid)]
    memory_files = sum(descriptor.startswith("/memfd:") for descriptor in held)
    return Holdings(len(pids), len(held), sum(map(process_table.threads, pids)), memory_files)


def no_more_than(before: Holdings, site: Site) -> None:
    """What was let go is closed a moment later: only what stays is too much."""
    until(
        lambda: all(now <= then for now, then in zip(holdings(site), before, strict=True)), LONG, f"as before: {before}"
    )


def start_and_stop(site: Site, cycles: int) -> None:
    site.commit(c.Endless(name="src"))
    for cycle in range(cycles):
        site.manager.start()
        site.manager.stop()
        if cycle == 2:
            before = holdings(site)
    no_more_than(before, site)
    edges = site.manager.status().edges.values()
    assert [(edge.sent, edge.in_flight) for edge in edges] == [(edge.received, 0) for edge in edges]


def commit_and_run(site: Site, cycles: int, *, failing: bool) -> None:
    for cycle in range(cycles):
        if failing:
            assert isinstance(site.failure(c.WrongStep(name="mid")), fm.NodeError)
        else:
            site.run(c.Count(name="src", last=3))
        site.manager.reset()
        if cycle == 2:
            before = holdings(site)
    no_more_than(before, site)


def ours() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    return len(process_table.descriptors(os.getpid())), process_table.threads(os.getpid())


def make_and_shut_down(cycles: int) -> None:
    children = process_table.children(os.getpid())
    for cycle in range(cycles):
        site = Site()
        site.commit(c.Endless(name="src"))
        site.manager.start()
        site.close()
        if cycle == 0:
            descriptors, threads = ours()
    until(lambda: ours()[0] <= descriptors and ours()[1] <= threads, LONG, f"as before: {descriptors}, {threads}")
    assert process_table.children(os.getpid()) == children


def test_start_and_stop(site: Site) -> None:
    start_and_stop(site, 30)


@pytest.mark.parametrize("failing", [False, True])
def test_commit_and_run(site: Site, failing: bool) -> None:
    commit_and_run(site, 12, failing=failing)


def test_make_and_shut_down(state_home: object) -> None:
    make_and_shut_down(4)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_thousand_cycles(site: Site) -> None:
    start_and_stop(site, 1000)
    for failing in (False, True):
        commit_and_run(site, 500, failing=failing)
    make_and_shut_down(100)
