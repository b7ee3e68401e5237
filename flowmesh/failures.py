"""Formatting of exceptions for the user: the user's frames of the traceback, the step's chunks, at most 64 KiB.

Frames of flowmesh are hidden unless FLOWMESH_TRACEBACKS is "all" in the environment of the process.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import ParamSpec, TypeVar

from .errors import FlowmeshError

P = ParamSpec("P")
R = TypeVar("R")

LONGEST = 2**16  # bytes of the text of an error, its notes included

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_READY_MADE = os.path.join(_PACKAGE, "nodes", "")  # these nodes' code is the user's choice
_PICKLER = f"{os.sep}cloudpickle{os.sep}"
_NAMED = 8  # inputs
_LISTED = 10  # names in one sentence
_RAISED = re.compile(r"[A-Za-z_][\w.]*: ")  # how the last line of a traceback begins


def hides_frames() -> bool:
    """Whether flowmesh's own frames are left out of tracebacks."""
    return os.environ.get("FLOWMESH_TRACEBACKS") != "all"


def is_users(filename: str) -> bool:
    """Whether code of this file is the user's, or of a library that the user calls."""
    if filename.startswith(_PACKAGE):
        return filename.startswith(_READY_MADE)
    return _PICKLER not in filename


def users_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without flowmesh's frames."""
    kept = []
    while trace is not None:
        if is_users(trace.tb_frame.f_code.co_filename):
            kept.append(trace)
        trace = trace.tb_next
    following: TracebackType | None = None
    for frame in reversed(kept):
        frame.tb_next = following
        following = frame
    return following


def hide_frames_of_causes(error: BaseException) -> None:
    """Take flowmesh's frames out of the exceptions that led to this one."""
    met: set[int] = set()
    while (before := error.__cause__ or error.__context__) is not None and id(before) not in met:
        met.add(id(before))
        before.__traceback__ = users_frames(before.__traceback__)
        error = before


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Make `function` public: the traceback of a FlowmeshError, or of Ctrl+C, shows one frame of the internals."""

    @functools.wraps(function)
    def flowmesh(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except (FlowmeshError, KeyboardInterrupt) as error:
            if not hides_frames():
                raise
            hide_frames_of_causes(error)
            raise error.with_traceback(None)  # noqa: B904

    return flowmesh


def chunks(number: int, inputs: Mapping[str, int]) -> str:
    """The chunks of a step: "chunk 3 of 'left', with chunk 5 of 'right'"; of a source, its number."""
    named = [f"chunk {each} of {name!r}" for name, each in list(inputs.items())[:_NAMED]]
    if len(inputs) > _NAMED:
        named.append(f"{len(inputs) - _NAMED} more")
    first, *others = named or [f"chunk {number}"]
    return first + (f", with {', '.join(others)}" if others else "")


def listed(names: Iterable[str]) -> str:
    """The names, quoted: the first ten, and how many more there are; "none" where there is none."""
    quoted = [repr(name) for name in names]
    more = [f"and {len(quoted) - _LISTED} more"] if len(quoted) > _LISTED else []
    return ", ".join([*quoted[:_LISTED], *more]) or "none"


def shortened(text: str, longest: int) -> str:
    """The text in at most `longest` bytes of UTF-8: its beginning and its end."""
    data = text.encode(errors="backslashreplace")
    if len(data) <= longest:
        return text
    gap = f"\n ... {len(data) - longest} bytes are left out ... \n"
    half = (longest - len(gap) - 8) // 2
    return data[:half].decode(errors="ignore") + gap + data[-half:].decode(errors="ignore")


def headline(text: str) -> str:
    """An error in one line: what failed, and what its exception says."""
    first, *others = text.rstrip().splitlines() or [""]
    raised = next((line for line in reversed(others) if _RAISED.match(line)), others[-1] if others else "")
    return shortened(f"{first} {raised}".rstrip(), 1000)


def add_note(error: BaseException, text: str) -> None:
    """Add what else went wrong, whole as far as the error stays within its bound, then in a line, then not at all."""
    used = sum(len(part.encode()) for part in (str(error), *getattr(error, "__notes__", ())))
    for note in (text, headline(text)):
        if used + len(note.encode()) <= LONGEST:
            error.add_note(note)
            return
