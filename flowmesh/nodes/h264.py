"""H.264 in a fragmented MP4, written by PyAV. It knows planes, not frames or chunks.

A fragment is one group of pictures (a second) and stands in the file by itself; a plain MP4 keeps its index in memory
until it is closed, and without it nothing can be read. OpenCV's own writer was tried: it has no H.264, its MP4 is lost
when it is killed, and its MKV or AVI loses up to 256 kB, which is seconds of a quiet scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ..errors import FlowmeshError

_CONTAINER = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
# zerolatency: a frame that is written is encoded, none waits in the encoder. superfast: half of ultrafast's bytes for
# half as much time again; slower presets save little more.
_ENCODER = {"preset": "superfast", "tune": "zerolatency", "forced-idr": "1"}
_TICKS = 90_000  # a second: whole for all usual rates
_BT601, _LIMITED = 6, 1  # ITU-T H.273 matrix coefficients, and FFmpeg's range: what cv2's I420 is; players guess BT.709


class FragmentedMp4:
    """A film that is being written. `fps`: how many frames a second it has about; their times count.

    Raises:
        FlowmeshError: everywhere, when the file can't be made or written; the text holds its path.
    """

    def __init__(self, path: Path, fps: float, crf: int) -> None:
        self._path, self._crf = path, crf
        self._fps = Fraction(fps).limit_denominator(1001)  # the float of 30000/1001 becomes just that
        self._last = self._key = -_TICKS  # ticks: when the last frame, and the last key frame, are shown
        self._stream: VideoStream | None = None
        with self._translated():
            # Opened here: PyAV opens a path only at the first frame, too late to say that there is no such folder.
            self._file = path.open("wb", buffering=0)
            self._container = av.open(self._file, "w", format="mp4", options=_CONTAINER)

    def write(self, planes: np.ndarray, time: Fraction) -> None:
        """Append a frame: I420, uint8, shape (height * 3 / 2, width), both even, always the same. It is shown `time` seconds
        after the film's start; a time that is not later than the last frame's counts as one tick, 1/90000 s, later."""
        with self._translated():
            stream = self._stream = self._stream or self._begin(planes)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            self._last = frame.pts = max(round(time * _TICKS), self._last + 1)
            frame.time_base = Fraction(1, _TICKS)
            if (
                self._last - self._key >= _TICKS - 1
            ):  # by time, not by number: a fragment is a second, however few its frames
                self._key, frame.pict_type = self._last, PictureType.I
            self._mux(stream.encode(frame))

    def close(self) -> None:
        """End the film. Without a frame the file stays empty."""
        with self._translated(), self._file:
            if self._stream is not None:
                self._mux(self._stream.encode(None))
            self._container.close()

    def _begin(self, planes: np.ndarray) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps, options=_ENCODER | {"crf": str(self._crf)})
        stream.width, stream.height = planes.shape[1], planes.shape[0] * 2 // 3
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        context.gop_size = 1 << 16  # `write` says where a group begins
        context.colorspace, context.color_range = _BT601, _LIMITED
        return stream

    def _mux(self, packets: list[av.Packet[VideoStream]]) -> None:
        for packet in packets:
            packet.duration = round(_TICKS / self._fps)  # counts for the last frame of a fragment only
            self._container.mux(packet)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise FlowmeshError(f"the video {self._path} can't be written: {error.strerror or error}") from error
