"""Packing of a chunk's records for another process, and unpacking. No I/O; no received record is trusted before it is
checked.

A record becomes (name, its content type's index in CONTENT_TYPES, form, value). The form says how the value is read:

    PLAIN   the value itself: None, bool, int of 64 bits, float, str, bytes, list, dict by str, all the way down
    ARRAY   [dtype, shape, offset, order]: the elements lie in the payload, in C order (0) or Fortran's (1)
    BYTES   [offset, length]: long bytes lie there too
    ARRAYS  a list of arrays, each as in ARRAY
    PICKLE  [pickle, buffers]: all else; a buffer is [offset, length] or, when it is short, the bytes themselves

    payload   | blob 0 .........|pad| blob 1 ....|pad| blob 2 ...... |     each begins at a multiple of 64 bytes

The checks matter: numpy makes an array of objects, or one
that begins before its memory, when a header asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NoReturn

import msgspec
import numpy as np

from ..chunk import CONTENT_TYPES, DEFAULT_NAME
from ..errors import ChunkError
from . import pickled
from .plain import encodable as _encodable
from .plain import plain as _plain

PLAIN, ARRAY, BYTES, PICKLE, ARRAYS = range(5)

ALIGNMENT = 64  # a cache line, and what the widest vector instructions like best
_LONG_BYTES = 4096  # longer bytes lie in the payload: copying a page once more costs less than a blob there
_SHORT_BUFFER = 1024  # shorter buffers of a pickle stay beside it
_DIMENSIONS = 64  # numpy's own limit

Record = tuple[str, Any, str]  # name, value, content type
Row = tuple[str, int, int, Any]
Blob = np.ndarray[Any, Any] | bytes | memoryview

_CODES = {content_type: code for code, content_type in enumerate(CONTENT_TYPES)}
_OTHER = _CODES["other"]
_CONTENT_TYPES = dict(enumerate(CONTENT_TYPES))  # a dict, as a list would take -1
_RAW = frozenset("?bhilqBHILQefdgFDGSUMm")  # dtypes by character, as a foreign dtype may have the kind of numpy's own
_DTYPE = re.compile(r"[<>|][biufcSUMm][1-9][0-9]{0,9}(\[([1-9][0-9]{0,9})?[A-Za-z]{1,2}\])?")  # numpy takes [0s], too


class Packed(msgspec.Struct, gc=False):
    """Records that are ready to travel.

    Attributes:
        records: for the header.
        blobs: what `write` copies into the payload, each with its offset in bytes.
        size: the payload's size in bytes; 0 when there is none.
    """

    records: list[Row] = []
    blobs: list[tuple[int, Blob]] = []
    size: int = 0

    def place(self, blob: Blob, size: int) -> int:
        """Reserve `size` bytes of the payload for a blob; returns its offset."""
        offset = (self.size + ALIGNMENT - 1) & -ALIGNMENT
        self.blobs.append((offset, blob))
        self.size = offset + size
        return offset

    def move(self, places: dict[int, int], size: int) -> None:
        """Note that the blobs, all arrays, lie in a payload of `size` bytes already: {reserved offset: actual
        offset}."""
        for _, _, form, value in self.records:
            for array in [value] if form == ARRAY else value if form == ARRAYS else ():
                array[2] = places[array[2]]
        self.blobs.clear()
        self.size = size


def plain_default(value: Any) -> Sequence[Row] | None:
    """The rows of a chunk that holds nothing but this, as what `step` returned, if it is plain and short; else None."""
    if not _plain(value) or (type(value) is bytes and len(value) > _LONG_BYTES):
        return None
    return ((DEFAULT_NAME, _OTHER, PLAIN, value),)


def plain_rows(records: Iterable[Record]) -> Sequence[Row] | None:
    """The rows of records that are all plain and short, as most are; None when `pack` is needed."""
    rows: list[Row] = []
    for name, value, content_type in records:
        code = _CODES.get(content_type)
        if code is None or type(name) is not str or not name.isascii() or not _plain(value):
            return None
        if type(value) is bytes and len(value) > _LONG_BYTES:
            return None
        rows.append((name, code, PLAIN, value))
    return rows


def pack(records: Iterable[Record], pickles: bool = True) -> Packed:
    """Make records (name, value, content type) ready to travel. Copies no array and no long bytes: see `write`.

    Raises:
        ChunkError: a value that neither pickle nor cloudpickle can write, or a name that UTF-8 can't encode.
        PickleRefused: a value has to be pickled, and `pickles` is False.
    """
    packed = Packed()
    for name, value, content_type in records:
        code = _CODES.get(content_type)
        if code is None or type(name) is not str or not (name.isascii() or _encodable(name)):
            raise ChunkError(f"a record can't be sent: name {name!r}, content type {content_type!r}")
        form = PLAIN
        if not _plain(value) or (type(value) is bytes and len(value) > _LONG_BYTES):
            form, value = _outline(name, value, packed, pickles)
        packed.records.append((name, code, form, value))
    return packed


def write(packed: Packed, target: memoryview) -> None:
    """Copy all blobs to their offsets in `target`: writable bytes, `packed.size` of them at least."""
    for offset, blob in packed.blobs:
        if isinstance(blob, np.ndarray):
            np.copyto(np.ndarray(blob.shape, blob.dtype, target, offset), blob)
        else:
            target[offset : offset + len(blob)] = blob


def unpack(records: list[Any], payload: bytes | memoryview, pickles: bool = True) -> dict[str, tuple[Any, str]]:
    """The records by name, as (value, content type). `payload`: bytes; arrays are read-only views of it, not copies.

    Raises:
        ChunkError: they are damaged, or a pickled value can't be read, or may not be as `pickles` is False.
    """
    if type(records) is not list:
        _refuse("the records", records)
    opened: dict[str, tuple[Any, str]] = {}
    try:
        for name, code, form, value in records:
            if type(name) is not str or name in opened:
                _refuse("a record's name", name)
            if form != PLAIN:
                if form == PICKLE and not pickles:
                    raise ChunkError(f"record {name!r} is pickled, and this worker refuses pickles")
                value = _read(_READERS[form], name, value, payload)
            opened[name] = value, _CONTENT_TYPES[code]
    except (TypeError, ValueError, KeyError) as error:
        raise ChunkError(f"a record is damaged: {records[len(opened)]!r:.200}") from error
    return opened


# --- writing ---------------------------------------------------------------------------------------------------------


def _outline(name: str, value: Any, packed: Packed, pickles: bool) -> tuple[int, list[Any]]:
    if type(value) is np.ndarray and is_raw(value.dtype):
        return ARRAY, _array(value, packed)
    if type(value) is bytes:
        return BYTES, [packed.place(value, len(value)), len(value)]
    if type(value) is list and all(type(item) is np.ndarray and is_raw(item.dtype) for item in value):
        return ARRAYS, [_array(item, packed) for item in value]
    if not pickles:
        pickled.refuse(name, value)
    return PICKLE, _pickled(name, value, packed)


def is_raw(dtype: np.dtype[Any]) -> bool:
    return dtype.char in _RAW and dtype.fields is None and dtype.itemsize > 0


def _array(array: np.ndarray[Any, Any], packed: Packed) -> list[Any]:
    order = int(array.flags.fnc)
    offset = packed.place(array.T if order else array, array.nbytes)
    return [array.dtype.str, list(array.shape), offset, order]


def _pickled(name: str, value: Any, packed: Packed) -> list[Any]:
    stream, buffers = pickled.dump(name, value)
    return [stream, [_placed(buffer, packed) for buffer in buffers]]


def _placed(buffer: memoryview, packed: Packed) -> bytes | list[int]:
    # A short one is kept as a buffer too: an array inside a value arrives read-only whatever its size.
    return bytes(buffer) if len(buffer) < _SHORT_BUFFER else [packed.place(buffer, len(buffer)), len(buffer)]


# --- reading ---------------------------------------------------------------------------------------------------------

Reader = Callable[[Any, memoryview], Any]


def _read(reader: Reader, name: str, value: Any, payload: bytes | memoryview) -> Any:
    try:
        return reader(value, memoryview(payload).toreadonly())
    except ChunkError as error:
        raise ChunkError(f"record {name!r}: {error}") from error


def _read_array(value: Any, payload: memoryview) -> np.ndarray[Any, Any]:
    text, shape, offset, order = _parts(value, 4)
    dtype = read_dtype(text) if type(text) is str else _refuse("the dtype", text)
    if type(shape) is not list or len(shape) > _DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        _refuse("the shape", shape)
    if type(order) is not int or not 0 <= order <= 1:
        _refuse("the order", order)
    _check_span(offset, prod(shape) * dtype.itemsize, payload)
    try:
        return np.ndarray(tuple(shape), dtype, payload, offset, order="F" if order else "C")
    except (ValueError, OverflowError) as error:  # a length that numpy can't hold beside one of 0
        raise ChunkError(f"the shape {shape} can't be: {error}") from error


def _read_arrays(value: Any, payload: memoryview) -> list[np.ndarray[Any, Any]]:
    if type(value) is not list:
        _refuse("the list of arrays", value)
    return [_read_array(item, payload) for item in value]


def _read_bytes(value: Any, payload: memoryview) -> bytes:
    return bytes(_span(value, payload))


def _read_pickle(value: Any, payload: memoryview) -> Any:
    stream, buffers = _parts(value, 2)
    if type(stream) is not bytes or type(buffers) is not list:
        _refuse("the pickle", value)
    views = [buffer if type(buffer) is bytes else _span(buffer, payload) for buffer in buffers]
    return pickled.load(stream, views)


_READERS: dict[int, Reader] = {ARRAY: _read_array, BYTES: _read_bytes, PICKLE: _read_pickle, ARRAYS: _read_arrays}


@lru_cache(maxsize=256)
def read_dtype(text: str) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(text):
        _refuse("the dtype", text)
    try:
        return np.dtype(text)
    except (TypeError, ValueError) as error:
        raise ChunkError(f"the dtype {text!r} is none: {error}") from error


def _span(value: Any, payload: memoryview) -> memoryview:
    offset, length = _parts(value, 2)
    _check_span(offset, length, payload)
    return payload[offset : offset + length]


def _check_span(offset: Any, length: Any, payload: memoryview) -> None:
    if type(offset) is not int or type(length) is not int or offset < 0 or length < 0 or offset % ALIGNMENT:
        _refuse("the place in the payload", [offset, length])
    if offset + length > len(payload):
        raise ChunkError(f"{length} bytes at {offset} do not lie in a payload of {len(payload)} bytes")


def _parts(value: Any, count: int) -> list[Any]:
    return value if type(value) is list and len(value) == count else _refuse("the value's place", value)


def _refuse(what: str, value: Any) -> NoReturn:
    raise ChunkError(f"{what} is damaged: {value!r:.200}")
