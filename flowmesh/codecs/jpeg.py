"""JPEG, by libjpeg-turbo: pictures that may lose a little. 8-bit grey, and colour in OpenCV's order BGR.

simplejpeg's binding of it decodes straight into the target; cv2.imdecode makes an array of its own, which has to be copied.

The parameters are height, width, channels (1 or 3) and the layout (0: C order, 1: Fortran's). Only such files are decoded
as are made here: baseline, one scan, and of the size that the parameters say; this is looked at before a pixel is decoded.
JPEG has no checksum: damage within the scan can give a wrong picture of the right size. Markers: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

import numpy as np

from ..errors import ChunkError
from .codec import Blob, Codec, Data, Parameters, unfit

QUALITY = 80  # at 1080p a third to a half of the bytes of 95, OpenCV's default; hard to tell from it in motion

_LONGEST = 65500  # libjpeg's limit of height and width
_PIXELS = 1 << 30  # in bytes, of grey ones, as much as a parcel may hold
_COLOURS = {1: "GRAY", 3: "BGR"}  # by channels

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAME, _SCAN = 0xC0, 0xDA
_MARKERS = {0xE0, 0xDB, 0xC4, _FRAME, _SCAN}  # what the encoder writes: JFIF, tables, a baseline frame, its scan
_SEGMENT = struct.Struct(">BBH")
_FRAME_HEADER = struct.Struct(">BHHB")  # precision, height, width, components
_ANY_MARKER = re.compile(rb"\xff[^\x00]")


class Jpeg(Codec):
    """uint8 arrays H×W, H×W×1 and H×W×3 (BGR), not empty: lossy.

    Args:
        quality: 1 to 100.
        full_colour: 4:4:4; otherwise 4:2:0, colour at half the resolution, as the eye has it, and 1.2 to 1.6 times shorter.
    """

    number = 1
    name = "jpeg"
    parameter_count = 4

    def __init__(self, quality: int = QUALITY, full_colour: bool = False) -> None:
        self.quality = quality
        self.full_colour = full_colour

    def refusal(self, blob: Blob) -> str | None:
        if not isinstance(blob, np.ndarray) or blob.dtype != np.uint8:
            return "JPEG holds 8-bit pictures"
        if blob.ndim not in (2, 3) or (blob.ndim == 3 and blob.shape[2] not in (1, 3)):
            return "JPEG holds pictures of shape H×W, H×W×1 or H×W×3"
        height, width = blob.shape[:2]
        if not 0 < height * width <= _PIXELS or max(height, width) > _LONGEST:
            return f"JPEG holds pictures of 1 to {_LONGEST} pixels a side, {_PIXELS} in all"
        return unfit(blob)

    def _encode(self, blob: Blob) -> tuple[Parameters, Data]:
        import simplejpeg

        assert isinstance(blob, np.ndarray)
        height, width, channels = (*blob.shape, 1)[:3]
        picture = np.ascontiguousarray(blob).reshape(height, width, channels)
        sampling = "444" if self.full_colour else "420"
        data = simplejpeg.encode_jpeg(picture, self.quality, _COLOURS[channels], sampling)
        return (height, width, channels, int(blob.flags.fnc)), data

    def _decode(self, parameters: Sequence[int], data: memoryview, target: memoryview) -> None:
        import simplejpeg

        height, width, channels, order = parameters
        if channels not in _COLOURS or order > 1 or height * width * channels != len(target):
            raise ChunkError(f"jpeg: no picture of {len(target)} bytes is {tuple(parameters)!r:.100}")
        if (claimed := _size(data)) != (height, width, channels):
            raise ChunkError(f"jpeg: the data claims to be a picture of {claimed}, not {(height, width, channels)}")
        picture = np.empty((height, width, channels), np.uint8) if order else target
        try:
            simplejpeg.decode_jpeg(data, _COLOURS[channels], buffer=picture)
        except ValueError as error:
            raise ChunkError(f"jpeg: the picture can't be decoded: its data is damaged: {error}") from error
        if order:
            np.copyto(np.ndarray((height, width, channels), np.uint8, target, order="F"), picture)


def _size(data: memoryview) -> tuple[int, int, int]:
    """Height, width and channels, as the file itself claims them.

    Raises:
        ChunkError: it is no file as the encoder makes them.
    """
    size = None
    place = len(_START)
    try:
        while True:
            escape, marker, segment = _SEGMENT.unpack_from(data, place)
            if escape != 0xFF or marker not in _MARKERS or (marker == _FRAME and size):
                raise ChunkError(f"jpeg: the header is damaged at byte {place}")
            if marker == _FRAME:
                precision, *size = _FRAME_HEADER.unpack_from(data, place + _SEGMENT.size)
            place += 2 + segment
            if marker == _SCAN:
                break
    except struct.error as error:
        raise ChunkError("jpeg: the header is cut off") from error
    end = _ANY_MARKER.search(data, place)
    if data[:2] != _START or not size or precision != 8 or not end or end.start() != len(data) - 2 or end[0] != _END:
        raise ChunkError("jpeg: the data is damaged: it is not one picture of one scan")
    height, width, channels = size
    return height, width, channels
