"""Pictures in a chunk's records, and conversion of any numeric kind to a visible picture. No node here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

import cv2
import numpy as np

from ..chunk import DataChunk
from ..errors import ChunkError


def is_picture(value: object) -> TypeGuard[np.ndarray]:
    """Whether it is an array that can be looked at: numeric, H×W, H×W×1, H×W×3 or H×W×4, not empty."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "buif" or not value.size:
        return False
    return value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))


def pictures(chunk: DataChunk) -> Iterator[tuple[str, np.ndarray]]:
    """The chunk's records that are pictures, whatever their content type, as (name, array), in their order."""
    for name, value, _ in chunk.records():
        if is_picture(value):
            yield name, value


def to_8_bit(picture: np.ndarray) -> np.ndarray:
    """The picture as uint8, grey (H×W) or BGR. What is not uint8 is stretched from its smallest to its largest value."""
    if picture.dtype != np.uint8:
        picture = _stretched(picture)
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[:, :, 0]
    return picture[:, :, :3] if picture.ndim == 3 else picture


def to_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """The picture as JPEG of that quality (1 … 100); alpha is left away.

    Raises:
        ChunkError: it is larger than JPEG allows: 65,500 pixels a side.
    """
    if max(picture.shape[:2]) > 65_500:
        raise ChunkError(f"a picture of {picture.shape[1]}×{picture.shape[0]} is too large for JPEG: resize it before")
    made, jpeg = cv2.imencode(".jpg", to_8_bit(picture), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not made:
        raise ChunkError(f"no JPEG can be made of {picture.dtype}{list(picture.shape)}")
    return jpeg.tobytes()


def _stretched(picture: np.ndarray) -> np.ndarray:
    """What is no number becomes black, as all does where there is only one value; infinite is the smallest or largest."""
    with np.errstate(all="ignore"):
        values = picture.astype(np.float32)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if not high > low:
            return np.zeros(picture.shape, np.uint8)
        scaled = np.clip((values - low) * (255.0 / (high - low)), 0, 255)
        eight: np.ndarray = np.nan_to_num(scaled, nan=0.0).astype(np.uint8)
        return eight
