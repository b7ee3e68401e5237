"""The registry of codecs by number, for the headers of blobs."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ChunkError
from .codec import Codec, Data
from .exact import ExactCodec
from .jpeg import JpegCodec
from .lz4 import Lz4Codec
from .raw import RawCodec

CODECS: dict[int, Codec] = {codec.number: codec for codec in (RawCodec(), JpegCodec(), ExactCodec(), Lz4Codec())}


def codec(number: int) -> Codec:
    """The codec of that number; it decodes everything that its kind has encoded.

    Raises:
        ChunkError: there is none.
    """
    try:
        return CODECS[number]
    except KeyError:
        known = ", ".join(f"{number} ({codec.name})" for number, codec in CODECS.items())
        raise ChunkError(f"there is no codec {number}; there are: {known}") from None


def decode(number: int, parameters: Sequence[int], data: Data, target: memoryview) -> None:
    """Fill `target`, writable bytes, exactly as many as the blob has, with what `Codec.encode` was given.

    Raises:
        ChunkError: there is no such codec, or the data is damaged or no blob of that size.
    """
    codec(number).decode(parameters, data, target)
