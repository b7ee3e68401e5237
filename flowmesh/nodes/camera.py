"""Camera: a live source of a local camera's frames (V4L2, by OpenCV). reconnecting_reader.py reads it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import FlowmeshError, GraphError
from ..node import is_number
from .base import is_whole
from .live_source import LiveSource
from .played_film import PlayedFilm
from .reconnecting_reader import ReconnectingReader, StreamLostError

_KNOWN = Path("/sys/class/video4linux")


class Camera(LiveSource[np.ndarray]):
    """A live source of a camera's frames. What comes while the graph is busy is left out: the newest frame counts.

    Each chunk holds "frame" (image, BGR, uint8, height×width×3), "index" (int, from 0: the frames that were sent) and
    "media_time" (float: when the frame came, in seconds from the first). A camera that vanishes is waited for: each loss
    and each return is a line in the log.

    >>> camera = Camera("camera")                              # /dev/video0 as it is
    >>> sharp = Camera("sharp", "/dev/video2", size=(1920, 1080), fps=30, fourcc="MJPG")

    Args:
        name: the node's name.
        device: the number of the V4L2 device (0 is /dev/video0) or its path (those in /dev/v4l/by-id stay the same), on the
            host on which the node runs. A video file stands in for a camera: it is played at its own pace, and its end is
            a camera that vanishes and comes back.
        size: (width, height) in pixels to ask for; None leaves the camera's own. It may give its nearest: a warning says so.
        fps: frames a second to ask for, likewise.
        fourcc: the pixel format to ask for: many cameras give large frames at full speed only as "MJPG".
        options: options of Node: `rate`, `hold`, ...

    Raises:
        GraphError: a value that can't be.
        FlowmeshError: in `setup`: there is no such camera, or it can't be opened; the text lists those that there are.
    """

    def __init__(
        self,
        name: str | None = None,
        device: int | str | os.PathLike[str] = 0,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        fourcc: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        if not (is_whole(device, 0) or isinstance(device, str | os.PathLike)):
            raise GraphError(f"{self.name}: device is the number of a camera from 0, or its path, not {device!r}")
        if size is not None and not (isinstance(size, tuple | list) and [is_whole(s, 1) for s in size] == [True, True]):
            raise GraphError(f"{self.name}: size is (width, height) in pixels, not {size!r}")
        if fps is not None and not (is_number(fps) and 0 < fps <= 10_000):
            raise GraphError(f"{self.name}: fps is a number of frames a second above 0, not {fps!r}")
        if fourcc is not None and not (isinstance(fourcc, str) and len(fourcc) == 4 and fourcc.isascii()):
            raise GraphError(f"{self.name}: fourcc is a text of four characters such as 'MJPG', not {fourcc!r}")
        self.path = Path(f"/dev/video{device}") if isinstance(device, int) else Path(device)
        self.size, self.fps, self.fourcc = size, fps, fourcc
        self._receiver = None

    def setup(self) -> None:
        # OpenCV waits 10 s for a frame of a camera that hangs, and asks for another limit only here, once a process.
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")
        self._index = 0
        try:
            first = self._open()
        except StreamLostError as error:
            raise FlowmeshError(f"{self.name}: {error}; {_those_there_are()}") from None
        self._tell_what_differs(first)
        self._receiver = ReconnectingReader(str(self.path), self._open, self.logger, longest_pause=5.0)
        self._receiver.start(first)

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def _open(self) -> _Capture | PlayedFilm:
        why = _why_not(self.path)
        if why:
            raise StreamLostError(why)
        if not stat.S_ISCHR(self.path.stat().st_mode):
            film = PlayedFilm(self.path)
            self._says = film.says()
            return film
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_V4L2)
        if not capture.isOpened():
            raise StreamLostError(f"{self.path} can't be opened as a camera: does another program use it?")
        if self.fourcc is not None:  # first: sizes and rates hang on it
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self.fourcc))
        if self.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size[1])
        if self.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self.fps)
        opened = _Capture(capture)
        self._says = opened.says()
        return opened

    def _tell_what_differs(self, opened: _Capture | PlayedFilm) -> None:
        says = opened.says()
        given = (says["width"], says["height"])
        if self.size is not None and tuple(self.size) != given:
            self.logger.warning("%s gives frames of %d×%d, not the %d×%d asked for", self.path, *given, *self.size)
        if self.fps is not None and abs(says["fps"] - self.fps) > 0.5:
            self.logger.warning("%s gives %g frames a second, not the %g asked for", self.path, says["fps"], self.fps)


class _Capture:
    """An opened camera."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture

    def says(self) -> dict[str, Any]:
        width, height = (int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        return {"width": width, "height": height, "fps": self._capture.get(cv2.CAP_PROP_FPS)}

    def read(self) -> np.ndarray:
        there, frame = self._capture.read()
        if not there:
            raise StreamLostError("no more frames come")
        return frame

    def close(self) -> None:
        self._capture.release()


def _why_not(path: Path) -> str | None:
    """Why nothing can be opened there, or None."""
    if not path.exists():
        return f"there is no {path} on this host"
    if not os.access(path, os.R_OK):
        return f"{path} may not be read by this user: is the user in the group that owns it (often 'video')?"
    return None


def _those_there_are(known: Path = _KNOWN) -> str:
    """The cameras of this host in words."""
    found = cameras(known)
    return f"there are: {', '.join(found)}" if found else "this host has no camera"


def cameras(known: Path = _KNOWN) -> list[str]:
    """The cameras of this host, each as "/dev/video0 (its name)". Of a camera's devices only the one that gives pictures."""
    found = []
    for folder in sorted(known.glob("video*"), key=lambda folder: (len(folder.name), folder.name)):
        if _text(folder / "index") in ("0", ""):
            found.append(f"/dev/{folder.name} ({_text(folder / 'name') or 'no name'})")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
