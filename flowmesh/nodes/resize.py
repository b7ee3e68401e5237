"""Resize: pictures of another size. The other records of a chunk are forwarded unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from ..chunk import DataChunk
from ..errors import ChunkError, GraphError
from ..node import is_number
from .base import ItemNode, is_whole, only
from .images import is_picture, pictures

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
_MIXABLE = ("uint8", "uint16", "int16", "float32", "float64")  # dtypes of which OpenCV makes values in between
LARGEST = 32_767  # pixels a side: what OpenCV takes


class Resize(ItemNode):
    """A step that gives pictures another size: uint8, 16 bit, float, bool or any other numeric dtype; grey, BGR or BGRA.

    The chunk goes on with its other records as they came; a picture that has the size already is not copied. Of label
    maps and masks (bool, and whole numbers of 8 bits with sign, 32 or 64) the nearest value is taken, unless an
    interpolation is given.

    >>> small = Resize("small", size=(640, 360))
    >>> half = Resize("half", scale=0.5)

    Args:
        name: the node's name.
        size: (width, height) in pixels; with None for one of them the proportions stay.
        scale: instead of a size, how many times as wide and high.
        interpolation: "nearest" | "linear" | "cubic" | "area" | "lanczos"; "auto" is "area" for a smaller and "linear" for
            a larger picture.
        record: the name of the record to resize; None resizes all of content type "image" or "images", or where there is
            none, all that are pictures by their shape (H×W, H×W×1, H×W×3, H×W×4).
        options: options of Node: `on_error`, ...

    Raises:
        GraphError: a value that can't be.
        ChunkError: in `step`: the chunk has no picture, or the interpolation can't be used with its dtype.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        size: tuple[int | None, int | None] | None = None,
        scale: float | None = None,
        interpolation: str = "auto",
        record: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        if (size is None) == (scale is None):
            raise GraphError(f"{self.name}: give either size=(width, height) or scale=")
        if size is not None and not _is_size(size):
            raise GraphError(f"{self.name}: size is (width, height) in pixels, one of them may be None, not {size!r}")
        if scale is not None and (not is_number(scale) or not 0 < scale < float("inf")):
            raise GraphError(f"{self.name}: scale is a number above 0, not {scale!r}")
        if interpolation != "auto" and interpolation not in INTERPOLATIONS:
            names = ", ".join(map(repr, ["auto", *INTERPOLATIONS]))
            raise GraphError(f"{self.name}: interpolation is one of {names}, not {interpolation!r}")
        self.size, self.scale, self.interpolation, self.record = size, scale, interpolation, record

    def step(self, data: Mapping[str, DataChunk]) -> DataChunk:
        sender, chunk = only(data)
        for record in self._records(sender, chunk):
            value = chunk.get(record)["value"]
            resized = self._resized(record, value)
            if resized is not value:
                chunk.update(record, resized)
        return chunk

    def _records(self, sender: str, chunk: DataChunk) -> list[str]:
        if self.record is not None:
            return [self.record]
        found = [name for name, _, content_type in chunk.records() if content_type in ("image", "images")]
        found = found or [name for name, _ in pictures(chunk)]
        if not found:
            there = ", ".join(chunk) or "nothing"
            raise ChunkError(f"{self.name}: what {sender} sends holds no picture, only: {there}")
        return found

    def _resized(self, record: str, value: object) -> Any:
        if isinstance(value, list | tuple):
            resized = [self._resized(record, picture) for picture in value]
            return resized if any(new is not old for new, old in zip(resized, value, strict=True)) else value
        if not is_picture(value):
            what = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
            raise ChunkError(f"{self.name}: {record!r} is {what}, no picture of H×W, H×W×1, H×W×3 or H×W×4")
        width, height = self._target(value.shape[1], value.shape[0])
        if (height, width) == value.shape[:2]:
            return value
        return self._make(record, value, width, height)

    def _target(self, width: int, height: int) -> tuple[int, int]:
        """The size for a picture of that size."""
        if self.scale is not None:
            target = (round(width * self.scale), round(height * self.scale))
        else:
            wide, high = self.size or (None, None)
            target = (wide or round(width * (high or 0) / height), high or round(height * (wide or 0) / width))
        if max(target) > LARGEST:
            raise ChunkError(
                f"{self.name}: {width}×{height} would become {target[0]}×{target[1]}: {LARGEST} pixels is the limit"
            )
        return max(1, target[0]), max(1, target[1])

    def _make(self, record: str, picture: np.ndarray, width: int, height: int) -> np.ndarray:
        made = self.allocate((height, width, *picture.shape[2:]), picture.dtype)
        how = self._how(record, picture, width * height < picture.shape[0] * picture.shape[1])
        if picture.dtype == np.float16 and how != cv2.INTER_NEAREST:
            made[...] = cv2.resize(picture.astype(np.float32), (width, height), interpolation=how).reshape(made.shape)
            return made
        source, target = _plain(picture), _plain(made)
        resized = cv2.resize(source, (width, height), dst=target, interpolation=how)
        if not np.shares_memory(resized, made):
            target[...] = resized.reshape(target.shape)
        return made

    def _how(self, record: str, picture: np.ndarray, smaller: bool) -> int:
        mixable = picture.dtype in _MIXABLE or picture.dtype == np.float16
        if picture.dtype.itemsize not in _AS:
            raise ChunkError(f"{self.name}: {record!r} is {picture.dtype}, which can't be resized: convert it before")
        if self.interpolation == "auto":
            return (cv2.INTER_AREA if smaller else cv2.INTER_LINEAR) if mixable else cv2.INTER_NEAREST
        if not mixable and self.interpolation != "nearest":
            raise ChunkError(
                f"{self.name}: {record!r} is {picture.dtype}, of which no values in between are made: leave "
                f"interpolation={self.interpolation!r} out, or convert it before to one of {', '.join(_MIXABLE)}"
            )
        return INTERPOLATIONS[self.interpolation]


_AS = {1: np.uint8, 2: np.uint16, 4: np.float32, 8: np.float64}


def _plain(array: np.ndarray) -> np.ndarray:
    """The same memory as a dtype that OpenCV knows; for those of which it only copies values."""
    return array if array.dtype in _MIXABLE else array.view(_AS[array.dtype.itemsize])


def _is_size(size: object) -> bool:
    if not isinstance(size, tuple | list) or len(size) != 2 or size[0] is size[1] is None:
        return False
    return all(side is None or (is_whole(side, 1) and side <= LARGEST) for side in size)
