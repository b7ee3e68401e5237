"""The raw codec: a blob as it is. Nothing is copied on the way out unless it does not lie in one run."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ChunkError
from .codec import Blob, Codec, Data, Parameters, flat, unfit


class RawCodec(Codec):
    """Bytes, and arrays of any dtype but objects: exact."""

    number = 0
    name = "raw"

    def refusal(self, blob: Blob) -> str | None:
        return unfit(blob)

    def _encode(self, blob: Blob) -> tuple[Parameters, Data]:
        return (), flat(blob)

    def _decode(self, parameters: Sequence[int], data: memoryview, target: memoryview) -> None:
        if len(data) != len(target):
            raise ChunkError(f"raw: {len(data)} bytes have come for {len(target)}")
        target[:] = data
