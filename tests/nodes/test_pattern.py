"""TestPattern: the number can be read back, also after compression; frames are repeatable and move."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.errors import ChunkError, EndOfStream, GraphError
from flowmesh.nodes import TestPattern


def started(**options: object) -> TestPattern:
    node = TestPattern("pattern", **options)  # type: ignore[arg-type]
    node.setup()
    return node


def frame_of(chunk: DataChunk) -> np.ndarray:
    frame: np.ndarray = chunk.get("frame")["value"]
    return frame


def test_a_chunk_holds_the_frame_and_its_index() -> None:
    chunk = started(width=320, height=240).step()
    assert chunk.get("frame")["content-type"] == "image"
    assert frame_of(chunk).shape == (240, 320, 3)
    assert frame_of(chunk).dtype == np.uint8
    assert chunk.get("index")["value"] == 0


def test_it_ends_after_its_frames() -> None:
    node = started(width=128, height=128, frames=3)
    assert [node.step().get("index")["value"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(EndOfStream):
        node.step()


def test_setup_begins_anew() -> None:
    node = started(width=128, height=128)
    first = node.step()
    node.setup()
    assert node.step() == first


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 360), (321, 243), (128, 128)])
def test_the_number_reads_back_after_jpeg_of_quality_50(width: int, height: int) -> None:
    node = started(width=width, height=height)
    for number in range(12):
        _, jpeg = cv2.imencode(".jpg", frame_of(node.step()), [cv2.IMWRITE_JPEG_QUALITY, 50])
        for mode in (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE):
            decoded = cv2.imdecode(jpeg, mode)
            assert decoded is not None
            assert TestPattern.read_number(decoded) == number


@pytest.mark.parametrize("number", [255, 65_537, 8_675_309, (1 << 24) - 1, 1 << 24])
def test_large_numbers_read_back_modulo_2_to_the_24(number: int) -> None:
    node = started(width=320, height=240)
    node._index = number
    chunk = node.step()
    assert chunk.get("index")["value"] == number
    assert TestPattern.read_number(frame_of(chunk)) == number % (1 << 24)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_frame_without_a_number_reads_as_none(value: int) -> None:
    with pytest.raises(ChunkError, match="checksum"):
        TestPattern.read_number(np.full((240, 320, 3), value, np.uint8))


@pytest.mark.parametrize("bit", range(32))
def test_a_single_misread_square_is_noticed(bit: int) -> None:
    frame = frame_of(started(width=512, height=128).step())
    square = frame[:16, 16 * bit : 16 * (bit + 1)]
    square[:] = 255 - square
    with pytest.raises(ChunkError, match="checksum"):
        TestPattern.read_number(frame)


def test_a_frame_that_is_too_small_to_hold_a_number_says_so() -> None:
    with pytest.raises(ChunkError, match="128×128"):
        TestPattern.read_number(np.zeros((64, 64, 3), np.uint8))


def test_a_seed_gives_the_same_film_and_another_seed_another() -> None:
    films = [[frame_of(node.step()) for _ in range(3)] for node in (started(seed=1), started(seed=1), started(seed=2))]
    assert all(np.array_equal(a, b) for a, b in zip(films[0], films[1], strict=True))
    assert not np.array_equal(films[0][0], films[2][0])


def test_it_moves_and_no_frame_shares_memory_with_the_next() -> None:
    node = started(width=320, height=240)
    first, second = frame_of(node.step()), frame_of(node.step())
    assert not np.shares_memory(first, second)
    assert np.array_equal(first[200:, 4:], second[200:, :-4])


def test_the_pattern_moves_on_over_the_edge_of_the_background() -> None:
    node = started(width=128, height=128)
    frames = [frame_of(node.step()) for _ in range(33)]
    assert np.array_equal(frames[0][110:], frames[32][110:])  # 32 * 4 pixels: once around


def test_options_of_a_node_are_taken() -> None:
    node = TestPattern("pattern", rate=30, live=True)
    assert (node.rate, node.live) == (30, True)


@pytest.mark.parametrize("wrong", [{"width": 64}, {"height": 64}, {"frames": -1}, {"rate": 0}])
def test_what_can_not_be_is_refused_at_once(wrong: dict[str, int]) -> None:
    with pytest.raises(GraphError):
        TestPattern("pattern", **wrong)


def test_with_a_rate_each_frame_has_its_time() -> None:
    node = TestPattern("pattern", width=128, height=128, rate=4)
    node.setup()
    assert [node.step().get("media_time")["value"] for _ in range(3)] == [0, 0.25, 0.5]


def test_without_a_rate_it_has_none() -> None:
    node = TestPattern("pattern", width=128, height=128)
    node.setup()
    assert "media_time" not in node.step()
