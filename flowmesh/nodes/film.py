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
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import FlowmeshError
from .bgr_converter import BgrConverter
from .timeline import Timeline

_USUAL_RATE = Fraction(25)  # frames a second where a film says nothing: FFmpeg's own choice
_VAIN_READS = 16  # errors in a row without a packet between them, after which the rest of a file is given up
_SPARE = Fraction(1, 2)  # seconds by which a film may be shorter than its container says


class FilmFrame(NamedTuple):
    """A decoded frame.

    Attributes:
        picture: its planes.
        converter: what makes an image of them.
        media_time: when it is shown, in seconds from the film's start.
        duration: for how long, in seconds.
        pts: the file's own time stamp, in units of the stream's time base; None if it has none.
    """

    picture: av.VideoFrame
    converter: BgrConverter
    media_time: Fraction
    duration: Fraction
    pts: int | None

    def image(self) -> np.ndarray:
        """The frame as players show it: BGR, uint8, height×width×3; alpha is left out."""
        return self.converter.convert(self.picture)


class Film:
    """An opened film. Iterate over it once; `close` it.

    Attributes:
        frames_read: how many frames were decoded.
        first_damage: the media time, in seconds, at which damage was met first; None if there is none.
        ended: the media time, in seconds, at which the frames read so far end.
        finished: whether all was read.
        info: what the file says: width and height in pixels before it is turned, fps (1/s, on average), frames (None: it does
            not say), codec, time_base (seconds, a Fraction: the unit of pts).
        other_videos: how many video streams the file holds that are not read.

    Raises:
        FlowmeshError: the file is missing, empty, no film, holds no video, or can't be read; the text holds its path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.frames_read = 0
        self.first_damage: float | None = None
        self.ended = Fraction(0)
        self.finished = False
        self._packets = self._unreadable = self._flagged = self._damaged_frames = 0
        self._container = _opened(path)
        try:
            self._stream = _first_video(path, self._container)
        except BaseException:
            self._container.close()
            raise
        self._rate = self._stream.average_rate or self._stream.guessed_rate or _USUAL_RATE
        broadcast = "mpeg" in self._container.format.name  # formats whose clock may be set anew
        self._timeline = Timeline(1 / (self._stream.guessed_rate or self._rate), self._start(), broadcast)
        self._converter = BgrConverter()
        self.info = self._said()  # now: a closed container must not be asked
        self.other_videos = len(_videos(self._container)) - 1
        self._indexed = self._said_packets()
        self._whole = self._said_duration()
        self._newest_packet = self._newest_frame = -1  # time stamps

    @property
    def damaged(self) -> int:
        """The number of packets, of those read so far, that could not be decoded, or only in part."""
        # What the container flags, the decoder mostly notices, too. At the seam of joined films it flags what is whole.
        flagged = max(0, self._flagged - self._timeline.jumps)
        return self._unreadable + max(flagged, self._damaged_frames)

    def __iter__(self) -> Iterator[FilmFrame]:
        for picture in self._pictures():
            self.frames_read += 1
            if picture.is_corrupt:  # the decoder has made up what was missing
                self._note_damaged_frame()
            base = picture.time_base or self._stream.time_base
            time = None if picture.pts is None or base is None else picture.pts * base
            duration = picture.duration * base if picture.duration and base is not None else None
            shown, lasts = self._timeline.place(time, duration)
            self.ended = shown + lasts
            yield FilmFrame(picture, self._converter, shown, lasts, picture.pts)
        self.finished = True
        if self.damaged and not self.frames_read:
            raise FlowmeshError(f"no frame of {self._path} can be decoded: it is damaged from beginning to end")

    def missing(self) -> str:
        """At the end: what the file says that it holds and that did not come, in words; "" if nothing is missing."""
        if self._packets < self._indexed:
            return f"after {self.frames_read} of {self._indexed} frames"
        if self.ended < self._whole - _SPARE:
            return f"after {float(self.ended):.2f} of {float(self._whole):.2f} s"
        return ""

    def close(self) -> None:
        self._container.close()

    # --- what the file says ------------------------------------------------------------------------------------------

    def _said(self) -> dict[str, Any]:
        stream = self._stream
        return {
            "width": stream.width,
            "height": stream.height,
            "fps": float(self._rate),
            "frames": stream.frames or None,
            "codec": stream.codec_context.name,
            "time_base": stream.time_base,
        }

    def _said_packets(self) -> int:
        """How many packets the file's index lists; 0 where it does not list all. An edit of the film is no damage: what it
        leaves out is not in this index, but in the number of frames that the file says."""
        names = self._container.format.name.split(",")
        return len(self._stream.index_entries) if "mov" in names or "avi" in names else 0

    def _said_duration(self) -> Fraction:
        """The film's length in seconds as the file says it; 0 where that is only estimated, or another stream's."""
        container = self._container
        if "matroska" not in container.format.name or len(container.streams) > 1:
            return Fraction(0)
        return Fraction(container.duration or 0, av.time_base)

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
        for packet in self._read():
            self._packets += 1
            self._newest_packet = max(self._newest_packet, -1 if packet.pts is None else packet.pts)
            if packet.is_corrupt:
                self._flagged += 1
                self._note_damage()
            yield from self._decoded(packet)
        yield from self._decoded(None)
        if self._newest_frame < self._newest_packet and not self._timeline.jumps:
            yield from self._lost_tail()

    def _decoded(self, packet: Any) -> list[av.VideoFrame]:
        """Decode a packet; None flushes the decoder. An error concerns one packet only, and ends nothing."""
        try:
            pictures: list[av.VideoFrame] = self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []
        except av.FFmpegError:
            self._note_damaged_frame()
            return []
        for picture in pictures:
            self._newest_frame = max(self._newest_frame, -1 if picture.pts is None else picture.pts)
        return pictures

    def _lost_tail(self) -> Iterator[av.VideoFrame]:
        """The last frames again, from the key frame before them. An error in what a decoder of several threads still holds
        at the end hides all that lies behind it."""
        known = self._newest_frame
        self._container.close()
        self._container = _opened(self._path)
        self._stream = _first_video(self._path, self._container)
        self._stream.thread_type = "SLICE"
        if known >= 0:
            try:
                self._container.seek(known, stream=self._stream)
            except av.FFmpegError:
                return
        for packet in self._read():
            yield from (picture for picture in self._decoded(packet) if (picture.pts or 0) > known)
        yield from (picture for picture in self._decoded(None) if (picture.pts or 0) > known)

    def _read(self) -> Iterator[Any]:
        vain = 0
        while vain < _VAIN_READS:
            try:
                for packet in self._container.demux(self._stream):
                    vain = 0
                    if packet.size:
                        yield packet
                return
            except av.InvalidDataError:
                vain += 1
                self._unreadable += 1
                self._note_damage()
            except (av.FFmpegError, OSError) as error:
                raise FlowmeshError(f"{self._path} can't be read any further: {error.strerror or error}") from error

    def _note_damaged_frame(self) -> None:
        self._damaged_frames += 1
        self._note_damage()

    def _note_damage(self) -> None:
        if self.first_damage is None:
            self.first_damage = float(self.ended)


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise FlowmeshError(f"there is no video file {path} on this host")
    if not path.stat().st_size:
        raise FlowmeshError(f"{path} can't be read as a video: it is empty (0 bytes)")
    try:
        return av.open(str(path.absolute()), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FlowmeshError(f"{path} can't be read as a video: {why}") from error


def _videos(container: Any) -> list[VideoStream]:
    """The streams that are films: the cover of a song is a picture, no film."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _first_video(path: Path, container: Any) -> VideoStream:
    videos = _videos(container)
    if not videos:
        kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
        raise FlowmeshError(f"{path} holds no video, {'only ' + ' and '.join(kinds) if kinds else 'nor anything else'}")
    if videos[0].codec_context is None:
        raise FlowmeshError(f"{path} can't be read: FFmpeg has no decoder for its video")
    videos[0].thread_type = "AUTO"  # frames and slices alike: several cores decode one film
    return videos[0]
