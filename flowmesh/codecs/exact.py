"""The exact codec of arrays: Zstandard on bytes sorted by their position in an element, by Blosc2.

Which filters sort them is a closed list of chains, each tested: [SHUFFLE, BYTEDELTA, BITSHUFFLE], for one, gives wrong
data and no error. A chunk's own header could ask the library for plug-ins, files, or more memory than there is; so only
headers are let through as are made here. There is no checksum: damage can give wrong elements, yet never too many.

    header, little-endian: version 1 | version of Zstandard's format 1 | flags 1 | typesize 1 | bytes 4 | bytes a block
                           4 | bytes with header 4 | filters 6 | codec 1 | 0 | filters' parameters 6 | 0 | more flags 1
    https://github.com/Blosc/c-blosc2/blob/main/README_CHUNK_FORMAT.rst
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..errors import ChunkError
from .codec import Blob, Codec, Data, Parameters, flat, unfit

_LEVEL = 1  # of Zstandard: higher ones take many times longer for a few per cent

_SHUFFLE, _BITSHUFFLE, _BYTEDELTA = 1, 2, 35  # blosc2.Filter, which would have to be imported
_DELTA, _BITS = (_SHUFFLE, _BYTEDELTA), (_BITSHUFFLE,)

_HEADER = struct.Struct("<BBBBiii16s")
_VERSIONS = (5, 1)  # of Blosc2's format, of Zstandard's in it
_FLAGS = {0x85, 0x95, 0x87, 0x97, 0x07, 0x17}  # Zstandard in blocks, split or not, or stored (2: then of no codec)
_MORE_FLAGS = {0, 0x10}  # 0x10: all bytes are 0
_ZSTD = 5
_LARGEST_BLOCK = 4 << 20  # several such are needed while decoding; those made here have 1 MiB at most
_LARGEST_TYPE = 32
_LONGEST = (1 << 31) - 1 - _HEADER.size


class _Sorting(NamedTuple):
    """The sorting of an array's bytes: the filters, and how many bytes make an element."""

    filters: tuple[int, ...]
    typesize: int


class ExactCodec(Codec):
    """Arrays of any shape and of any dtype but objects, not empty: exact."""

    number = 2
    name = "exact"

    def refusal(self, blob: Blob) -> str | None:
        if not isinstance(blob, np.ndarray):
            return "it takes arrays"
        if reason := unfit(blob):
            return reason
        return None if 0 < blob.nbytes <= _LONGEST else f"it takes 1 to {_LONGEST} bytes"

    def _encode(self, blob: Blob) -> tuple[Parameters, Data]:
        assert isinstance(blob, np.ndarray)
        blosc2 = _blosc2()
        filters, typesize = _sorting(blob)
        return (), blosc2.compress2(
            flat(blob), codec=blosc2.Codec.ZSTD, clevel=_LEVEL, typesize=typesize, nthreads=1, filters=list(filters),
            filters_meta=[0] * len(filters),
        )  # fmt: skip

    def _decode(self, parameters: Sequence[int], data: memoryview, target: memoryview) -> None:
        _check(data, len(target))
        try:
            _blosc2().decompress2(data, dst=target, nthreads=1)
        except (ValueError, RuntimeError) as error:
            raise ChunkError(f"exact: the data is damaged: {error}") from error


@cache
def _blosc2() -> Any:
    import blosc2  # on first use: it takes 0.1 s and 20 MB, and a node process never needs it

    blosc2.set_releasegil(True)
    return blosc2


def _sorting(array: np.ndarray[Any, Any]) -> _Sorting:
    """The sorting that measured best on films, masks, depth maps and features."""
    dtype = array.dtype
    if dtype.kind == "b":
        return _Sorting(_BITS, 1)
    if dtype.kind in "fc":  # better than _DELTA where something is to be gained, and faster where nothing is
        return _Sorting(_BITS, dtype.itemsize)
    if dtype.kind == "U":
        return _Sorting(_DELTA, 4)
    if dtype.itemsize == 1:
        colours = array.shape[2] if array.ndim == 3 and not array.flags.fnc else 1
        return _Sorting(_DELTA, colours if colours in (3, 4) else 2)  # Blosc2 drops BYTEDELTA at 1
    return _Sorting(_DELTA, dtype.itemsize if dtype.itemsize <= _LARGEST_TYPE else 2)


def _check(data: memoryview, size: int) -> None:
    if len(data) < _HEADER.size:
        raise ChunkError("exact: the header is cut off")
    *versions, flags, typesize, nbytes, block, cbytes, filters = _HEADER.unpack_from(data)
    if (nbytes, cbytes) != (size, len(data)):
        raise ChunkError(f"exact: the data claims to be {nbytes} bytes in {cbytes}, not {size} in {len(data)}")
    known = any(filters[:-1] == _codes(_Sorting(chain, typesize)) for chain in (_DELTA, _BITS))
    fitting = 0 < typesize <= _LARGEST_TYPE and 0 < block <= min(nbytes, _LARGEST_BLOCK)
    if tuple(versions) != _VERSIONS or flags not in _FLAGS or filters[-1] not in _MORE_FLAGS or not (known and fitting):
        raise ChunkError("exact: the header asks for what is never made here: it is damaged")


def _codes(sorting: _Sorting) -> bytes:
    """The end of a header, but for its last byte. A typesize of BYTEDELTA that is not the chunk's own crashes Blosc2."""
    filters = bytes(sorting.filters).ljust(6, b"\0")
    parameters = bytes(sorting.typesize if code == _BYTEDELTA else 0 for code in filters)
    return filters + bytes((_ZSTD, 0)) + parameters + b"\0"
