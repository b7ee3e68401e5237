"""Selection of the codec for a blob between hosts: by content type, by the blob itself, and by the edge's options.

Only `CodecSelection` has state: the records of a stream that did not get shorter.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache

import numpy as np

from .codec import Blob, Codec, Encoded, length
from .exact import ExactCodec
from .jpeg import QUALITY, JpegCodec
from .lz4 import Lz4Codec
from .raw import RawCodec

OPTIONS = ("jpeg", "jpeg-444", "exact", "raw")  # what codec= may be on an edge
LEAST_RATIO = 1.1  # below it, the time to encode and to decode buys nothing
RETRY_AFTER = 30  # blobs: a second of video; a try that fails then costs a thirtieth

_SMALL = 1024  # bytes: a JPEG's tables alone have more than half of that
_RECORDS = 256  # a stream whose records have ever new names must not fill the memory

_RAW, _EXACT, _LZ4 = RawCodec(), ExactCodec(), Lz4Codec()


def option_error(codec: object, quality: object) -> str | None:
    """The error in the options `codec` and `quality` of an edge, independent of its chunks."""
    if codec not in (None, *OPTIONS):
        return f"codec is {', '.join(map(repr, OPTIONS))} or None, not {codec!r}"
    if quality is None:
        return None
    if type(quality) is not int or not 1 <= quality <= 100:
        return f"quality is JPEG's, a whole number from 1 to 100, not {quality!r}"
    if codec in ("exact", "raw"):
        return f"quality is JPEG's, and codec={codec!r} loses nothing: leave quality out"
    return None


def choose(content_type: str, blob: Blob, codec: str | None = None, quality: int | None = None) -> Codec:
    """The codec for a blob.

    Args:
        content_type: of the record that the blob is of.
        blob: an array with its dtype and shape, or bytes of which nothing is known.
        codec: the edge's option, one of OPTIONS; None is "jpeg".
        quality: the edge's option, 1 to 100; None is 80.
    """
    if codec == "raw" or length(blob) < _SMALL:
        return _RAW
    if not isinstance(blob, np.ndarray):
        return _LZ4
    if content_type == "image" and codec != "exact":
        jpeg = _jpeg(QUALITY if quality is None else quality, codec == "jpeg-444")
        if jpeg.refusal(blob) is None:
            return jpeg
    return _EXACT if _EXACT.refusal(blob) is None else _RAW


class CodecSelection:
    """Encodes the blobs of one stream, and lets those go raw for a while that did not get shorter.

    Several threads may use it at once; a blob or two more than said may then go raw.

    Args:
        codec: the edge's option, as for `choose`.
        quality: the edge's option, as for `choose`.
    """

    def __init__(self, codec: str | None = None, quality: int | None = None) -> None:
        self._options = codec, quality
        self._raw: dict[Hashable, int] = {}  # how many more blobs of a record go raw

    def encode(self, record: Hashable, content_type: str, blob: Blob) -> Encoded:
        """Encode the next blob.

        Args:
            record: which blobs are alike: the record's name, with the blob's index in it where it has several.
            content_type: the record's.
            blob: an array, or bytes of which nothing is known.

        Raises:
            ChunkError: an array that holds objects, or is of a subclass.
        """
        codec = choose(content_type, blob, *self._options)
        if codec is _RAW or self._goes_raw(record):
            return _RAW.encode(blob)
        encoded = codec.encode(blob)
        if length(blob) >= LEAST_RATIO * len(encoded.data):
            return encoded
        if len(self._raw) >= _RECORDS:
            self._raw.clear()
        self._raw[record] = RETRY_AFTER
        return _RAW.encode(blob)

    def _goes_raw(self, record: Hashable) -> bool:
        left = self._raw.get(record, 0)
        if left > 1:
            self._raw[record] = left - 1
        else:
            self._raw.pop(record, None)
        return left > 0


@cache
def _jpeg(quality: int, full_colour: bool) -> JpegCodec:
    return JpegCodec(quality, full_colour)
