"""Processes that end by themselves or are killed: a node's, the fork server, the worker; seen and reported in two seconds."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import flowmesh as fm

from . import example_nodes as c
from . import process_table
from .deadlines import LONG, SCALE, STALL, at_most, ended, until
from .harness import DRAIN, STOP_TIMEOUT, Site

SEEN = 2.0  # seconds within which a death has to be reported

DEATHS = [
    (c.Leaves, "ended by itself with exit status 3", False),
    (c.Segfaults, "was ended by SIGSEGV", True),
    (c.Aborts, "was ended by SIGABRT", True),
    (c.Kills, "was ended by SIGKILL", False),
]


@pytest.mark.parametrize("place", ["mid", "end"])
@pytest.mark.parametrize(("kind", "text", "crashed"), DEATHS)
def test_a_process_that_ends_in_a_step(site: Site, place: str, kind: type[fm.Node], text: str, crashed: bool) -> None:
    site.commit(c.Endless(name="src"), kind(name=place))
    pid = site.pid(place)
    site.manager.start()
    ended([pid], LONG)
    with at_most(SEEN + STOP_TIMEOUT), pytest.raises(fm.NodeDied) as raised:
        site.manager.wait(LONG * SCALE)
    error = raised.value
    assert (type(error), error.node, error.worker, error.phase) == (fm.NodeDied, place, "local", "process")
    assert f"the process of node '{place}' on worker 'local' {text}" in str(error)
    if crashed:
        assert f'"{c.__file__}", line ' in str(error)
        assert " in wrong" in str(error)
    assert site.manager.status().nodes[place].state == "dead"
    site.is_failed()


@pytest.mark.parametrize("place", ["src", "mid", "end"])
@pytest.mark.parametrize("when", ["ready", "running", "stopped", "idle"])
def test_a_node_is_killed(site: Site, place: str, when: str) -> None:
    source = c.Endless(name="src")
    if when == "idle":
        source.rate = 0.1  # the others wait for it
    site.commit(source)
    if when != "ready":
        site.manager.start()
        until(lambda: site.manager.status().nodes["end"].steps > 0, LONG)
    if when == "stopped":
        site.manager.stop()
    _kill_and_see(site, place)


def test_a_node_that_is_blocked_in_an_emission_is_killed(site: Site, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    site.commit(c.Endless(name="src"), c.SticksOn(name="mid", begun=str(begun)), depth=1)
    site.manager.start()
    until(begun.exists, LONG)
    until(lambda: site.manager.status().nodes["src"].busy > 0.2, LONG, "blocked")
    _kill_and_see(site, "src")


def _kill_and_see(site: Site, place: str) -> None:
    """Kill a node; wait() raises in time, and names it."""
    pid = site.pid(place)
    os.kill(pid, signal.SIGKILL)
    with at_most(SEEN + DRAIN + STOP_TIMEOUT), pytest.raises(fm.NodeDied) as raised:
        site.manager.wait(LONG * SCALE)
    assert (raised.value.node, raised.value.worker) == (place, "local")
    assert "was ended by SIGKILL" in str(raised.value)
    site.is_failed()


def test_a_death_is_seen_at_once(site: Site) -> None:
    site.commit(c.Endless(name="src"))
    site.manager.start()
    pid = site.pid("end")
    os.kill(pid, signal.SIGKILL)
    until(lambda: site.manager.state in ("failing", "failed"), SEEN)


def test_a_worker_is_killed(own_site: Site) -> None:
    manager = own_site.manager
    own_site.commit(c.Endless(name="src"))
    manager.start()
    nodes = own_site.node_processes | {own_site.fork_server}
    pid = own_site.worker.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: manager.state in ("failing", "failed"), SEEN)
    with at_most(1.0 + STALL), pytest.raises(fm.WorkerError) as raised:
        manager.wait(LONG * SCALE)
    text = str(raised.value)
    assert f"worker 'local' (pid {pid}) vanished" in text
    assert "it ran 'src', 'mid', 'end'" in text
    assert manager.workers == ()
    assert manager.status().state == "failed"
    ended(nodes, within=8.0)
    with pytest.raises(fm.GraphError, match="no worker"):
        own_site.commit()
    own_site.renew_worker()
    own_site.goes_on()


def test_a_worker_is_killed_while_nodes_are_set_up(own_site: Site) -> None:
    told: list[float] = []

    def commit() -> None:
        with pytest.raises(fm.WorkerError, match="'local'.* vanished"):
            own_site.commit(c.SetupHangs(name="mid"))
        told.append(time.monotonic())

    until(lambda: process_table.children(own_site.worker.pid), LONG, "a fork server")
    thread = threading.Thread(target=commit)
    thread.start()
    until(lambda: len(process_table.descendants(own_site.worker.pid)) == 4, LONG, "a fork server and three nodes")
    os.kill(own_site.worker.pid, signal.SIGKILL)
    killed = time.monotonic()
    thread.join(LONG * SCALE)
    assert told
    assert told[0] - killed < (SEEN + STALL) * SCALE


def test_a_fork_server_is_killed(own_site: Site) -> None:
    """Its nodes die with it; the worker makes a new one, and goes on."""
    manager = own_site.manager
    own_site.commit(c.Endless(name="src"))
    manager.start()
    nodes = own_site.node_processes
    os.kill(own_site.fork_server, signal.SIGKILL)
    with at_most(SEEN), pytest.raises(fm.NodeDied) as raised:
        manager.wait(LONG * SCALE)
    assert raised.value.worker == "local"
    ended(nodes, within=SEEN)
    assert manager.state == "failed"
    assert manager.workers == ("local",)
    own_site.goes_on()


def test_a_worker_that_was_suspended_does_not_hang_anything(own_site: Site) -> None:
    """For the Manager it is lost. When it comes back it tears down what it ran, and is taken back."""
    manager = own_site.manager
    own_site.commit(c.Endless(name="src"))
    manager.start()
    nodes = own_site.node_processes
    os.kill(own_site.worker.pid, signal.SIGSTOP)
    try:
        with at_most(SEEN + 1.0), pytest.raises(fm.WorkerError, match="'local' .* vanished"):
            manager.wait(LONG * SCALE)
        with at_most(1.0 + STALL):
            assert manager.status().state == "failed"
        with pytest.raises(fm.GraphError, match="no worker"):
            own_site.commit()
    finally:
        os.kill(own_site.worker.pid, signal.SIGCONT)
    ended(nodes, LONG)
    until(lambda: manager.workers == ("local",), LONG)
    own_site.goes_on()


def test_a_suspended_node_is_named_by_stop_and_killed_by_reset(site: Site) -> None:
    site.commit(c.Endless(name="src"))
    site.manager.start()
    pid = site.pid("mid")
    os.kill(pid, signal.SIGSTOP)
    with at_most(DRAIN + STOP_TIMEOUT + STALL), pytest.raises(fm.DeadlineError, match="'mid'"):
        site.manager.stop()
    with at_most(STOP_TIMEOUT + STALL):
        site.manager.reset()
    ended([pid], 0.0)
    assert process_table.descendants(site.worker.pid) == {site.fork_server}
