"""What goes wrong in `step`: a table, each case at chunk 7, in a source, a step or a sink."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pytest

import flowmesh as fm

from . import example_nodes as c
from .deadlines import LONG, SCALE, until
from .harness import Site


class Case(NamedTuple):
    """`texts` have to be in the error; `line` is the user's own line that the traceback ends with."""

    place: str
    kind: type[fm.Node]
    line: str
    texts: tuple[str, ...]
    source: type[fm.Node] = c.Count
    number: int = c.AT


RAISE = "raise ZeroDivisionError("
CASES = {
    "source": Case("src", c.WrongSource, RAISE, ("ZeroDivisionError: seven is too much",)),
    "step": Case("mid", c.WrongStep, RAISE, ("ZeroDivisionError: seven is too much",)),
    "sink": Case("end", c.WrongStep, RAISE, ("ZeroDivisionError: seven is too much",)),
    "chained": Case(
        "mid",
        c.Chained,
        'raise RuntimeError("the camera is not calibrated") from error',
        ("KeyError: 'calibration'", 'return dict[str, int]()["calibration"]', "direct cause", "RuntimeError: the camera"),
    ),
    "no words": Case("mid", c.Speechless, "raise SaysNothing", ("SaysNothing", "str() failed")),
    "odd words": Case("mid", c.OddWords, "raise ValueError(", ("ValueError: frame \\udcff\\ud800", "café 日本")),
    "a megabyte": Case("mid", c.ManyWords, "raise ValueError(", ("ValueError: begin", "x end")),
    "own error": Case("mid", c.OwnError, "raise CalibrationError(", ("CalibrationError: left: too dark",)),
    "group": Case("mid", c.Grouped, "raise ExceptionGroup(", ("OSError: left", "OSError: right")),
    "KeyboardInterrupt": Case("mid", c.Interrupts, "raise KeyboardInterrupt", ("KeyboardInterrupt",)),
    "sys.exit": Case("end", c.Exits, "sys.exit(4)", ("SystemExit: 4",)),
    "recursion": Case("mid", c.Recurses, "return self.wrong()", ("RecursionError", "Previous line repeated")),
    "memory": Case("mid", c.OutOfMemory, "return bytearray(1 << 33)", ("MemoryError",)),
    "async": Case("mid", c.AsyncWrong, RAISE, ("ZeroDivisionError: seven is too much",)),
    "cv2 draws": Case(
        "mid", c.Draws, "return cv2.rectangle(frame", ("read-only", 'chunk.writable("name")'), c.Frames, 1
    ),
    "numpy writes": Case(
        "mid", c.Writes, "frame[...] = 0", ("read-only", 'chunk.writable("name")'), c.Frames, 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_exception_in_step_reaches_the_user(site: Site, case: Case) -> None:
    error = site.failure(case.source(name="src"), case.kind(name=case.place))
    text = str(error)
    assert type(error) is fm.NodeError
    assert (error.node, error.worker, error.phase, error.number) == (case.place, "local", "step", case.number)
    inputs = {"src": {}, "mid": {"src": case.number}, "end": {"mid": case.number}}[case.place]
    assert error.inputs == inputs
    of = "".join(f" of {name!r}" for name in inputs)
    assert text.startswith(f"node '{case.place}' on worker 'local' failed in step (chunk {case.number}{of}):\n")
    assert all(part in text for part in (*case.texts, case.line, 'example_nodes.py", line ')), text
    _has_only_the_users_frames(text)
    assert len(text.encode()) <= 1 << 16
    site.is_failed()
    with pytest.raises(fm.NodeError) as again:
        site.manager.wait(LONG * SCALE)
    assert str(again.value) == text


def _has_only_the_users_frames(text: str) -> None:
    frames = [line for line in text.splitlines() if line.lstrip(" |").startswith('File "')]
    assert frames
    assert [frame for frame in frames if "/flowmesh/" in frame or "asyncio" in frame] == []


def test_a_step_that_raises_is_skipped_if_it_says_so(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="flowmesh"):
        site.run(c.Skips(name="mid"), c.Keep(name="end"))
        status = site.manager.status()
        until(lambda: caplog.records, LONG)
    assert (status.nodes["mid"].errors, status.nodes["mid"].steps) == (1, 100)
    assert status.edges["mid", "end"].received == 99
    (record,) = caplog.records
    assert record.name == "flowmesh.node.mid"
    assert "step raised at chunk 7 of 'src', which is skipped" in record.getMessage()
    assert c.__file__ in record.getMessage()


def test_all_before_the_error_arrives(site: Site) -> None:
    assert site.failure(c.WrongStep(name="mid")).number == 7
    edges = site.manager.status().edges
    assert (edges["mid", "end"].sent, edges["mid", "end"].received) == (6, 6)
    into = edges["src", "mid"]
    assert into.received == 7
    assert into.sent == into.received + into.in_flight + sum(into.dropped.values())
    assert set(into.dropped) <= {"failed", "died"}


def test_two_nodes_fail_and_the_second_is_a_note_of_the_first(site: Site) -> None:
    error = site.failure(c.WrongStep(name="mid"), c.TeardownRaises(name="end"))
    assert "node 'mid'" in str(error)
    assert any("node 'end' on worker 'local' failed in teardown" in note for note in error.__notes__)


UNSENDABLE = [
    (c.SendsALock, "record 'guard': a _thread.lock can't be sent: cannot pickle '_thread.lock' object"),
    (c.ReturnsAGenerator, "record 'default': a generator can't be sent: cannot pickle 'generator' object"),
    (
        c.ReturnsAFile,
        f"record 'default': a _io.TextIOWrapper can't be sent: cannot pickle the open file {c.__file__!r}",
    ),
    (
        c.ReturnsABinaryFile,
        "record 'default': a _io.BufferedReader can't be sent: cannot pickle '_io.BufferedReader' object",
    ),
    (c.EmitsALock, "record 'default': a dict can't be sent: cannot pickle '_thread.lock' object"),
]


@pytest.mark.parametrize(("kind", "text"), UNSENDABLE)
def test_what_can_not_be_sent_is_named_by_its_record(site: Site, kind: type[fm.Node], text: str) -> None:
    error = site.failure(kind(name="mid"))
    assert (type(error), error.node, error.phase, error.number) == (fm.NodeError, "mid", "step", 7)
    first, *frames, last = str(error).splitlines()
    assert first == "node 'mid' on worker 'local' failed in step (chunk 7 of 'src'):"
    assert last == f"flowmesh.errors.ChunkError: {text}"
    assert bool(frames) == (kind is c.EmitsALock)  # what is returned is sent when no frame of the user's is left
    assert not any("/flowmesh/" in frame or "pickle" in frame for frame in frames)
    site.is_failed()


def test_a_copy_of_a_frame_can_be_drawn_on(site: Site) -> None:
    site.run(c.Frames(name="src", last=3), c.DrawsOnACopy(name="mid"))
    assert site.manager.status().edges["src", "mid"].received == 3


def test_a_step_may_end_the_stream(site: Site) -> None:
    """What follows it ends too; what feeds it is told that nobody listens."""
    site.run(c.Endless(name="src"), c.EndsAtSeven(name="mid"))
    edges = site.manager.status().edges
    assert edges["mid", "end"].received == 6
    into = edges["src", "mid"]
    assert into.sent == into.received + into.in_flight + sum(into.dropped.values())
    assert set(into.dropped) <= {"after_end"}


@pytest.mark.parametrize("place", ["setup", "teardown"])
def test_an_emission_outside_of_a_step_is_refused(site: Site, place: str) -> None:
    kind = {"setup": c.SetupEmits, "teardown": c.TeardownEmits}[place]
    error = site.failure(kind(name="mid"))
    assert (type(error), error.node, error.phase) == (fm.NodeError, "mid", place)
    assert "StateError: mid: emit() works only inside step()" in str(error)
    assert 'self.emit("too' in str(error)
    site.is_failed()


def test_an_emission_from_a_thread_between_steps_is_refused(site: Site) -> None:
    site.commit(c.Count(name="src", last=1), c.Pass(name="mid"), c.EmitsFromAThread(name="end"))
    site.manager.start()
    assert site.manager.wait(LONG * SCALE)
