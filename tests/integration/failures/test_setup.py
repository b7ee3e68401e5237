"""What goes wrong before and after the steps: loading, `setup`, `teardown`."""

from __future__ import annotations

import pytest

import flowmesh as fm

from . import example_nodes as c
from .deadlines import LONG, SCALE, STALL, at_most
from .harness import STOP_TIMEOUT, Site

SETUPS = [
    (c.SetupRaises, "setup", "FileNotFoundError: no camera at /dev/video9", "raise FileNotFoundError("),
    (c.SetupExits, "setup", "SystemExit: the model file is missing", "sys.exit("),
    (c.SetupEmits, "setup", "StateError: mid: emit() works only inside step()", 'self.emit("too early")'),
    (c.AsyncSetupRaises, "setup", "ConnectionError: nobody is there", "raise ConnectionError("),
    (c.CantBeLoaded, "load", "LookupError: these weights are damaged", "raise LookupError("),
]


@pytest.mark.parametrize(("kind", "phase", "text", "line"), SETUPS)
def test_commit_raises_what_setup_raised(site: Site, kind: type[fm.Node], phase: str, text: str, line: str) -> None:
    with at_most(LONG / 2), pytest.raises(fm.NodeError) as raised:  # not when its time is up
        site.commit(kind(name="mid"))
    error = raised.value
    assert (type(error), error.node, error.worker, error.phase) == (fm.NodeError, "mid", "local", phase)
    told = str(error)
    assert told.startswith(f"node 'mid' on worker 'local' failed in {phase}:\n")
    assert all(part in told for part in (text, line, 'example_nodes.py", line ')), told
    assert "/flowmesh/" not in told
    site.is_failed()


@pytest.mark.parametrize(("place", "kind"), [("mid", c.SetupHangs), ("src", c.SetupLoops)])
def test_a_setup_that_hangs_is_named_and_killed(site: Site, place: str, kind: type[fm.Node]) -> None:
    enough = 3.0  # seconds for the others, whose names must not be told
    with at_most(enough + STALL), pytest.raises(fm.DeadlineError) as raised:
        site.commit(kind(name=place), timeout=enough)
    assert f"setup did not end within {enough * SCALE:g} s in: '{place}' on worker 'local'" in str(raised.value)
    with at_most(STOP_TIMEOUT + STALL):
        site.is_failed()
    with pytest.raises(fm.DeadlineError, match=f"'{place}'"):
        site.manager.start()


def test_a_setup_that_hangs_can_be_reset(site: Site) -> None:
    with pytest.raises(fm.DeadlineError):
        site.commit(c.SetupLoops(name="src"), timeout=0.5)
    with at_most(STOP_TIMEOUT + STALL):
        site.manager.reset()
    assert site.manager.state == "empty"
    site.is_empty()


def test_teardown_follows_a_setup_that_raised(site: Site) -> None:
    with pytest.raises(fm.NodeError) as raised:
        site.commit(c.SetupAndTeardownRaise(name="mid"))
    assert raised.value.phase == "setup"
    site.is_failed()
    assert any("failed in teardown" in note and "teardown fails as well" in note for note in raised.value.__notes__)


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        (c.TeardownRaises, "PermissionError: the disk is full", "raise PermissionError("),
        (c.TeardownEmits, "StateError: mid: emit() works only inside step()", 'self.emit("too late")'),
    ],
)
def test_wait_raises_what_teardown_raised(site: Site, kind: type[fm.Node], text: str, line: str) -> None:
    error = site.failure(kind(name="mid"))
    assert (type(error), error.node, error.phase) == (fm.NodeError, "mid", "teardown")
    assert all(part in str(error) for part in (text, line, "node 'mid' on worker 'local' failed in teardown"))
    assert "/flowmesh/" not in str(error)
    edges = site.manager.status().edges.values()
    assert [(edge.sent, edge.received) for edge in edges] == [(100, 100)] * 2
    site.is_failed()


def test_a_teardown_that_hangs_is_killed_and_named(site: Site) -> None:
    site.commit(c.TeardownHangs(name="mid"))
    site.manager.start()
    with at_most(STOP_TIMEOUT + STALL), pytest.raises(fm.NodeDied) as raised:
        site.manager.wait(LONG * SCALE)
    assert (raised.value.node, raised.value.worker) == ("mid", "local")
    assert f"did not end within {STOP_TIMEOUT * SCALE:g} s of being told to, and was killed" in str(raised.value)
    site.is_failed()


def test_a_teardown_that_hangs_does_not_hold_up_a_reset(site: Site) -> None:
    site.commit(c.TeardownHangs(name="mid"))
    with at_most(STOP_TIMEOUT + STALL):
        site.manager.reset()
    site.is_empty()
