"""What the codecs between hosts gain and take: the ratio, and the processor time to encode and to decode a picture.

The pictures are mosaics of the demo's film at its own resolution, as a film that is blown up has no detail: `make demo`
fetches it. Without it they are made up, and the figures mean less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowmesh.codecs.codec import Codec
from flowmesh.codecs.exact import ExactCodec
from flowmesh.codecs.jpeg import JpegCodec
from flowmesh.codecs.lz4 import Lz4Codec
from flowmesh.codecs.malloc import keep_freed_memory
from flowmesh.codecs.registry import decode

from .comparison import Benchmark, Figure

Array = NDArray[Any]

FILM = Path(__file__).parents[1] / "demo-output" / "footage" / "bikes.mp4"
SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
_APART = 25  # frames between two of a mosaic's tiles: a second


def benchmarks(quick: bool) -> list[Benchmark]:
    found = []
    for size, (height, width) in SIZES.items():
        for name, (about, codec, make) in _ROWS.items():
            label = f"{size} {about}"
            found.append(
                Benchmark(
                    f"codecs-{name}-{size}",
                    label,
                    (
                        Figure("ratio", label, "×"),
                        Figure("encode", "  encode", "ms"),
                        Figure("decode", "  decode", "ms"),
                    ),
                    partial(_measure, codec, make, height, width, 3 if quick else 25),
                )
            )
    return found


def _measure(codec: Codec, make: Callable[[Array], Array], height: int, width: int, count: int) -> dict[str, float]:
    keep_freed_memory()  # as a link's process does
    array = make(_picture(height, width))
    encoded = codec.encode(array)
    target = memoryview(bytearray(array.nbytes))
    return {
        "ratio": array.nbytes / len(encoded.data),
        "encode": _milliseconds(partial(codec.encode, array), count),
        "decode": _milliseconds(partial(decode, *encoded, target), count),
    }


def _milliseconds(work: Callable[[], object], count: int) -> float:
    """The median of so many runs, after one that warms up; of processor time, which a busy machine changes less."""
    taken = []
    for _ in range(count + 1):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return 1000 * median(taken[1:])


# --- pictures --------------------------------------------------------------------------------------------------------


@cache
def _picture(height: int, width: int) -> Array:
    tiles = _film() or [_made_up(272, 640, number) for number in range(12)]
    rows, columns = -(-height // tiles[0].shape[0]), -(-width // tiles[0].shape[1])
    chosen = [tiles[place % len(tiles)] for place in range(rows * columns)]
    mosaic = np.vstack([np.hstack(chosen[row * columns : (row + 1) * columns]) for row in range(rows)])
    return np.ascontiguousarray(mosaic[:height, :width])


def _film() -> list[Array]:
    film, tiles = cv2.VideoCapture(str(FILM)), []
    while film.grab():
        if film.get(cv2.CAP_PROP_POS_FRAMES) % _APART == 0:
            tiles.append(film.retrieve()[1])
    return tiles


def _made_up(height: int, width: int, seed: int) -> Array:
    """Blobs of many sizes with a camera's noise."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for scale in (4, 16, 64):
        coarse = rng.normal(0, 12 * scale**0.5, (height // scale + 1, width // scale + 1, 3))
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (128 + picture + rng.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8)


def _grey(picture: Array) -> Array:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))


def _with_alpha(picture: Array) -> Array:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA))


def _mask(picture: Array) -> Array:
    mask: Array = np.asarray(cv2.GaussianBlur(_grey(picture), (31, 31), 0)) > 110
    return mask


def _depth(picture: Array) -> Array:
    """16 bits, smooth, with noise in the lowest two."""
    smooth: Array = np.asarray(cv2.GaussianBlur(_grey(picture), (15, 15), 0)).astype(np.uint16) * 37
    noisy: Array = smooth + np.random.default_rng(0).integers(0, 4, smooth.shape, np.uint16)
    return noisy


def _features(picture: Array) -> Array:
    """Random normal float32, as many bytes as a grey picture of 8 bits has: what a network gives."""
    features: Array = np.random.default_rng(0).normal(size=picture.shape[0] * picture.shape[1] // 4).astype("f4")
    return features


def _same(picture: Array) -> Array:
    return picture


_ROWS: dict[str, tuple[str, Codec, Callable[[Array], Array]]] = {
    "jpeg": ("BGR, jpeg", JpegCodec(), _same),
    "jpeg-444": ("BGR, jpeg-444", JpegCodec(full_colour=True), _same),
    "jpeg-95": ("BGR, jpeg, quality 95", JpegCodec(95), _same),
    "jpeg-grey": ("grey, jpeg", JpegCodec(), _grey),
    "exact": ("BGR, exact", ExactCodec(), _same),
    "exact-grey": ("grey, exact", ExactCodec(), _grey),
    "exact-alpha": ("BGRA, exact", ExactCodec(), _with_alpha),
    "exact-depth": ("depth of 16 bits, exact", ExactCodec(), _depth),
    "exact-mask": ("mask of bool, exact", ExactCodec(), _mask),
    "exact-features": ("features of float32, exact", ExactCodec(), _features),
    "lz4": ("BGR, lz4 (never chosen)", Lz4Codec(), _same),
}
