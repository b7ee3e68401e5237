"""What an exception of the user's code says to the user: its own frames of the traceback, and what to do where we know it."""

from __future__ import annotations

import os
import traceback
from types import TracebackType

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LONGEST = 60_000
_READ_ONLY = ("read-only", "readonly", "not writable", "writeable")
_HINT = (
    "Received arrays are read-only, because other nodes may be reading the same memory: "
    'chunk.writable("name") gives a private copy that you may draw on.'
)


def describe(error: BaseException) -> str:
    """The exception as text, without the frames of the runtime that called the user's code."""
    lines = traceback.format_exception(type(error), error, _users(error.__traceback__))
    text = "".join(lines).rstrip()
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}\n ... \n{text[-_LONGEST // 2 :]}"
    text = sendable(text)
    return f"{text}\n{_HINT}" if any(sign in lines[-1].lower() for sign in _READ_ONLY) else text


def sendable(text: str) -> str:
    """The text with lone surrogates (odd file names have them) written out: UTF-8 has no room for them."""
    return text.encode(errors="backslashreplace").decode()


def _users(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace
