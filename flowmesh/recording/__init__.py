"""Recordings: sessions of MCAP files that Foxglove and Rerun open, written by recorders, read, exported and played again.

Importing this package imports neither mcap, protobuf nor PyAV: each name loads its own module on first use (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import compare
    from .exporter import export
    from .options import Audio, Exact, Jpeg, Raw, Values, Video
    from .player import Player
    from .reader import SessionReader
    from .recorder import Recorder
    from .recovery import recover

__all__ = [
    "Audio",
    "Exact",
    "Jpeg",
    "Player",
    "Raw",
    "Recorder",
    "SessionReader",
    "Values",
    "Video",
    "compare",
    "export",
    "recover",
]

_MODULES = {
    "Audio": "options",
    "Exact": "options",
    "Jpeg": "options",
    "Player": "player",
    "Raw": "options",
    "Recorder": "recorder",
    "SessionReader": "reader",
    "Values": "options",
    "Video": "options",
    "compare": "comparison",
    "export": "exporter",
    "recover": "recovery",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
