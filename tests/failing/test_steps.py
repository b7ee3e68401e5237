"""What goes wrong in `step`: a table, each case at chunk 7, in a source, a step or a sink."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pytest

import flowmesh as fm

from . import culprits as c
from .deadlines import until
from .site import Site


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
        ("KeyError: 'calibration'", 'return {}["calibration"]', "direct cause", "RuntimeError: the camera is not"),
    ),
    "no words": Case("mid", c.Speechless, "raise SaysNothing", ("SaysNothing", "str() failed")),
    "odd words": Case("mid", c.OddWords, "raise ValueError(", ("ValueError: frame \\udcff\\ud800", "café 日本")),
    "a megabyte": Case("mid", c.ManyWords, "raise ValueError(", ("ValueError: begin", "x end")),
    "own error": Case("mid", c.OwnError, "raise CalibrationError(", ("CalibrationError: left: too dark",)),
    "group": Case("mid", c.Grouped, "raise ExceptionGroup(", ("OSError: left", "OSError: right")),
    "KeyboardInterrupt": Case("mid", c.Interrupts, "raise KeyboardInterrupt", ("KeyboardInterrupt",)),
    "sys.exit": Case("end", c.Exits, "sys.exit(4)", ("SystemExit: 4",)),
    "recursion": Case("mid", c.Recurses, "return self.wrong()", ("RecursionError", "previous line repeated")),
    "memory": Case("mid", c.OutOfMemory, "return bytearray(1 << 33)", ("MemoryError",)),
    "async": Case("mid", c.AsyncWrong, RAISE, ("ZeroDivisionError: seven is too much",)),
    "cv2 draws": Case(
        "mid", c.Draws, "return cv2.rectangle(frame", ("read-only", 'chunk.writable("name")'), c.Frames, 1
    ),
    "numpy writes": Case(
        "end", c.Writes, "frame[...] = 0", ("read-only", 'chunk.writable("name")'), c.Frames, 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_exception_in_step_reaches_the_user(site: Site, case: Case) -> None:
    nodes = {"src": case.source(name="src"), case.place: case.kind(name=case.place)}
    if case.source is c.Frames and case.place == "end":
        nodes["mid"] = Forward(name="src2")
        error = _frames_to_the_sink(site, case)
    else:
        error = site.failure(**nodes)
    text = str(error)
    assert type(error) is fm.NodeError
    assert (error.node, error.worker, error.phase, error.number) == (case.place, "local", "step", case.number)
    assert text.startswith(f"node '{case.place}' on worker 'local' failed in step (chunk {case.number}):\n")
    assert all(part in text for part in (*case.texts, case.line, 'culprits.py", line ')), text
    _has_only_the_users_frames(text)
    assert len(text) < 100_000
    site.is_failed()
    with pytest.raises(fm.NodeError) as again:
        site.manager.wait(1)
    assert str(again.value) == text


def _has_only_the_users_frames(text: str) -> None:
    frames = [line for line in text.splitlines() if line.lstrip(" |").startswith('File "')]
    assert frames
    assert [frame for frame in frames if "/flowmesh/" in frame or "asyncio" in frame] == []
