"""Pictures as packets of H.264 and back, by PyAV. It knows arrays and packets, no files.

No B frames and no delay: a picture that goes in comes out as one packet, so that a number and a time belong to each. BT.601,
limited range: what cv2 converts from and to. Odd sizes are padded by one pixel and cut again.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from ..errors import ChunkError

_TO_BGR = {3: cv2.COLOR_YUV2BGR_I420, 4: cv2.COLOR_YUV2BGRA_I420}
_TO_I420 = {3: cv2.COLOR_BGR2YUV_I420, 4: cv2.COLOR_BGRA2YUV_I420}
_BT601, _LIMITED = 6, 1  # ITU-T H.273 matrix coefficients, and FFmpeg's range
_NEVER = 1 << 30  # pictures: key frames are asked for here, by time
_MICROSECONDS = Fraction(1, 1_000_000)

Picture = np.ndarray[Any, Any]


class PictureEncoder:
    """Encodes a stream's pictures, in order. `key`: seconds between two key frames."""

    def __init__(self, crf: int, preset: str, key: float) -> None:
        self._av = _pyav()
        self._options = {"preset": preset, "tune": "zerolatency", "crf": str(crf), "bf": "0"}
        self._key_ns = round(key * 1e9)
        self._context: Any = None
        self._size = (0, 0)
        self._key_at = self._first = self._last_pts = 0
        self._since_key = 0

    def encode(self, picture: Picture, time_ns: int, new_key: bool = False) -> tuple[bytes, int]:
        """The packet of an 8-bit picture, and how many packets ago the last key frame was.

        Raises:
            ChunkError: it can't be encoded.
        """
        size = picture.shape[:2]
        begins = self._context is None or size != self._size
        if begins:
            self._begin(size, time_ns)
        is_key = begins or new_key or not 0 <= time_ns - self._key_at < self._key_ns
        frame = self._av.VideoFrame.from_ndarray(_planes(picture), format="yuv420p")
        frame.pts = self._last_pts = max(self._last_pts + 1, (time_ns - self._first) // 1000)
        frame.time_base = _MICROSECONDS
        if is_key:
            frame.pict_type = self._av.video.frame.PictureType.I
            self._key_at, self._since_key = time_ns, 0
        else:
            self._since_key += 1
        try:
            packets = self._context.encode(frame)
        except self._av.FFmpegError as error:
            self._context = None
            raise ChunkError(f"a picture can't be encoded as H.264: {error}") from error
        if len(packets) != 1:
            self._context = None
            raise ChunkError(f"the encoder gave {len(packets)} packets for one picture")
        return bytes(packets[0]), self._since_key

    def _begin(self, size: tuple[int, ...], time_ns: int) -> None:
        context = self._av.CodecContext.create("libx264", "w")
        context.height, context.width = (side + side % 2 for side in size)
        context.pix_fmt, context.time_base, context.framerate = "yuv420p", _MICROSECONDS, Fraction(30)
        context.gop_size, context.max_b_frames, context.thread_count = _NEVER, 0, 1
        context.colorspace, context.color_range = _BT601, _LIMITED
        context.options = self._options | {"forced-idr": "1"}
        self._context, self._size, self._first, self._last_pts = context, (size[0], size[1]), time_ns, -1


class PictureDecoder:
    """Decodes a stream's packets, in order."""

    def __init__(self) -> None:
        self._av = _pyav()
        self._context: Any = None
        self._shape: tuple[int, ...] = ()
        self._since_key = -2

    def decode(self, packet: bytes, shape: tuple[int, ...], since_key: int) -> Picture:
        """The picture of a packet, in the shape that was recorded.

        Raises:
            ChunkError: it is damaged, or one of the packets since its key frame is missing.
        """
        if since_key == 0:
            self._begin(shape)
        elif since_key != self._since_key + 1 or shape != self._shape:
            self._since_key = -2
            raise ChunkError("the packets since its key frame are not all there")
        self._since_key = -2
        try:
            frames = self._context.decode(self._av.Packet(packet))
        except self._av.FFmpegError as error:
            raise ChunkError(f"the H.264 is damaged: {error}") from error
        height, width = (side + side % 2 for side in shape[:2])
        if len(frames) != 1 or (frames[0].height, frames[0].width) != (height, width):
            raise ChunkError(f"the H.264 is damaged: it holds no picture of {width}×{height}")
        if frames[0].format.name not in ("yuv420p", "yuvj420p"):
            raise ChunkError(f"the H.264 is of the unknown format {frames[0].format.name}")
        self._since_key = since_key
        return _from_planes(frames[0].to_ndarray(), shape)

    def _begin(self, shape: tuple[int, ...]) -> None:
        if self._context is not None and shape == self._shape:
            return
        height, width = ((side + 15) // 16 * 16 for side in shape[:2])
        context = self._av.CodecContext.create("h264", "r")
        context.options = {"max_pixels": str((height + 16) * (width + 16)), "flags": "low_delay"}
        context.thread_count = 1
        self._context, self._shape = context, shape


def _planes(picture: Picture) -> Picture:
    """The picture as I420 planes of even size."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    if picture.ndim == 2 or picture.shape[2] == 1:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(picture, _TO_I420[picture.shape[2]])


def _from_planes(planes: Picture, shape: tuple[int, ...]) -> Picture:
    height, width = shape[:2]
    channels = shape[2] if len(shape) == 3 else 1
    if channels == 1:
        picture = cv2.cvtColor(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), cv2.COLOR_BGR2GRAY)
    elif channels in _TO_BGR:
        picture = cv2.cvtColor(planes, _TO_BGR[channels])
    else:
        raise ChunkError(f"H.264 holds 1, 3 or 4 channels here, not {channels}")
    return np.ascontiguousarray(picture[:height, :width]).reshape(shape)


def _pyav() -> Any:
    """PyAV, loaded on first use: it is large."""
    import av
    import av.video.frame

    return av
