"""VideoFile: a source that reads a video file, frame by frame. Nothing is read ahead, resized or left out."""

from __future__ import annotations

import os
from typing import Any

import cv2

from ..chunk import DataChunk
from ..errors import EndOfStream, FlowmeshError
from ..node import register
from .base import BaseNode, path_of


class VideoFile(BaseNode):
    """A source of a video file's frames; the stream ends with the file.

    Each chunk holds "frame" (image, BGR, uint8, height×width×3) and "index" (int, from 0; it goes on when the film
    begins again).

    Args:
        name: the node's name.
        path: the file, on the host on which the node runs.
        loop: begin again at the end, for ever.
        realtime: as many frames a second as the file says (it sets `rate` in `setup`); else as fast as they are taken.
        options: options of Node: `rate`, `live`, ...

    Attributes:
        frames: how many the file says that it holds; None if it does not say, or before `setup`.

    Raises:
        GraphError: a value that can't be.
        FlowmeshError: in `setup`: the file is missing, is no video, or with `realtime` does not say its frame rate.
    """

    def __init__(
        self, name: str, path: str | os.PathLike[str], *, loop: bool = False, realtime: bool = False, **options: Any
    ) -> None:
        super().__init__(name, **options)
        self.path, self.loop, self.realtime = path_of(self.name, path), loop, realtime
        self.frames: int | None = None
        self._capture: cv2.VideoCapture | None = None

    def setup(self) -> None:
        self._index = 0
        self._capture = capture = self._open()
        self._width, self._height = (
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        self._fps = capture.get(cv2.CAP_PROP_FPS)
        frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frames = frames if frames > 0 else None
        if self.realtime:
            self._keep_time()

    def step(self, data: Any = None) -> DataChunk:
        chunk = DataChunk()
        chunk.add("frame", self._read(), "image")
        chunk.add("index", self._index)
        self._index += 1
        return chunk

    def teardown(self) -> None:
        if self._capture is not None:
            self._capture.release()

    @register
    def info(self) -> dict[str, Any]:
        """What the file says of itself: width and height in pixels, fps (1/s), frames (None: it does not say)."""
        return {"width": self._width, "height": self._height, "fps": self._fps, "frames": self.frames}

    def _open(self) -> cv2.VideoCapture:
        if not self.path.is_file():
            raise FlowmeshError(f"{self.name}: there is no video file {self.path} on this host")
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise FlowmeshError(f"{self.name}: {self.path} can't be read as a video")
        return capture

    def _keep_time(self) -> None:
        if not self._fps > 0:
            raise FlowmeshError(
                f"{self.name}: {self.path} does not say its frame rate: give rate= instead of realtime=True"
            )
        self.rate = self._fps

    def _read(self) -> cv2.typing.MatLike:
        assert self._capture is not None, "setup has opened it"
        there, frame = self._capture.read()
        if not there and self.loop:
            self._capture.release()
            self._capture = self._open()  # not a seek: files without an index can't seek
            there, frame = self._capture.read()
        if not there:
            self._say_if_cut_short()
            raise EndOfStream
        return frame

    def _say_if_cut_short(self) -> None:
        # Containers without a count estimate it from the duration: one frame off is no damage.
        if self.frames is not None and self._index < self.frames - 1:
            self.logger.warning("%s ended after %d of %d frames: is it damaged?", self.path, self._index, self.frames)
