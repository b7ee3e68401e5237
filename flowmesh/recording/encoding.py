"""Records as the messages of a file. Any number of threads may encode at once, but one stream's H.264 only in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from ..codecs.codec import flat
from ..codecs.exact import ExactCodec
from ..codecs.raw import RawCodec
from ..errors import ChunkError
from ..wire import pickled
from ..wire.plain import plain
from .options import VIEWABLE, Audio, Exact, Jpeg, Option, Raw, Values, Video, default_option, encoding_of
from .schemas import StampRecord, build_message

if TYPE_CHECKING:
    from .h264 import PictureEncoder

LARGEST = 1 << 30  # bytes of one value that is read
_JPEG_PIXELS = 256  # the most that a byte of a JPEG holds: two bits for each block of 8×8, at 4:2:0
_SAFE_INT = 1 << 53  # JSON's numbers are exact up to here, wherever they are read
_DTYPES = {encoding: kind for kind, encoding in VIEWABLE.items()}
_exact, _raw = ExactCodec(), RawCodec()
_to_json = msgspec.json.Encoder().encode
_to_msgpack = msgspec.msgpack.Encoder().encode


class EncodedRecord(NamedTuple):
    """A record that is ready to be written.

    Attributes:
        entry: what the stamp says of it.
        data: the message.
        fallback: whether its option did not take it.
    """

    entry: StampRecord
    data: bytes
    fallback: bool = False


class RecordEncoder:
    """Encodes the records of one topic.

    Args:
        option: None: what is usual for its content type.
    """

    def __init__(self, node: str, record: str, option: Option | None) -> None:
        self._node, self._record, self._option = node, record, option
        self._video: PictureEncoder | None = None

    @property
    def is_video(self) -> bool:
        """Whether chunks must be encoded in order, one at a time."""
        return isinstance(self._option, Video)

    def encode(self, value: Any, content_type: str, time_ns: int, new_key: bool = False) -> EncodedRecord:
        """The message of a value. `new_key`: H.264 begins anew with a key frame.

        Raises:
            ChunkError: it can't be encoded.
        """
        option = self._option
        fallback = option is not None and not option.takes(value)
        if option is None or fallback:
            option = default_option(value, content_type)
        entry = StampRecord(self._record, content_type, "")
        if isinstance(option, Video):
            data = self._encode_video(option, value, time_ns, new_key, entry)
        else:
            data = _WRITERS[type(option)](option, self._node, value, time_ns, entry)
        return EncodedRecord(entry, data, fallback)

    def _encode_video(self, option: Video, value: Any, time_ns: int, new_key: bool, entry: StampRecord) -> bytes:
        if self._video is None:
            from .h264 import PictureEncoder  # it takes cv2 and PyAV

            self._video = PictureEncoder(option.crf, option.preset, option.key)
        packet, since_key = self._video.encode(value, time_ns, new_key)
        entry.form, entry.shape, entry.since_key = "h264", value.shape, since_key
        return build_message("foxglove.CompressedVideo", time_ns, packet, frame_id=self._node, format="h264")


Writer = Callable[[Any, str, Any, int, StampRecord], bytes]


def _write_jpeg(option: Jpeg, node: str, value: Any, time_ns: int, entry: StampRecord) -> bytes:
    import simplejpeg

    entry.form, entry.shape = "jpeg", value.shape
    height, width, channels = (*value.shape, 1)[:3]
    picture = np.ascontiguousarray(value).reshape(height, width, channels)
    colours = "GRAY" if channels == 1 else "BGR"
    try:
        data = simplejpeg.encode_jpeg(picture, option.quality, colours, "420")
    except ValueError as error:
        raise ChunkError(f"a picture can't be encoded as JPEG: {error}") from error
    return build_message("foxglove.CompressedImage", time_ns, data, frame_id=node, format="jpeg")


def _write_raw(option: Raw, node: str, value: Any, time_ns: int, entry: StampRecord) -> bytes:
    entry.form, entry.shape = "raw", value.shape
    picture = np.ascontiguousarray(value)
    return build_message(
        "foxglove.RawImage", time_ns, flat(picture), frame_id=node, height=value.shape[0], width=value.shape[1],
        encoding=encoding_of(value), step=picture.nbytes // value.shape[0],
    )  # fmt: skip


def _write_audio(option: Audio, node: str, value: Any, time_ns: int, entry: StampRecord) -> bytes:
    entry.form, entry.shape = "audio", value.shape
    samples = np.ascontiguousarray(value, "<i2")
    channels = value.shape[1] if value.ndim == 2 else 1
    return build_message(
        "foxglove.RawAudio", time_ns, flat(samples), format="pcm-s16", sample_rate=option.rate,
        number_of_channels=channels,
    )  # fmt: skip


def _write_arrays(option: Exact, node: str, value: Any, time_ns: int, entry: StampRecord) -> bytes:
    if type(value) is np.ndarray:
        entry.form = "array"
        fields, data = _array_fields(value)
        return build_message("flowmesh.Array", time_ns, data, **fields)
    entry.form = "arrays"
    arrays = [{**fields, "data": bytes(data)} for fields, data in map(_array_fields, value)]
    return build_message("flowmesh.Arrays", time_ns, arrays=arrays)


def _array_fields(array: np.ndarray[Any, Any]) -> tuple[dict[str, Any], bytes | memoryview]:
    codec = _exact if _exact.refusal(array) is None else _raw
    encoded = codec.encode(array)
    fields = {
        "dtype": array.dtype.str,
        "shape": array.shape,
        "order": int(array.flags.fnc),
        "codec": encoded.codec,
        "parameters": encoded.parameters,
    }
    return fields, encoded.data


def _write_value(option: Values, node: str, value: Any, time_ns: int, entry: StampRecord) -> bytes:
    if is_json(value):
        entry.form = "json"
        return _to_json({"value": value})
    if plain(value):
        entry.form = "msgpack"
        return _to_msgpack({"value": value})
    entry.form = "pickle"
    stream, buffers = pickled.dump(entry.name, value)
    return _to_msgpack({"pickle": stream, "buffers": [bytes(buffer) for buffer in buffers]})


_WRITERS: dict[type, Writer] = {
    Jpeg: _write_jpeg, Raw: _write_raw, Audio: _write_audio, Exact: _write_arrays, Values: _write_value
}  # fmt: skip


def is_json(value: Any) -> bool:
    """Whether JSON gives back the very same value, wherever it is read."""
    return plain(value) and _is_json(value)


def _is_json(value: Any) -> bool:
    kind: type = type(value)
    if kind is dict:
        return all(map(_is_json, value.values()))
    if kind is list:
        return all(map(_is_json, value))
    if kind is int:
        return bool(-_SAFE_INT < value < _SAFE_INT)
    return kind is not bytes and (kind is not float or math.isfinite(value))
