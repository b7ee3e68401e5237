"""VideoWriter: a sink that writes frames to an H.264 video. Only h264.py encodes and stores them.

No frame is left out, resized or written twice: what does not fit is an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..chunk import DataChunk
from ..errors import ChunkError, GraphError
from ..node import is_number
from .base import BaseNode, is_whole, path_of
from .frame_times import USUAL_RATE, FrameTimes

if TYPE_CHECKING:
    from .h264 import FragmentedMp4

_TO_I420 = {3: cv2.COLOR_BGR2YUV_I420, 4: cv2.COLOR_BGRA2YUV_I420}


class VideoWriter(BaseNode):
    """A sink that writes frames to an MP4 file (H.264) that reads back even if the writer is killed.

    It takes the record from the first input that has it. All frames have the size of the first; grey ones are written
    as grey, alpha is left away, an odd width or height is padded by one pixel (H.264 wants even ones). A file of that name
    is replaced. After `kill -9` at most the last second is missing.

    Each frame is shown at its own time, counted from the first one's: a frame that was dropped on its way leaves a gap, not
    a shorter film. That time is the record "media_time" (seconds) of the chunk that holds the frame, or else of another
    input; where there is none, the time at which the frame's source made it, or, with `fps`, the chunk's number divided
    by `fps`.

    >>> VideoWriter("film", "film.mp4")           # as it was filmed
    >>> VideoWriter("film", "film.mp4", fps=25)   # 25 frames a second, if they bear no "media_time"

    Args:
        name: the node's name.
        path: the file, on the host on which the node runs; it ends in .mp4, its folder exists.
        fps: frames a second, for frames without "media_time"; None takes the times at which their source made them.
        record: the name of the record that holds the frame: uint8, H×W, H×W×1, H×W×3 (BGR) or H×W×4 (BGRA).
        crf: x264's constant rate factor: 0 is lossless, each 6 more halve the size, 51 is the worst.
        options: options of Node: `on_error`, `join`, ...

    Raises:
        GraphError: a value that can't be.
        FlowmeshError: in `setup`: the file can't be made; in `step`: it can't be written.
        ChunkError: in `step`: no input has the record, or it is no frame of the film's size.
    """

    def __init__(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        fps: float | None = None,
        record: str = "frame",
        crf: int = 23,  # x264's own default
        **options: object,
    ) -> None:
        super().__init__(name, **options)
        self.path = path_of(self.name, path)
        if self.path.suffix.lower() != ".mp4":
            raise GraphError(f"{self.name}: it writes MP4: the path ends in .mp4, not {os.fspath(path)!r}")
        if fps is not None and not (is_number(fps) and 0 < fps <= 1000):
            raise GraphError(f"{self.name}: fps must be a number above 0, at most 1000, or None, got {fps!r}")
        if not is_whole(crf, 0) or crf > 51:
            raise GraphError(f"{self.name}: crf must be a whole number from 0 to 51, got {crf!r}")
        self.fps, self.record, self.crf = fps, record, crf
        self._file: FragmentedMp4 | None = None

    def setup(self) -> None:
        from .h264 import FragmentedMp4  # PyAV is loaded where it is used

        self._size: tuple[int, ...] | None = None
        self._times = FrameTimes(self.fps)
        self._file = FragmentedMp4(self.path, self.fps or USUAL_RATE, self.crf)

    def step(self, data: Mapping[str, DataChunk] | None = None) -> None:
        assert self._file is not None, "setup has made it"
        chunk = self._holder(data or {})
        frame = chunk.get(self.record)["value"]
        self._check(frame)
        self._file.write(_planes(frame), self._times.place(chunk, data or {}))

    def teardown(self) -> None:
        if self._file is not None:
            self._file.close()

    def _holder(self, data: Mapping[str, DataChunk]) -> DataChunk:
        """The chunk that holds the frame."""
        for chunk in data.values():
            if self.record in chunk:
                return chunk
        there = "; ".join(f"{name}: {', '.join(chunk) or 'nothing'}" for name, chunk in data.items()) or "no input"
        raise ChunkError(f"{self.name}: no input has the record {self.record!r} ({there}): give record=")

    def _check(self, frame: object) -> None:
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or not _is_picture(frame.shape):
            what = f"{frame.dtype}{list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise ChunkError(f"{self.name}: {self.record!r} is {what}, not a uint8 image: convert it before")
        if self._size is None:
            self._size = frame.shape[:2]
        if frame.shape[:2] != self._size:
            (height, width), (old_height, old_width) = frame.shape[:2], self._size
            raise ChunkError(
                f"{self.name}: a frame of {width}×{height} in a film of {old_width}×{old_height}: resize it before"
            )


def _is_picture(shape: tuple[int, ...]) -> bool:
    return min(shape, default=0) > 0 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))


def _planes(frame: np.ndarray) -> np.ndarray:
    """The frame as I420 planes of even size: cv2 converts several times faster than PyAV does."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    if frame.ndim == 2 or frame.shape[2] == 1:
        frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(frame, _TO_I420[frame.shape[2]])
