"""A film that stands in for a camera: a stream that plays it at its own times. Its end is a camera that vanishes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FlowmeshError
from .reconnecting_reader import StreamLostError

_CATCH_UP = 1.0  # seconds by which it may be late and still make up for it


class PlayedFilm:
    """An opened film.

    Raises:
        StreamLostError: it can't be read.
    """

    def __init__(self, path: Path) -> None:
        from .film import Film  # PyAV is loaded where it is used

        try:
            self._film = Film(path)
        except FlowmeshError as error:
            raise StreamLostError(str(error)) from error
        self._frames = iter(self._film)
        self._begun: float | None = None  # the time of the monotonic clock at which the film is at 0

    def says(self) -> dict[str, Any]:
        """Width and height in pixels, and fps (1/s, on average), as the file says."""
        return {name: self._film.info[name] for name in ("width", "height", "fps")}

    def read(self) -> np.ndarray:
        """The next frame, as soon as it is due.

        Raises:
            StreamLostError: the film has ended, or can't be read any further.
        """
        try:
            frame = next(self._frames, None)
        except FlowmeshError as error:
            raise StreamLostError(str(error)) from error
        if frame is None:
            raise StreamLostError("no more frames come")
        now, at = time.monotonic(), float(frame.media_time)
        if self._begun is None or now - (self._begun + at) > _CATCH_UP:
            self._begun = now - at
        time.sleep(max(0.0, self._begun + at - now))
        return frame.image()

    def close(self) -> None:
        self._film.close()
