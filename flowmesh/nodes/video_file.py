"""VideoFile: a source that reads a film, frame by frame, with the film's own times. Nothing is resized or left out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..chunk import DataChunk
from ..errors import EndOfStream, FlowmeshError
from ..node import register
from .base import BaseNode, path_of

if TYPE_CHECKING:
    from .film import Film, FilmFrame

_FASTEST = Fraction(1, 1_000_000)  # seconds: no two frames are paced closer


class VideoFile(BaseNode):
    """A source of a film's frames; the stream ends with the file.

    Each chunk holds "frame" (image, BGR, uint8, height×width×3, turned as players show it; alpha is left out), "index"
    (int, from 0), "media_time" (float: when the frame is shown, in seconds from the film's start; it rises from frame to
    frame, and goes on, as "index" does, when the film begins again) and "pts" (int: the file's own time stamp, in units
    of `info()["time_base"]`; None if the frame has none).

    What is damaged is passed over: what can't be decoded is left out, what can be only in part comes as the decoder
    repairs it. `info()` counts both, and one warning tells it at the end. Of several video streams the first is read.

    Args:
        name: the node's name.
        path: the file, on the host on which the node runs.
        loop: begin again at the end, without end.
        realtime: play the frames at their own times, at whatever rate they come (it sets `rate` before each step); else as
            fast as they are taken.
        options: options of Node: `rate`, `live`, ...

    Attributes:
        frames: how many the file says that it holds; None if it does not say, or before `setup`.

    Raises:
        GraphError: a value that can't be.
        FlowmeshError: in `setup`: the file is missing, is no film or holds only audio; in `step`: it can't be read further.
    """

    def __init__(
        self, name: str, path: str | os.PathLike[str], *, loop: bool = False, realtime: bool = False, **options: Any
    ) -> None:
        super().__init__(name, **options)
        self.path, self.loop, self.realtime = path_of(self.name, path), loop, realtime
        self.frames: int | None = None
        self._film: Film | None = None

    def setup(self) -> None:
        self._index = self._damaged = 0
        self._told = False
        self._ahead: deque[FilmFrame] = deque()
        self._film = film = self._open()
        self._info = dict(film.info)
        self.frames = self._info["frames"]
        if film.other_videos:
            self.logger.warning("%s holds %d video streams: the first is read", self.path, film.other_videos + 1)
        self._frames = self._read()
        self._look_ahead(1)
        if self._ahead:
            height, width = self._ahead[0].image().shape[:2]  # the file's own are those before it is turned
            self._info |= {"width": width, "height": height}
        if self.realtime:
            self._keep_time()

    def step(self, data: Any = None) -> DataChunk:
        self._look_ahead(1)
        if not self._ahead:
            raise EndOfStream
        frame = self._ahead.popleft()
        if self.realtime:
            self._keep_time()
        chunk = DataChunk()
        chunk.add("frame", frame.image(), "image")
        chunk.add("index", self._index)
        chunk.add("media_time", float(frame.media_time))
        chunk.add("pts", frame.pts)
        self._index += 1
        return chunk

    def teardown(self) -> None:
        if self._film is not None:
            self._tell_damage(self._film)
            self._film.close()

    @register
    def info(self) -> dict[str, Any]:
        """What the file says of itself: width and height in pixels as shown, fps (1/s, on average), frames (None: it does not
        say), codec, time_base (seconds, a Fraction: the unit of "pts"); and damaged: how many packets could not be decoded,
        or only in part, so far."""
        return self._info | {"damaged": self._damaged + (self._film.damaged if self._film else 0)}

    def _open(self) -> Film:
        from .film import Film  # PyAV is loaded where it is used

        try:
            return Film(self.path)
        except FlowmeshError as error:
            raise FlowmeshError(f"{self.name}: {error}") from error

    def _read(self) -> Iterator[FilmFrame]:
        """The film's frames; with `loop` again and again, each round behind the one before."""
        begun = Fraction(0)
        while True:
            assert self._film is not None, "setup has opened it"
            film = self._film
            for frame in film:
                yield frame._replace(media_time=begun + frame.media_time)
            self._tell_damage(film)
            if not self.loop or not film.frames_read:
                return
            begun += film.ended
            self._damaged += film.damaged
            film.close()
            self._film = self._open()  # not a seek: files without an index can't seek

    def _look_ahead(self, count: int) -> None:
        while len(self._ahead) < count and (frame := next(self._frames, None)) is not None:
            self._ahead.append(frame)

    def _keep_time(self) -> None:
        """Set the rate so that the step after the next begins when its frame is due.

        The runtime reads `rate` before each step and adds its period to the time of that step: by then the next two frames
        must be known.
        """
        self._look_ahead(2)
        if len(self._ahead) == 2:
            period = self._ahead[1].media_time - self._ahead[0].media_time
        elif self._ahead:
            period = self._ahead[0].duration  # the end of the stream is that of the last frame
        else:
            return
        self.rate = float(1 / max(period, _FASTEST))

    def _tell_damage(self, film: Film) -> None:
        """One warning: when the film has ended for the first time, or else at the end of the node."""
        found = []
        if film.damaged:
            found.append(f"damaged packets passed over: {film.damaged}, the first at {film.first_damage:.3f} s")
        if film.finished and film.missing():
            found.append(f"it ended {film.missing()}: was it cut short?")
        if film.finished and not film.frames_read:
            found.append("it holds no frame")
        if found and not self._told:
            self._told = True
            self.logger.warning("%s: %s", self.path, "; ".join(found))
