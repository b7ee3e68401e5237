"""Resize: sizes, dtypes, records; what needs no change is not touched; in a graph frames are made in shared memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.errors import ChunkError, GraphError
from flowmesh.nodes import Resize, TestPattern

from ..integration.single_host.conftest import Cluster
from ..integration.single_host.example_nodes import Collect, chain, collected
from .conftest import Alone, chunk_of

MIXABLE = ["uint8", "uint16", "int16", "float16", "float32", "float64"]
OTHERS = ["bool", "int8", "int32", "uint32", "int64", "uint64"]


def resized(value: Any, **options: Any) -> Any:
    node = Resize("small", **options)
    node._host = Alone()
    return node.step({"film": chunk_of(frame=value)}).get("frame")["value"]


def picture(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", MIXABLE + OTHERS)
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
@pytest.mark.parametrize("size", [(30, 20), (90, 70)])
def test_every_dtype_and_number_of_channels(dtype: str, channels: tuple[int, ...], size: tuple[int, int]) -> None:
    before = picture(40, 60, *channels, dtype=dtype)
    after = resized(before, size=size)
    assert after.shape == (size[1], size[0], *channels)
    assert after.dtype == before.dtype
    if dtype in OTHERS:
        assert np.isin(after, before).all()
    assert abs(float(after.mean()) - float(before.mean())) < 0.05 * float(before.mean())


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic", "area", "lanczos"])
def test_it_is_what_opencv_makes(interpolation: str) -> None:
    from flowmesh.nodes.resize import INTERPOLATIONS

    before = picture(40, 60, 3)
    expected = cv2.resize(before, (25, 17), interpolation=INTERPOLATIONS[interpolation])
    assert np.array_equal(resized(before, size=(25, 17), interpolation=interpolation), expected)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"size": (30, 20)}, (20, 30, 3)),
        ({"size": (30, None)}, (20, 30, 3)),
        ({"size": (None, 80)}, (80, 120, 3)),
        ({"scale": 0.5}, (20, 30, 3)),
        ({"scale": 2}, (80, 120, 3)),
        ({"scale": 0.001}, (1, 1, 3)),
    ],
)
def test_sizes(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    assert resized(picture(40, 60, 3), **options).shape == shape


def test_a_part_of_a_read_only_frame() -> None:
    before = picture(80, 80, 3)[10:50, 70:10:-1]
    before.flags.writeable = False
    assert np.array_equal(resized(before, scale=0.5), cv2.resize(before, (30, 20), interpolation=cv2.INTER_AREA))


def test_the_chunk_itself_goes_on_with_its_other_records() -> None:
    node, frame, heat = Resize("small", size=(30, 20)), picture(40, 60, 3), picture(20, 30)
    node._host = Alone()
    chunk = chunk_of(frame=frame, index=7, mask=heat)
    chunk.add("weights", picture(5, 5), "array")
    after = node.step({"any name": chunk})
    assert after is chunk
    assert after.get("index")["value"] == 7
    assert after.get("frame") == {"value": after.get("frame")["value"], "content-type": "image"}
    assert after.get("mask")["value"] is heat  # it had the size
    assert after.get("weights")["value"].shape == (5, 5)  # an array, not an image


def test_a_bare_array_is_taken_for_what_it_looks_like() -> None:
    node = Resize("small", scale=0.5)
    node._host = Alone()
    assert node.step({"edges": DataChunk.of(picture(40, 60))}).get("default")["value"].shape == (20, 30)


def test_lists_of_images_and_one_record_of_several() -> None:
    node = Resize("small", scale=0.5, record="crops")
    node._host = Alone()
    chunk = chunk_of(frame=picture(40, 60))
    chunk.add("crops", [picture(10, 20), picture(30, 40, 3)], "images")
    after = node.step({"it": chunk})
    assert [crop.shape for crop in after.get("crops")["value"]] == [(5, 10), (15, 20, 3)]
    assert after.get("frame")["value"].shape == (40, 60)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": (1, 2), "scale": 1.0},
        *({"size": size} for size in (5, (1,), (0, 1), (None, None), (1.5, 2), (True, 1), (40_000, 1), "ab")),
        *({"scale": scale} for scale in (0, -1, "2", True, float("inf"))),
        {"scale": 1, "interpolation": "bilinear"},
    ],
)
def test_what_can_not_be_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=r"^small: .*(size|scale|interpolation)"):
        Resize("small", **options)


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        ("no picture", {"scale": 0.5}, "what film sends holds no picture, only: frame"),
        (np.zeros(5), {"scale": 0.5, "record": "frame"}, r"'frame' is float64\[5\], no picture of H×W"),
        (
            picture(4, 4, dtype="int32"),
            {"scale": 2, "interpolation": "cubic"},
            "is int32, of which no values in between",
        ),
        (picture(40, 60), {"scale": 1000}, "32767 pixels is the limit"),
        (np.zeros((4, 4), np.longdouble), {"scale": 2}, "which can't be resized: convert it"),
    ],
)
def test_what_can_not_be_resized_is_named(value: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ChunkError, match=text):
        resized(value, **options)


def test_a_record_that_is_not_there_is_named() -> None:
    with pytest.raises(ChunkError, match="no record 'picture'"):
        resized(picture(4, 4), scale=2, record="picture")


def test_in_a_graph_every_frame_has_its_number_still(cluster: Cluster, tmp_path: Path) -> None:
    film = TestPattern("film", width=1280, height=720, frames=40)
    cluster.run(chain(film, Resize("half", scale=0.5), Collect("sink", path=tmp_path / "got")), workers=2)
    got = collected(tmp_path / "got")
    frames = [chunk.get("frame")["value"] for chunk in got]
    assert {frame.shape for frame in frames} == {(360, 640, 3)}
    # A frame of twice the width has squares of the same size: they are half as large now.
    numbers = [TestPattern.read_number(np.repeat(np.repeat(frame, 2, 0), 2, 1)) for frame in frames]
    assert numbers == [chunk.get("index")["value"] for chunk in got] == list(range(40))
