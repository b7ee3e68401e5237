"""The text of an exception of the user's code: the user's frames of the traceback, and advice where there is any."""

from __future__ import annotations

import os
from traceback import FrameSummary, StackSummary, TracebackException

from ..errors import FlowmeshError
from ..failures import hides_frames, is_users, shortened
from ..shipping.installer import missing_import

_LOOP = os.path.join(
    os.path.dirname(os.__file__), "asyncio", ""
)  # it runs an `async def step`: never the user's in front
_LONGEST = 60_000  # bytes: with the line that names the node and its chunks, an error stays below 64 KiB
_READ_ONLY = ("read-only", "readonly", "not writable", "writeable")
_HINT = (
    "Received arrays are read-only, because other nodes may be reading the same memory: "
    'chunk.writable("name") gives a private copy that you may draw on.'
)


def describe(error: BaseException) -> str:
    """The exception and those that led to it as text, without the frames of flowmesh around and below the user's code."""
    told = TracebackException(type(error), error, error.__traceback__, compact=True)
    last = "".join(told.format_exception_only())
    if hides_frames():
        _keep_users(told, error)
    text = sendable("".join(told.format()).rstrip())
    text = shortened(text, _LONGEST)
    hint = _hint(error, last.lower())
    return f"{text}\n{hint}" if hint else text


def sendable(text: str) -> str:
    """The text with lone surrogates (odd file names have them) written out: UTF-8 has no room for them."""
    return text.encode(errors="backslashreplace").decode()


def _hint(error: BaseException, said: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return missing_import(error)
    return _HINT if any(sign in said for sign in _READ_ONLY) else ""


def _keep_users(told: TracebackException, error: BaseException) -> bool:
    """Keep only the user's frames of an exception and of its chain; returns whether there are any."""
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    kept = [_keep_users(*part) for part in zip(told.exceptions or (), parts, strict=False)]
    before, earlier = told.__cause__ or told.__context__, error.__cause__ or error.__context__
    ours = isinstance(error, FlowmeshError)
    if before is not None and earlier is not None:
        kept.append(_keep_users(before, earlier))
        if not kept[-1] and ours:
            told.__cause__ = told.__context__ = None  # the internal cause does not concern the user
    frames = _users(told.stack)
    if frames or ours:
        told.stack = StackSummary(frames) if frames else None  # type: ignore[assignment]
    return bool(frames) or any(kept)


def _users(stack: list[FrameSummary]) -> list[FrameSummary]:
    frames = [frame for frame in stack if is_users(frame.filename)]
    while frames and frames[0].filename.startswith(_LOOP):
        frames.pop(0)
    return frames
