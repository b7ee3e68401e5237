"""A film on disk, decoded by PyAV: its frames, each with its own time. It knows no nodes, chunks or clocks.

Frames come in the order in which they are shown, turned as players show them. Damage is passed over and counted: a
packet that can't be decoded ends nothing. Times start at 0 and never go back, also where the file's own time stamps do.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.stream import VideoStream

from ..errors import FlowmeshError
from .timeline import Timeline

_USUAL_RATE = Fraction(25)  # frames a second where a film says nothing: FFmpeg's own choice
_VAIN_READS = 16  # errors in a row without a packet between them, after which the rest of a file is given up
_MATRIX = (
    np.dtype("<i4") if np.little_endian else np.dtype(">i4")
)  # of a display matrix, which has the host's byte order


class FilmFrame(NamedTuple):
    """A decoded frame.

    Attributes:
        picture: its planes; `image` converts them.
        media_time: when it is shown, in seconds from the film's start.
        duration: for how long, in seconds.
        pts: the file's own time stamp, in units of the stream's time base; None if it has none.
    """

    picture: av.VideoFrame
    media_time: Fraction
    duration: Fraction
    pts: int | None

    def image(self) -> np.ndarray:
        """The frame as players show it: BGR, uint8, height×width×3; alpha is left out."""
        image: np.ndarray = self.picture.to_ndarray(format="bgr24")
        return _turned(image, self.picture)


class Film:
    """An opened film. Iterate over it once; `close` it.

    Attributes:
        damaged: how many packets could not be decoded, or only in part.
        first_damage: the media time, in seconds, at which the first of them was met; None if there is none.
        finished: whether all was read.
        ended: the media time, in seconds, at which the frames read so far end.

    Raises:
        FlowmeshError: the file is missing, empty, no film, holds no video, or can't be read; the text holds its path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0
        self.first_damage: float | None = None
        self.ended = Fraction(0)
        self.finished = False
        self._packets_read = self._frames_read = 0
        self._container = self._opened()
        try:
            self._stream = self._first_video()
            self._stream.thread_type = "AUTO"  # frames and slices alike: several cores decode one film
        except BaseException:
            self._container.close()
            raise
        self._rate = self._stream.average_rate or self._stream.guessed_rate or _USUAL_RATE
        jumps = "mpeg" in self._container.format.name  # broadcast formats, whose clock may be set anew
        self._timeline = Timeline(1 / (self._stream.guessed_rate or self._rate), self._start(), jumps)

    def info(self) -> dict[str, Any]:
        """width and height in pixels as shown, fps (1/s, on average), frames (None: the file does not say), codec, time_base
        (seconds, a Fraction: the unit of pts)."""
        stream = self._stream
        return {
            "width": stream.width,
            "height": stream.height,
            "fps": float(self._rate),
            "frames": stream.frames or None,
            "codec": stream.codec_context.name,
            "time_base": stream.time_base,
        }

    def other_videos(self) -> int:
        """How many video streams the file holds that are not read."""
        return len(self._videos()) - 1

    def __iter__(self) -> Iterator[FilmFrame]:
        for picture in self._pictures():
            self._frames_read += 1
            if picture.is_corrupt:  # the decoder has made up what was missing
                self._note_damage()
            base = picture.time_base or self._stream.time_base
            time = None if picture.pts is None or base is None else picture.pts * base
            duration = picture.duration * base if picture.duration and base is not None else None
            shown, lasts = self._timeline.place(time, duration)
            self.ended = shown + lasts
            yield FilmFrame(picture, shown, lasts, picture.pts)
        self.finished = True
        if self.damaged and not self._frames_read:
            raise FlowmeshError(f"no frame of {self._path} can be decoded: it is damaged from beginning to end")

    def missing(self) -> int:
        """At the end: how many packets the file's index names that did not come: it was cut short."""
        return max(0, self._stream.frames - self._packets_read)

    @property
    def frames_read(self) -> int:
        """How many frames were decoded."""
        return self._frames_read

    def close(self) -> None:
        self._container.close()

    # --- opening -----------------------------------------------------------------------------------------------------

    def _opened(self) -> Any:
        if not self._path.is_file():
            raise FlowmeshError(f"there is no video file {self._path} on this host")
        if not self._path.stat().st_size:
            raise FlowmeshError(f"the video file {self._path} is empty (0 bytes)")
        try:
            return av.open(str(self._path.absolute()), metadata_errors="replace")
        except (av.FFmpegError, OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise FlowmeshError(f"{self._path} can't be read as a video: {why}") from error

    def _videos(self) -> list[VideoStream]:
        """The streams that are films: the cover of a song is a picture, no film."""
        cover = av.stream.Disposition.attached_pic
        return [stream for stream in self._container.streams.video if not stream.disposition & cover]

    def _first_video(self) -> VideoStream:
        videos = self._videos()
        if not videos:
            kinds = sorted({stream.type for stream in self._container.streams if stream.type != "video"})
            what = " and ".join(kinds) or "nothing that can be played"
            raise FlowmeshError(f"{self._path} holds no video, only {what}")
        if videos[0].codec_context is None:
            raise FlowmeshError(f"{self._path} can't be read: FFmpeg has no decoder for its video")
        return videos[0]

    def _start(self) -> Fraction:
        """The time stamp at which players begin, in seconds: that of the container, whose other streams may begin earlier."""
        stream, own = self._container.start_time, self._stream.start_time
        start = None if stream is None else Fraction(stream, av.time_base)
        first = None if own is None or self._stream.time_base is None else own * self._stream.time_base
        if start is None or (first is not None and abs(start - first) < Fraction(2, av.time_base)):
            return first or Fraction(0)  # exact, where the container's is rounded to microseconds
        return start

    # --- decoding ----------------------------------------------------------------------------------------------------

    def _pictures(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            self._packets_read += packet.size > 0
            try:
                pictures = packet.decode() if packet.size > 0 else []
            except av.FFmpegError:
                self._note_damage()
                continue
            yield from pictures
        yield from self._rest()

    def _rest(self) -> Iterator[av.VideoFrame]:
        """What still waits in the decoder; an error in it is one packet's, and others wait behind it."""
        for _ in range(1 + self._stream.codec_context.thread_count * 2 + 16):
            try:
                pictures = self._stream.codec_context.decode(None)
            except av.error.EOFError:
                return
            except av.FFmpegError:
                self._note_damage()
                continue
            yield from pictures
            return

    def _packets(self) -> Iterator[Any]:
        vain = 0
        while vain < _VAIN_READS:
            try:
                for packet in self._container.demux(self._stream):
                    vain = 0
                    yield packet
                return
            except av.InvalidDataError:
                vain += 1
                self._note_damage()
            except (av.FFmpegError, OSError) as error:
                raise FlowmeshError(f"{self._path} can't be read any further: {error.strerror or error}") from error

    def _note_damage(self) -> None:
        if not self.damaged:
            self.first_damage = float(self.ended)
        self.damaged += 1


def _turned(image: np.ndarray, picture: av.VideoFrame) -> np.ndarray:
    """The image turned and mirrored by the frame's display matrix; angles other than right ones are left as they are.

    The matrix takes the pixel (x, y) to (a x + c y, b x + d y); see libavutil's display.h.
    """
    data = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return image
    a, b, _, c, d = (int(np.sign(value)) * (abs(int(value)) > 1 << 12) for value in np.frombuffer(data, _MATRIX)[:5])
    if a and d and not (b or c):
        turned = image[::d, ::a]
    elif b and c and not (a or d):
        turned = image.swapaxes(0, 1)[::b, ::c]
    else:
        return image
    return np.ascontiguousarray(turned)
