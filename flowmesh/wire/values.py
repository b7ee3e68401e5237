"""A chunk's records as they travel between two processes of one host, and back.

A record becomes (name, its content type's place in CONTENT_TYPES, form, value). The form says how the value is read:

    PLAIN   the value itself: None, bool, int of 64 bits, float, str, bytes, list, dict by str, all the way down
    ARRAY   [dtype, shape, offset, order]: the elements lie in the payload, in C order (0) or Fortran's (1)
    BYTES   [offset, length]: long bytes lie there too
    PICKLE  [pickle, buffers]: all else; a buffer is [offset, length] or, when it is short, the bytes themselves

    payload   | blob 0 .........|pad| blob 1 ....|pad| blob 2 ...... |     each begins at a multiple of 64 bytes

No I/O here, and nothing of a received record is believed before it is checked: numpy makes an array of objects, or one
that begins before its memory, when a header asks for it.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import prod
from typing import Any, NoReturn

import msgspec
import numpy as np

from ..chunk import CONTENT_TYPES
from ..errors import ChunkError

PLAIN, ARRAY, BYTES, PICKLE = range(4)

ALIGNMENT = 64  # a cache line, and what the widest vector instructions like best
_LONG_BYTES = 4096  # longer bytes lie in the payload: a page copied once more costs less than a place there
_SHORT_BUFFER = 1024  # shorter buffers of a pickle stay beside it
_DEPTH = 16  # deeper values are pickled: pickle keeps what holds itself, and reads it without recursion
_DIMENSIONS = 64  # numpy's own limit

Record = tuple[str, Any, str]  # name, value, content type
Row = tuple[str, int, int, Any]
Blob = np.ndarray[Any, Any] | bytes | memoryview
Dumps = Callable[..., bytes]

_CODES = {content_type: code for code, content_type in enumerate(CONTENT_TYPES)}
_CONTENT_TYPES = dict(enumerate(CONTENT_TYPES))  # a dict, as a list would take -1
_ALWAYS_PLAIN = frozenset({type(None), bool, float, bytes})
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
        """Give a blob of `size` bytes its place in the payload: its offset."""
        offset = (self.size + ALIGNMENT - 1) & -ALIGNMENT
        self.blobs.append((offset, blob))
        self.size = offset + size
        return offset

    def move(self, places: dict[int, int], size: int) -> None:
        """The blobs, all arrays, lie in a payload of `size` bytes already: {the offset that one was given: where it lies}."""
        for _, _, form, value in self.records:
            if form == ARRAY:
                value[2] = places[value[2]]
        self.blobs.clear()
        self.size = size


def pack(records: Iterable[Record]) -> Packed:
    """Make records (name, value, content type) ready to travel. Copies no array and no long bytes: see `write`.

    Raises:
        ChunkError: a value that neither pickle nor cloudpickle can write, or a name that is no proper text.
    """
    packed = Packed()
    for name, value, content_type in records:
        code = _CODES.get(content_type)
        if code is None or type(name) is not str or not (name.isascii() or _encodable(name)):
            raise ChunkError(f"a record can't be sent: name {name!r}, content type {content_type!r}")
        form = PLAIN
        if not _plain(value, _DEPTH) or (type(value) is bytes and len(value) > _LONG_BYTES):
            form, value = _outline(name, value, packed)
        packed.records.append((name, code, form, value))
    return packed


def write(packed: Packed, target: memoryview) -> None:
    """Copy all blobs to their places in `target`: writable bytes, `packed.size` of them at least."""
    for offset, blob in packed.blobs:
        if isinstance(blob, np.ndarray):
            np.copyto(np.ndarray(blob.shape, blob.dtype, target, offset), blob)
        else:
            target[offset : offset + len(blob)] = blob


def unpack(records: list[Any], payload: bytes | memoryview) -> dict[str, tuple[Any, str]]:
    """The records by name, as (value, content type). `payload`: bytes; arrays are read-only views of it, not copies.

    Raises:
        ChunkError: they are damaged, or a pickled value can't be read.
    """
    if type(records) is not list:
        _refuse("the records", records)
    opened = {}
    for record in records:
        try:
            name, code, form, value = record
            content_type = _CONTENT_TYPES[code]
            read = _READERS[form]
        except (TypeError, ValueError, KeyError) as error:
            raise ChunkError(f"a record is damaged: {record!r:.200}") from error
        if type(name) is not str or name in opened:
            _refuse("a record's name", name)
        opened[name] = (value if read is None else _read(read, name, value, payload), content_type)
    return opened


# --- writing ---------------------------------------------------------------------------------------------------------


def _plain(value: Any, depth: int) -> bool:
    """Whether msgpack gives back the very same value. Unrolled for a dict's items: it runs for each chunk."""
    kind = type(value)
    if kind is dict:
        if not depth:
            return False
        for key, item in value.items():
            if type(key) is not str or not (key.isascii() or _encodable(key)):
                return False
            kind = type(item)
            if kind is int:
                if -(2**63) <= item < 2**64:
                    continue
            elif kind is str:
                if item.isascii():
                    continue
            elif kind in _ALWAYS_PLAIN:
                continue
            if not _plain(item, depth - 1):
                return False
        return True
    if kind is str:
        return value.isascii() or _encodable(value)
    if kind is int:
        return bool(-(2**63) <= value < 2**64)
    if kind is list:
        return depth > 0 and _all_plain(value, depth - 1)
    return kind in _ALWAYS_PLAIN


def _all_plain(values: list[Any], depth: int) -> bool:
    for value in values:
        if type(value) not in _ALWAYS_PLAIN and not _plain(value, depth):
            return False
    return True


def _encodable(text: str) -> bool:
    """False for text with lone surrogates, which UTF-8 does not have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _outline(name: str, value: Any, packed: Packed) -> tuple[int, list[Any]]:
    if type(value) is np.ndarray and _raw(value.dtype):
        return ARRAY, _array(value, packed)
    if type(value) is bytes:
        return BYTES, [packed.place(value, len(value)), len(value)]
    return PICKLE, _pickled(name, value, packed)


def _raw(dtype: np.dtype[Any]) -> bool:
    return dtype.char in _RAW and dtype.fields is None and dtype.itemsize > 0


def _array(array: np.ndarray[Any, Any], packed: Packed) -> list[Any]:
    order = int(array.flags.fnc)
    offset = packed.place(array.T if order else array, array.nbytes)
    return [array.dtype.str, list(array.shape), offset, order]


def _pickled(name: str, value: Any, packed: Packed) -> list[Any]:
    try:
        stream, buffers = _dumped(pickle.dumps, value)
    except Exception:  # whatever the value's own __reduce__ raises
        stream, buffers = _dumped_by_value(name, value)
    return [stream, [_placed(buffer, packed) for buffer in buffers]]


def _dumped_by_value(name: str, value: Any) -> tuple[bytes, list[memoryview]]:
    import cloudpickle  # on first use: few nodes send what pickle can't write

    try:
        return _dumped(cloudpickle.dumps, value)
    except Exception as error:
        raise ChunkError(f"record {name!r}: a {_kind(value)} can't be sent: {error}") from error


def _dumped(dumps: Dumps, value: Any) -> tuple[bytes, list[memoryview]]:
    buffers: list[pickle.PickleBuffer] = []
    stream = dumps(value, protocol=5, buffer_callback=buffers.append)
    return stream, [buffer.raw() for buffer in buffers]


def _placed(buffer: memoryview, packed: Packed) -> bytes | list[int]:
    # A short one is kept as a buffer too: an array inside a value arrives read-only whatever its size.
    return bytes(buffer) if len(buffer) < _SHORT_BUFFER else [packed.place(buffer, len(buffer)), len(buffer)]


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# --- reading ---------------------------------------------------------------------------------------------------------

Reader = Callable[[Any, memoryview], Any]


def _read(reader: Reader, name: str, value: Any, payload: bytes | memoryview) -> Any:
    try:
        return reader(value, memoryview(payload).toreadonly())
    except ChunkError as error:
        raise ChunkError(f"record {name!r}: {error}") from error


def _read_array(value: Any, payload: memoryview) -> np.ndarray[Any, Any]:
    text, shape, offset, order = _parts(value, 4)
    dtype = _dtype(text) if type(text) is str else _refuse("the dtype", text)
    if type(shape) is not list or len(shape) > _DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        _refuse("the shape", shape)
    if type(order) is not int or not 0 <= order <= 1:
        _refuse("the order", order)
    _check_span(offset, prod(shape) * dtype.itemsize, payload)
    try:
        return np.ndarray(tuple(shape), dtype, payload, offset, order="F" if order else "C")
    except (ValueError, OverflowError) as error:  # a length that numpy can't hold beside one of 0
        raise ChunkError(f"the shape {shape} can't be: {error}") from error


def _read_bytes(value: Any, payload: memoryview) -> bytes:
    return bytes(_span(value, payload))


def _read_pickle(value: Any, payload: memoryview) -> Any:
    stream, buffers = _parts(value, 2)
    if type(stream) is not bytes or type(buffers) is not list:
        _refuse("the pickle", value)
    views = [buffer if type(buffer) is bytes else _span(buffer, payload) for buffer in buffers]
    try:
        return pickle.loads(stream, buffers=views)
    except Exception as error:  # whatever the value's own code raises
        raise ChunkError(f"the value can't be unpickled: {type(error).__name__}: {error}") from error


_READERS: dict[int, Reader | None] = {PLAIN: None, ARRAY: _read_array, BYTES: _read_bytes, PICKLE: _read_pickle}


@lru_cache(maxsize=256)
def _dtype(text: str) -> np.dtype[Any]:
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
