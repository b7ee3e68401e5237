"""JPEG, by libjpeg-turbo: pictures that may lose a little. 8-bit grey, and colour in OpenCV's order BGR.

A large picture is cut into strips, files of their own one behind the other, so that several cores share the work: it is
the longest part of a picture's way to another host. simplejpeg decodes straight into the target, which cv2.imdecode can't.

The parameters are height, width, channels (1 or 3) and the layout (0: C order, 1: Fortran's). Only such files are decoded
as are made here: baseline, one scan, and together of the size that the parameters say; this is looked at before a pixel is
decoded. JPEG has no checksum: damage within the scan can give a wrong picture of the right size. Markers: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from ..errors import ChunkError
from .codec import Blob, Codec, Data, Parameters, unfit
from .parallel import CORES, at_once

QUALITY = 80  # at 1080p a third to a half of the bytes of 95, OpenCV's default; hard to tell from it in motion

_LONGEST = 65500  # libjpeg's limit of height and width
_PIXELS = 1 << 30  # in bytes, of grey ones, as much as an encoded chunk may hold
_COLOURS = {1: "GRAY", 3: "BGR"}  # by channels

_MOST_STRIPS = 4  # made or decoded: each costs time and memory, however small the picture
_STRIPS = min(_MOST_STRIPS, len(CORES))  # the most cores that work at one picture
_STRIP = 1 << 19  # pixels of which it is worth to wake another core
_ROWS = 16  # strips end between two of JPEG's blocks: there they show no more than any two blocks do

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAME, _SCAN = 0xC0, 0xDA
_MARKERS = {0xE0, 0xDB, 0xC4, _FRAME, _SCAN}  # what the encoder writes: JFIF, tables, a baseline frame, its scan
_SEGMENT = struct.Struct(">BBH")
_FRAME_HEADER = struct.Struct(">BHHB")  # precision, height, width, components
_ANY_MARKER = re.compile(rb"\xff[^\x00]")

Size = tuple[int, int, int]  # height, width, channels


class JpegCodec(Codec):
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
        assert isinstance(blob, np.ndarray)
        height, width, channels = (*blob.shape, 1)[:3]
        picture = np.ascontiguousarray(blob).reshape(height, width, channels)
        rows = pairwise(_cuts(height, width))
        strips = at_once([partial(self._encode_strip, picture[begin:end]) for begin, end in rows])
        return (height, width, channels, int(blob.flags.fnc)), b"".join(strips) if len(strips) > 1 else strips[0]

    def _encode_strip(self, picture: np.ndarray) -> bytes:
        import simplejpeg

        sampling = "444" if self.full_colour else "420"
        try:
            return bytes(simplejpeg.encode_jpeg(picture, self.quality, _COLOURS[picture.shape[2]], sampling))
        except ValueError as error:
            raise ChunkError(f"jpeg: the picture can't be encoded: {error}") from error

    def _decode(self, parameters: Sequence[int], data: memoryview, target: memoryview) -> None:
        height, width, channels, order = parameters
        if channels not in _COLOURS or order > 1 or height * width * channels != len(target):
            raise ChunkError(f"jpeg: no picture of {len(target)} bytes is {tuple(parameters)!r:.100}")
        strips = _strips(data, (height, width, channels))
        shape = height, width, channels
        picture = np.empty(shape, np.uint8) if order else np.ndarray(shape, np.uint8, target)
        at_once([partial(_decode_strip, strip, picture[begin:end]) for begin, end, strip in strips])
        if order:
            np.copyto(np.ndarray(shape, np.uint8, target, order="F"), picture)


def _decode_strip(data: memoryview, target: np.ndarray) -> None:
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, _COLOURS[target.shape[2]], buffer=target)
    except ValueError as error:
        raise ChunkError(f"jpeg: the picture can't be decoded: its data is damaged: {error}") from error


# --- strips ----------------------------------------------------------------------------------------------------------


def _cuts(height: int, width: int) -> list[int]:
    """The rows between which a picture's strips lie."""
    count = max(1, min(_STRIPS, height * width // _STRIP))
    rows = -(-height // (count * _ROWS)) * _ROWS
    return [*range(0, height, rows), height]


def _strips(data: memoryview, size: Size) -> list[tuple[int, int, memoryview]]:
    """The strips of a picture of that size: its first row, the one behind its last, its file.

    Raises:
        ChunkError: they are not such as are made here, or make no such picture.
    """
    strips: list[tuple[int, int, memoryview]] = []
    row = place = 0
    while place < len(data) or not strips:
        if len(strips) == _MOST_STRIPS:
            raise ChunkError(f"jpeg: the picture is cut into more than {_MOST_STRIPS} strips")
        (height, width, channels), end = _read(data, place)
        if (width, channels) != size[1:] or row + height > size[0]:
            raise ChunkError(f"jpeg: the data claims to be a picture of {(row + height, width, channels)}, not {size}")
        strips.append((row, row + height, data[place:end]))
        row, place = row + height, end
    if row != size[0]:
        raise ChunkError(f"jpeg: the data claims to be a picture of {(row, *size[1:])}, not {size}")
    return strips


def _read(data: memoryview, begin: int) -> tuple[Size, int]:
    """The size of the picture in a file, as that itself claims it, and where it ends.

    Raises:
        ChunkError: it is no file as the encoder makes them.
    """
    size = None
    place = begin + len(_START)
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
    if data[begin : begin + 2] != _START or not size or precision != 8 or not end or end[0] != _END:
        raise ChunkError("jpeg: the data is damaged: it is not one picture of one scan")
    height, width, channels = size
    return (height, width, channels), end.end()
