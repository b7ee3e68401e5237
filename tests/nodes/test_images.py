"""pictures: which values are pictures, and what the eye gets of each kind."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from flowmesh.errors import ChunkError
from flowmesh.nodes.images import is_picture, pictures, to_8_bit, to_jpeg

from .conftest import chunk_of


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64, np.float16, np.bool_])
def test_any_numeric_dtype_of_these_shapes_is_a_picture_and_becomes_a_jpeg(shape: tuple[int, ...], dtype: Any) -> None:
    picture = np.zeros(shape, dtype)
    picture[:2] = 1
    assert is_picture(picture)
    decoded = cv2.imdecode(np.frombuffer(to_jpeg(picture, 80), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.shape == ((4, 6) if shape[2:] in ((), (1,)) else (4, 6, 3))


@pytest.mark.parametrize(
    "value",
    [np.zeros(5), np.zeros((4, 6, 2)), np.zeros((0, 6)), np.zeros((4, 6), "c8"), np.zeros((2, 2), object), 1, None],
)
def test_what_is_none(value: Any) -> None:
    assert not is_picture(value)


def test_uint8_stays_as_it_is_and_alpha_goes() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (4, 6, 4), np.uint8)
    assert np.array_equal(to_8_bit(picture), picture[:, :, :3])
    assert np.shares_memory(to_8_bit(picture), picture)


@pytest.mark.parametrize("values", [[[0, 500, 1000]], [[-3.0, 0.0, 3.0]], [[np.nan, -1.0, 1.0]], [[-np.inf, 0.0, 2.0]]])
def test_the_rest_is_stretched_from_the_smallest_to_the_largest(values: Any) -> None:
    seen = to_8_bit(np.array(values))
    assert seen.dtype == np.uint8
    assert seen.min() == 0
    assert seen.max() == 255


@pytest.mark.parametrize("value", [7.0, np.nan, np.inf])
def test_one_value_everywhere_is_black(value: float) -> None:
    assert not to_8_bit(np.full((3, 3), value)).any()


def test_records_of_a_chunk_that_are_pictures_whatever_their_type() -> None:
    chunk = chunk_of(frame=np.zeros((4, 6), np.uint8), n=1)
    chunk.add("heat", np.zeros((3, 3), np.float32), "array")
    assert [name for name, _ in pictures(chunk)] == ["frame", "heat"]


def test_a_picture_that_is_too_large_for_jpeg_says_so() -> None:
    with pytest.raises(ChunkError, match="too large for JPEG"):
        to_jpeg(np.zeros((1, 70_000), np.uint8), 80)
