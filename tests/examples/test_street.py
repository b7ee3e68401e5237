"""The demo's nodes, one after the other in this process, on a drawn film: a square moves; a cut; another moves."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from flowmesh.chunk import DataChunk

SIDE, STEP, START, LENGTH = 60, 16, 20, 50  # pixels, pixels a frame, frames, frames


def scene(length: int, ground: int, top: int) -> list[np.ndarray]:
    frames = [np.full((272, 640, 3), ground, np.uint8) for _ in range(length)]
    for number, frame in enumerate(frames[START:]):
        frame[top : top + SIDE, STEP * number : STEP * number + SIDE] = 230
    return frames


def followed(frames: list[np.ndarray]) -> list[DataChunk]:
    import street

    nodes = [street.Segment("segment"), street.Track("track"), street.Annotate("annotate")]
    for node in nodes:
        node.setup()
    chunks = []
    for frame in frames:
        frame.flags.writeable = False  # as frames are that were received
        chunk = DataChunk({"frame": (frame, "image")})
        for before, node in zip(["film", "segment", "track"], nodes, strict=True):
            chunk = node.step({before: chunk})
        chunks.append(chunk)
    return chunks


@pytest.fixture
def film() -> list[DataChunk]:
    return followed(scene(LENGTH, ground=40, top=100) + scene(LENGTH, ground=120, top=30))


def things_in(chunks: list[DataChunk]) -> list[Any]:
    return [thing for chunk in chunks for thing in chunk.get("things")["value"]]


def test_each_square_is_found_followed_and_counted_once(film: list[DataChunk]) -> None:
    assert film[-1].get("count")["value"] == 2
    assert {thing.number for thing in things_in(film[:LENGTH])} == {1}
    assert {thing.number for thing in things_in(film[LENGTH:])} == {2}


def test_the_box_lies_on_the_front_of_the_square(film: list[DataChunk]) -> None:
    (thing,) = things_in([film[START + 15]])
    left, top, width, height = thing.box
    assert (top, height) == (100, SIDE)
    assert left + width == 15 * STEP + SIDE
    assert 2 * STEP <= width <= 2 * SIDE


def test_the_way_goes_to_the_right(film: list[DataChunk]) -> None:
    (thing,) = things_in([film[START + 15]])
    assert len(thing.trail) > 8
    assert all(after[0] > before[0] for before, after in pairwise(thing.trail))


def test_a_cut_is_noticed_and_nothing_else_is_taken_for_one(film: list[DataChunk]) -> None:
    assert [number for number, chunk in enumerate(film) if chunk.get("cut")["value"]] == [0, LENGTH]


def test_what_is_drawn_does_not_touch_the_received_frame(film: list[DataChunk]) -> None:
    frames = scene(LENGTH, ground=40, top=100)
    drawn = followed(frames)[START + 15].get("frame")["value"]
    assert (frames[START + 15] == 40).any(axis=2).sum() == 272 * 640 - SIDE * SIDE
    assert not np.array_equal(drawn, frames[START + 15])


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [((0, 0, 4, 4), (0, 0, 4, 4), 1.0), ((0, 0, 4, 4), (2, 0, 4, 4), 1 / 3), ((0, 0, 4, 4), (4, 4, 4, 4), 0.0)],
)
def test_overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int], share: float) -> None:
    import street

    assert street.overlap(a, b) == pytest.approx(share)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_node_is_given_to_one_worker_and_every_worker_has_one(count: int) -> None:
    import street

    names = ["film", "segment", "track", "annotate", "video"]
    mapping = street.shared_out(names, count)
    assert sum(mapping.values(), []) == names
    assert list(mapping) == [f"local-{number + 1}" for number in range(count)]
    assert all(mapping.values())
