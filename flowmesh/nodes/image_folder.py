"""ImageFolder: a source of the pictures that lie in a folder. None is skipped silently."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..chunk import DataChunk
from ..errors import EndOfStream, FlowmeshError, GraphError
from ..node import register
from .base import BaseNode, path_of

PATTERNS = tuple(f"*.{ending}" for ending in ("bmp", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp"))
_SEVERAL_PAGES = (".tif", ".tiff", ".webp", ".png", ".gif")
MODES = {"color": cv2.IMREAD_COLOR, "grey": cv2.IMREAD_GRAYSCALE, "unchanged": cv2.IMREAD_UNCHANGED}


class ImageFolder(BaseNode):
    """A source of a folder's pictures in natural order: picture-2 comes before picture-10. The stream ends with the
    last.

    Each chunk holds "frame" (image; see `mode`), "index" (int, from 0), "file" (text: its path within the folder) and,
    with `rate`, "media_time" (float: index / rate, in seconds). Of a file of several pages the first is read.

    >>> photos = ImageFolder("photos", "shots", rate=5)
    >>> depth = ImageFolder("depth", "scan", patterns="depth-*.png", mode="unchanged")

    Args:
        name: the node's name.
        path: the folder, on the host on which the node runs; it is listed once, in `setup`.
        patterns: one or several of which a file's name fits one, large and small letters alike.
        recursive: also those in folders within it.
        mode: "color" (BGR, uint8, height×width×3, turned as the camera was held), "grey" (uint8, height×width) or
            "unchanged" (as stored: also 16 bit, float or with alpha).
        loop: begin again at the end, without limit.
        options: options of Node: `rate` (pictures a second), `on_error="skip"` (leaves out what can't be read, with a
            line in the log, counted in `status()` and `info()`), ...

    Raises:
        GraphError: a value that can't be.
        FlowmeshError: in `setup`: there is no such folder or no such picture in it; in `step`: a file can't be read.
    """

    def __init__(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        patterns: str | Sequence[str] = PATTERNS,
        recursive: bool = False,
        mode: str = "color",
        loop: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        several = (patterns,) if isinstance(patterns, str) else patterns
        if not isinstance(several, list | tuple) or not several or not all(isinstance(one, str) for one in several):
            raise GraphError(f"{self.name}: patterns is a text such as '*.png', or several, not {patterns!r}")
        if not isinstance(mode, str) or mode not in MODES:
            raise GraphError(f"{self.name}: mode is one of {', '.join(map(repr, MODES))}, not {mode!r}")
        self.path, self.patterns = path_of(self.name, path), tuple(several)
        self.recursive, self.mode, self.loop = recursive, mode, loop

    def setup(self) -> None:
        self._files = self._listed()
        self._index = self._place = self._unreadable = 0
        self._pages_told = False
        self._in_vain = 0  # files since the last that could be read

    def step(self, data: Any = None) -> DataChunk:
        file = self._next()
        frame = self._read(file)
        self._in_vain = 0
        chunk = DataChunk()
        chunk.add("frame", frame, "image")
        chunk.add("index", self._index)
        chunk.add("file", str(file.relative_to(self.path)), "text")
        if self.rate is not None:
            chunk.add("media_time", self._index / self.rate)
        self._index += 1
        return chunk

    @register
    def info(self) -> dict[str, int]:
        """The number of pictures in the folder (files), of those sent, and of unreadable ones."""
        return {"files": len(self._files), "sent": self._index, "unreadable": self._unreadable}

    def _listed(self) -> list[Path]:
        if not self.path.is_dir():
            raise FlowmeshError(f"{self.name}: there is no folder {self.path} on this host")
        try:
            there = [file for file in self.path.glob("**/*" if self.recursive else "*") if file.is_file()]
        except OSError as error:
            raise FlowmeshError(f"{self.name}: the folder {self.path} can't be read: {error.strerror}") from error
        patterns = [pattern.lower() for pattern in self.patterns]
        found = [file for file in there if any(fnmatchcase(file.name.lower(), pattern) for pattern in patterns)]
        if not found:
            raise FlowmeshError(
                f"{self.name}: of the {len(there)} files in {self.path} none fits {', '.join(self.patterns)}: "
                "give patterns= or recursive=True"
            )
        return sorted(found, key=lambda file: natural(str(file.relative_to(self.path))))

    def _next(self) -> Path:
        """The next file. It is passed before it is read: with on_error="skip" a bad one is met once a round."""
        if self._place == len(self._files):
            if not self.loop or self._in_vain >= len(self._files):  # a folder of nothing readable has no end else
                raise EndOfStream
            self._place = 0
        self._place += 1
        self._in_vain += 1
        return self._files[self._place - 1]

    def _read(self, file: Path) -> np.ndarray:
        try:
            content = np.fromfile(file, np.uint8)
            frame = cv2.imdecode(content, MODES[self.mode]) if content.size else None
        except (OSError, cv2.error) as error:
            self._unreadable += 1
            why = error.strerror if isinstance(error, OSError) else error.err
            raise FlowmeshError(f"{self.name}: {file} can't be read: {why}") from error
        if frame is None:
            self._unreadable += 1
            raise FlowmeshError(f"{self.name}: {file} is no picture that OpenCV can read, or is damaged")
        self._tell_pages(file)
        return frame

    def _tell_pages(self, file: Path) -> None:
        """Say once that a file holds more than is read of it."""
        if self._pages_told or file.suffix.lower() not in _SEVERAL_PAGES:
            return
        pages = cv2.imcount(str(file))
        if pages > 1:
            self._pages_told = True
            self.logger.warning("%s holds %d pages: of such files only the first page is read", file, pages)


def natural(name: str) -> tuple[list[str | int], str]:
    """A sort key for names, in which numbers count: "a9" before "a10"; large and small letters alike."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
