"""Ready-made nodes, on the public Node alone: what is done here, a user's own node can do as well.

Importing this package imports neither cv2 nor PyAV: each name loads its own module on first use (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .camera import Camera
    from .gate import Gate
    from .image_folder import ImageFolder
    from .mjpeg_server import MjpegServer
    from .network_video import NetworkVideo
    from .pattern import TestPattern
    from .print_sink import Print
    from .resize import Resize
    from .table_writers import CsvWriter, JsonLinesWriter
    from .throttle import Throttle
    from .video_file import VideoFile
    from .video_writer import VideoWriter

__all__ = [
    "Camera",
    "CsvWriter",
    "Gate",
    "ImageFolder",
    "JsonLinesWriter",
    "MjpegServer",
    "NetworkVideo",
    "Print",
    "Resize",
    "TestPattern",
    "Throttle",
    "VideoFile",
    "VideoWriter",
]

_MODULES = {
    "Camera": "camera",
    "CsvWriter": "table_writers",
    "Gate": "gate",
    "ImageFolder": "image_folder",
    "JsonLinesWriter": "table_writers",
    "MjpegServer": "mjpeg_server",
    "NetworkVideo": "network_video",
    "Print": "print_sink",
    "Resize": "resize",
    "TestPattern": "pattern",
    "Throttle": "throttle",
    "VideoFile": "video_file",
    "VideoWriter": "video_writer",
}
_WITHOUT_CV2 = {"Gate", "NetworkVideo", "Print", "Throttle"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _WITHOUT_CV2:
        from .opencv import warn_of_conflict

        warn_of_conflict()
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
