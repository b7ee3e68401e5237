"""LZ4: quick and exact, for text and other bytes; on pictures and numbers it gains nothing.

The block format without a size in front: nothing in the data says how much memory to take. It has no checksum, so that
damage can give wrong bytes, yet never too many. https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ChunkError
from .codec import Blob, Codec, Data, Parameters, flat, length, unfit

_LONGEST = 0x7E000000  # LZ4_MAX_INPUT_SIZE


class Lz4Codec(Codec):
    """Bytes, and arrays of any dtype but objects: exact."""

    number = 3
    name = "lz4"

    def refusal(self, blob: Blob) -> str | None:
        return unfit(blob) or (f"it takes {_LONGEST} bytes at most" if length(blob) > _LONGEST else None)

    def _encode(self, blob: Blob) -> tuple[Parameters, Data]:
        import lz4.block

        return (), lz4.block.compress(flat(blob), store_size=False)

    def _decode(self, parameters: Sequence[int], data: memoryview, target: memoryview) -> None:
        import lz4.block

        try:
            decoded = lz4.block.decompress(data, uncompressed_size=len(target))
        except lz4.block.LZ4BlockError as error:
            raise ChunkError(f"lz4: the data is damaged: {error}") from error
        if len(decoded) != len(target):
            raise ChunkError(f"lz4: the data holds {len(decoded)} bytes, not {len(target)}")
        target[:] = decoded
