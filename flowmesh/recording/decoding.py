"""The messages of a file as records again. What is read is believed only after it was checked.

Sizes, dtypes, shapes and parameters are checked before memory is taken for them, and no pickle is opened unless the reader
trusts the file. H.264 needs all packets since the last key frame, in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..codecs import registry
from ..errors import ChunkError, PickleRefused
from ..wire import pickled, values
from ..wire.plain import plain
from .options import VIEWABLE
from .schemas import StampRecord, parse_message

if TYPE_CHECKING:
    from .h264 import PictureDecoder

LARGEST = 1 << 30  # bytes of one value that is read
_JPEG_PIXELS = 256  # the most that a byte of a JPEG holds: two bits for each block of 8×8, at 4:2:0
_DTYPES = {encoding: kind for kind, encoding in VIEWABLE.items()}


class RecordDecoder:
    """Decodes the records of one topic.

    Args:
        trust: whether to open pickles, which may run any code of their writer's choice.
    """

    def __init__(self, trust: bool = False) -> None:
        self._trust = trust
        self._video: PictureDecoder | None = None

    def decode(self, entry: StampRecord, data: bytes | memoryview) -> Any:
        """The value; arrays are read-only.

        Raises:
            ChunkError: it is damaged, needs a packet that is missing, or is a pickle and the file is not trusted.
        """
        try:
            if entry.form == "h264":
                return self._decode_video(entry, data)
            if entry.form == "pickle":
                return self._open_pickle(entry.name, data)
            reader = _READERS.get(entry.form)
            if reader is None:
                raise ChunkError(f"its form {entry.form!r:.100} is unknown: another version has written it")
            return reader(entry, data)
        except PickleRefused:
            raise
        except ChunkError as error:
            raise ChunkError(f"record {entry.name!r}: {error}") from error

    def _decode_video(self, entry: StampRecord, data: bytes | memoryview) -> np.ndarray[Any, Any]:
        shape = _picture_shape(entry)
        message = parse_message("foxglove.CompressedVideo", data)
        if self._video is None:
            from .h264 import PictureDecoder  # it takes cv2 and PyAV

            self._video = PictureDecoder()
        return _frozen(self._video.decode(message.data, shape, entry.since_key))

    def _open_pickle(self, name: str, data: bytes | memoryview) -> Any:
        if not self._trust:
            raise PickleRefused(
                f"record {name!r} is a pickle, which may run any code: read it with trust=True if you trust its writer"
            )
        content = _unpacked(data, {"pickle": bytes, "buffers": list})
        if not all(type(buffer) is bytes for buffer in content["buffers"]):
            raise ChunkError("the pickle's buffers are damaged")
        return pickled.load(content["pickle"], content["buffers"])


def _read_jpeg(entry: StampRecord, data: bytes | memoryview) -> np.ndarray[Any, Any]:
    import simplejpeg

    shape = _picture_shape(entry)
    content = parse_message("foxglove.CompressedImage", data).data
    channels = shape[2] if len(shape) == 3 else 1
    if channels not in (1, 3):
        raise ChunkError(f"a JPEG holds 1 or 3 channels, not {channels}")
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(content)
        if (height, width) != shape[:2] or height * width > _JPEG_PIXELS * len(content):
            raise ChunkError(f"the JPEG claims to be {width}×{height} pixels in {len(content)} bytes")
        picture = simplejpeg.decode_jpeg(content, "GRAY" if channels == 1 else "BGR")
    except ValueError as error:
        raise ChunkError(f"the JPEG is damaged: {error}") from error
    return _frozen(picture.reshape(shape))


def _read_raw(entry: StampRecord, data: bytes | memoryview) -> np.ndarray[Any, Any]:
    shape = _picture_shape(entry)
    message = parse_message("foxglove.RawImage", data)
    if message.encoding not in _DTYPES:
        raise ChunkError(f"the encoding {message.encoding!r:.100} is unknown")
    dtype, channels = _DTYPES[message.encoding]
    if channels != (shape[2] if len(shape) == 3 else 1):
        raise ChunkError(f"a picture of the shape {list(shape)} is not {message.encoding}")
    return _array_of(np.dtype(dtype).str, list(shape), 0, message.data)


def _read_audio(entry: StampRecord, data: bytes | memoryview) -> np.ndarray[Any, Any]:
    message = parse_message("foxglove.RawAudio", data)
    if message.format != "pcm-s16":
        raise ChunkError(f"the sound's format {message.format!r:.100} is unknown")
    return _array_of("<i2", list(entry.shape), 0, message.data)


def _read_array(entry: StampRecord, data: bytes | memoryview) -> np.ndarray[Any, Any]:
    return _decoded_array(parse_message("flowmesh.Array", data))


def _read_arrays(entry: StampRecord, data: bytes | memoryview) -> list[np.ndarray[Any, Any]]:
    return [_decoded_array(message) for message in parse_message("flowmesh.Arrays", data).arrays]


def _decoded_array(message: Any) -> np.ndarray[Any, Any]:
    dtype, shape = values.read_dtype(message.dtype), list(message.shape)
    size = math.prod(shape) * dtype.itemsize
    if size > LARGEST or len(shape) > 64:
        raise ChunkError(f"an array of {size} bytes and {len(shape)} dimensions is more than is read")
    target = bytearray(size)
    registry.decode(message.codec, tuple(message.parameters), message.data, memoryview(target))
    return _array_of(message.dtype, shape, message.order, target)


def _array_of(dtype: str, shape: list[int], order: int, data: bytes | bytearray) -> np.ndarray[Any, Any]:
    """The array whose elements are all of `data`; checked as what comes from another process."""
    expected = math.prod(shape) * values.read_dtype(dtype).itemsize
    if expected != len(data):
        raise ChunkError(f"an array of the shape {shape} has {expected} bytes, not {len(data)}")
    opened = values.unpack([["array", 2, values.ARRAY, [dtype, shape, 0, order]]], memoryview(data))
    array: np.ndarray[Any, Any] = opened["array"][0]
    return array


def _read_json(entry: StampRecord, data: bytes | memoryview) -> Any:
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChunkError(f"its JSON is damaged: {error}") from error
    if type(content) is not dict or "value" not in content or not plain(content["value"]):
        raise ChunkError("its JSON is no value that is written here")
    return content["value"]


def _read_msgpack(entry: StampRecord, data: bytes | memoryview) -> Any:
    return _unpacked(data, {"value": object})["value"]


def _unpacked(data: bytes | memoryview, fields: dict[str, type]) -> dict[str, Any]:
    try:
        content = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise ChunkError(f"its msgpack is damaged: {error}") from error
    if type(content) is not dict or any(not isinstance(content.get(name), kind) for name, kind in fields.items()):
        raise ChunkError("its msgpack is no value that is written here")
    return content


_READERS: dict[str, Callable[[StampRecord, bytes | memoryview], Any]] = {
    "jpeg": _read_jpeg,
    "raw": _read_raw,
    "audio": _read_audio,
    "array": _read_array,
    "arrays": _read_arrays,
    "json": _read_json,
    "msgpack": _read_msgpack,
}


def _picture_shape(entry: StampRecord) -> tuple[int, ...]:
    """The shape that the stamp gives a picture."""
    shape = entry.shape
    if len(shape) not in (2, 3) or not all(1 <= side <= 65500 for side in shape):
        raise ChunkError(f"the picture's shape {list(shape)!r:.100} is damaged")
    if math.prod(shape) > LARGEST:
        raise ChunkError(f"a picture of the shape {list(shape)} is more than is read")
    return shape


def _frozen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    array.flags.writeable = False
    return array
