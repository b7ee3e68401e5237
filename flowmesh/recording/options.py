"""How the records of a stream are written: frozen options, and what each of them takes. Nothing is encoded here.

    option    takes                                     is written as
    Jpeg      8-bit pictures, grey or BGR               foxglove.CompressedImage, "jpeg"       loses a little
    Video     8-bit pictures, grey, BGR or BGRA         foxglove.CompressedVideo, "h264"       loses a little
    Raw       pictures with an encoding that viewers    foxglove.RawImage                      exact
              know: mono8, bgr8, bgra8, mono16, 32FC1
    Exact     arrays and lists of arrays                flowmesh.Array, flowmesh.Arrays        exact
    Audio     int16 arrays of shape N or N×C            foxglove.RawAudio, "pcm-s16"           exact
    Values    any value                                 JSON, else msgpack, else a pickle      exact

A record that its option does not take is written by the default for its content type, and reported once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from ..errors import GraphError
from ..wire.values import is_raw

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")
VIEWABLE = {  # (dtype, channels): what foxglove.RawImage calls it
    ("uint8", 1): "mono8",
    ("uint8", 3): "bgr8",
    ("uint8", 4): "bgra8",
    ("uint16", 1): "mono16",
    ("float32", 1): "32FC1",
}


def _check_integer(option: str, name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise GraphError(f"{option}: {name} must be an integer from {least} to {most}, got {value!r}")


class Jpeg(msgspec.Struct, frozen=True, tag="jpeg"):
    """Pictures as JPEG, 4:2:0. `quality`: 1 to 100.

    Raises:
        GraphError: the quality is out of range.
    """

    quality: int = 90

    def __post_init__(self) -> None:
        _check_integer("Jpeg", "quality", self.quality, 1, 100)

    def takes(self, value: Any) -> bool:
        """Whether the value is an 8-bit picture, grey or BGR, of at most 65,500 pixels a side."""
        return _is_picture(value, np.uint8, (1, 3)) and max(value.shape) <= 65500


class Video(msgspec.Struct, frozen=True, tag="video"):
    """Pictures as H.264: one packet for each picture, no B frames, no delay.

    An odd width or height is padded by one pixel; the padding is cut off again when the picture is read.

    Args:
        crf: constant rate factor of x264: 0 loses nothing but colour resolution, each 6 more halve the size, 51 is worst.
        preset: one of x264's, "ultrafast" to "medium".
        key: seconds between two key frames; also the most that a damaged packet costs.

    Raises:
        GraphError: a value is out of range.
    """

    crf: int = 23
    preset: str = "ultrafast"
    key: float = 1.0

    def __post_init__(self) -> None:
        _check_integer("Video", "crf", self.crf, 0, 51)
        if self.preset not in PRESETS:
            raise GraphError(f"Video: preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        if not isinstance(self.key, int | float) or isinstance(self.key, bool) or not 0 < self.key <= 60:
            raise GraphError(f"Video: key must be a number of seconds above 0, up to 60, got {self.key!r}")

    def takes(self, value: Any) -> bool:
        """Whether the value is an 8-bit picture, of 16 to 16,384 pixels a side."""
        return _is_picture(value, np.uint8, (1, 3, 4)) and min(value.shape[:2]) >= 16 and max(value.shape) <= 16384


class Raw(msgspec.Struct, frozen=True, tag="raw"):
    """Pictures as they are, in an encoding that viewers know: large files, no CPU."""

    def takes(self, value: Any) -> bool:
        """Whether the value is a picture that `foxglove.RawImage` has an encoding for."""
        return type(value) is np.ndarray and encoding_of(value) is not None


class Exact(msgspec.Struct, frozen=True, tag="exact"):
    """Arrays bit for bit, shortened where that is possible (Zstandard on sorted bytes, by Blosc2)."""

    def takes(self, value: Any) -> bool:
        """Whether the value is an array of plain elements, or a list of such arrays."""
        values = value if type(value) in (list, tuple) and value else [value]
        return all(type(item) is np.ndarray and is_raw(item.dtype) for item in values)


class Audio(msgspec.Struct, frozen=True, tag="audio"):
    """Sound: int16 arrays of shape N (mono) or N×C. `rate`: samples a second.

    Raises:
        GraphError: the rate is out of range.
    """

    rate: int

    def __post_init__(self) -> None:
        _check_integer("Audio", "rate", self.rate, 1, 10_000_000)

    def takes(self, value: Any) -> bool:
        """Whether the value is an int16 array of shape N or N×C, with 1 to 64 channels."""
        if type(value) is not np.ndarray or value.dtype != np.int16:
            return False
        return value.ndim == 1 or (value.ndim == 2 and 1 <= value.shape[1] <= 64)


class Values(msgspec.Struct, frozen=True, tag="values"):
    """Any value: JSON where that gives back the same value, else msgpack, else a pickle.

    A pickle is read again only with `trust=True`, because reading one may run any code.
    """

    def takes(self, value: Any) -> bool:
        """Always."""
        return True


Option = Jpeg | Video | Raw | Exact | Audio | Values
OPTIONS = (Jpeg, Video, Raw, Exact, Audio, Values)


_JPEG, _EXACT, _VALUES = Jpeg(), Exact(), Values()


def default_option(value: Any, content_type: str) -> Option:
    """The option for a record that none was given for."""
    if type(value) is not np.ndarray and type(value) is not list:  # as most values: it runs for each chunk
        return _VALUES
    if content_type == "image" and _JPEG.takes(value):
        return _JPEG
    return _EXACT if _is_arrays(value, content_type) else _VALUES


def encoding_of(picture: np.ndarray[Any, Any]) -> str | None:
    """What `foxglove.RawImage` calls the picture's encoding; None if it has no name for it."""
    if picture.ndim not in (2, 3) or 0 in picture.shape or not picture.dtype.isnative:
        return None
    return VIEWABLE.get((picture.dtype.name, picture.shape[2] if picture.ndim == 3 else 1))


def check_options(options: object) -> dict[str, Option]:
    """The options by "NODE/RECORD", or "NODE" for all records of a node.

    Raises:
        GraphError: it is no such mapping.
    """
    if not isinstance(options, Mapping):
        raise GraphError(f"how must be a mapping such as {{'camera/frame': Video()}}, got {options!r}")
    for place, option in options.items():
        if not isinstance(place, str) or not place:
            raise GraphError(f"how: a key must be 'NODE/RECORD' or 'NODE', got {place!r}")
        if not isinstance(option, OPTIONS):
            names = ", ".join(kind.__name__ for kind in OPTIONS)
            raise GraphError(f"how[{place!r}] must be one of {names}, got {option!r}")
    return dict(options)


def _is_arrays(value: Any, content_type: str) -> bool:
    if content_type in ("text", "bytes") or (type(value) is list and not value):
        return False
    return _EXACT.takes(value)


def _is_picture(value: Any, dtype: Any, channels: tuple[int, ...]) -> bool:
    if type(value) is not np.ndarray or value.dtype != dtype or value.ndim not in (2, 3) or 0 in value.shape:
        return False
    return value.ndim == 2 or value.shape[2] in channels
