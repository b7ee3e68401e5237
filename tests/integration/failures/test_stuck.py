"""Steps that do not return: every verb is bounded, and names the node."""

from __future__ import annotations

from pathlib import Path

import pytest

import flowmesh as fm

from . import example_nodes as c
from .deadlines import AT_ONCE, LONG, SCALE, STALL, at_most, ended, until
from .harness import DRAIN, STOP_TIMEOUT, Site

KINDS = [c.SticksInC, *(pytest.param(kind, marks=pytest.mark.long) for kind in (c.Sticks, c.SticksOn))]
STOPS_WITHIN = DRAIN + STOP_TIMEOUT + STALL
ENDS_WITHIN = STOP_TIMEOUT + STALL


def stick(site: Site, tmp_path: Path, kind: type[fm.Node], place: str = "mid", last: int = 1 << 60) -> int:
    """Run until the node is stuck; its process id."""
    begun = tmp_path / "begun"
    site.commit(c.Count(name="src", last=last), kind(name=place, begun=str(begun)))
    site.manager.start()
    until(begun.exists, LONG, "stuck")
    return site.pid(place)


@pytest.mark.parametrize("kind", KINDS)
def test_stop_says_who_is_busy_and_reset_ends_it(site: Site, tmp_path: Path, kind: type[fm.Node]) -> None:
    pid = stick(site, tmp_path, kind)
    with at_most(STOPS_WITHIN), pytest.raises(fm.DeadlineError, match=r"stop\(\): still busy in a step: 'mid'"):
        site.manager.stop()
    assert site.manager.state == "stopping"
    with at_most(ENDS_WITHIN):
        site.manager.reset()
    assert site.manager.state == "empty"
    ended([pid], 0.0)


@pytest.mark.parametrize("place", ["mid", "end"])
def test_reset_ends_a_stuck_step(site: Site, tmp_path: Path, place: str) -> None:
    pid = stick(site, tmp_path, c.SticksInC, place)
    with at_most(ENDS_WITHIN):
        site.manager.reset()
    ended([pid], 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_shutdown_ends_a_stuck_step(own_site: Site, tmp_path: Path, kind: type[fm.Node]) -> None:
    pid = stick(own_site, tmp_path, kind)
    with at_most(ENDS_WITHIN + 1.0):
        own_site.manager.shutdown()
    ended([pid], 0.0)
    ended([own_site.worker.pid], LONG)


def test_the_end_of_the_worker_ends_a_stuck_step(own_site: Site, tmp_path: Path) -> None:
    pid = stick(own_site, tmp_path, c.SticksInC)
    with at_most(ENDS_WITHIN):
        own_site.worker.shutdown()
    ended([pid], 0.0)
    with pytest.raises(fm.FlowmeshError):
        own_site.manager.wait(LONG * SCALE)


def test_requests_of_a_stuck_node_end_in_their_time(site: Site, tmp_path: Path) -> None:
    stick(site, tmp_path, c.Sticks, last=20)
    manager = site.manager
    with at_most(0.5 + STALL), pytest.raises(fm.NodeError, match=r"'mid' did not answer in time: busy in step for \d"):
        manager.gather(timeout=0.5)
    with at_most(0.5 + STALL), pytest.raises(fm.NodeError, match=r"'mid' did not answer in time: busy in step for \d"):
        manager.request_registered_method("mid", "all", timeout=0.5)
    with at_most(AT_ONCE):
        assert manager.request_registered_method("end", "all") == []
    with at_most(0.3 + STALL):
        assert manager.wait(timeout=0.3) is False
    with at_most(AT_ONCE):
        status = manager.status()
    assert status.nodes["mid"].busy > 0.5
    manager.reset()


def test_another_node_s_error_ends_a_stuck_step(site: Site, tmp_path: Path) -> None:
    """The first error is the one that is raised; that another node had to be killed is a note of it."""
    site.commit(c.WrongSource(name="src"), c.Sticks(name="mid", begun=str(tmp_path / "begun")), c.Keep(name="end"))
    site.manager.start()
    with at_most(DRAIN + STOP_TIMEOUT + STALL), pytest.raises(fm.NodeError) as raised:
        site.manager.wait(LONG * SCALE)
    assert raised.value.node == "src"
    assert any("'mid'" in note and "was killed" in note for note in raised.value.__notes__)
    site.is_failed()


def test_a_slow_step_is_waited_for_by_stop(site: Site, tmp_path: Path) -> None:
    stick(site, tmp_path, c.SticksInTime)
    with at_most(DRAIN + 0.5 + STALL):  # and what is left of the step
        site.manager.stop()
    assert site.manager.state == "ready"
    assert site.manager.status().edges["src", "mid"].in_flight > 0
    site.manager.reset()


@pytest.mark.long
def test_with_the_real_limits(state_home: Path, tmp_path: Path) -> None:
    site = Site(drain=5.0, stop_timeout=5.0)
    stick(site, tmp_path, c.Sticks)
    with at_most(10.0 + STALL), pytest.raises(fm.DeadlineError, match="'mid'"):
        site.manager.stop()
    with at_most(5.0 + STALL):
        site.close()
