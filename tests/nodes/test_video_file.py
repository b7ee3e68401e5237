"""VideoFile: count, content, end, loop and pace; and what it says of a file that it can't read."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.errors import EndOfStream, FlowmeshError
from flowmesh.node import registered_methods
from flowmesh.nodes import VideoFile

from .conftest import FPS, FRAMES


def read_to_the_end(node: VideoFile) -> list[DataChunk]:
    chunks = []
    node.setup()
    try:
        while True:
            chunks.append(node.step())
    except EndOfStream:
        return chunks
    finally:
        node.teardown()


def test_every_frame_comes_once_and_in_order(film: Path) -> None:
    chunks = read_to_the_end(VideoFile("film", film))
    assert [chunk.get("index")["value"] for chunk in chunks] == list(range(FRAMES))
    for number, chunk in enumerate(chunks):
        frame = chunk.get("frame")
        assert frame["content-type"] == "image"
        assert frame["value"].shape == (48, 64, 3)
        assert abs(float(frame["value"].mean()) - 10 * number) < 4


def test_frames_do_not_share_memory(film: Path) -> None:
    chunks = read_to_the_end(VideoFile("film", film))
    assert not np.shares_memory(chunks[0].get("frame")["value"], chunks[1].get("frame")["value"])


def test_the_end_stays_the_end(film: Path) -> None:
    node = VideoFile("film", film)
    read_to_the_end(node)
    with pytest.raises(EndOfStream):
        node.step()


def test_info_says_what_the_file_says(film: Path) -> None:
    node = VideoFile("film", str(film))
    node.setup()
    assert node.info() == {"width": 64, "height": 48, "fps": FPS, "frames": FRAMES}
    assert node.frames == FRAMES
    assert registered_methods(node) == ("info",)
    node.teardown()


def test_a_loop_begins_again_and_counts_on(film: Path) -> None:
    node = VideoFile("film", film, loop=True)
    node.setup()
    chunks = [node.step() for _ in range(2 * FRAMES + 1)]
    node.teardown()
    assert [chunk.get("index")["value"] for chunk in chunks] == list(range(2 * FRAMES + 1))
    for again in (chunks[FRAMES], chunks[2 * FRAMES]):
        assert np.array_equal(again.get("frame")["value"], chunks[0].get("frame")["value"])


def test_realtime_takes_the_pace_of_the_file(film: Path) -> None:
    node = VideoFile("film", film, realtime=True)
    assert node.rate is None
    node.setup()
    assert node.rate == FPS
    node.teardown()


def test_without_realtime_the_rate_stays_as_given(film: Path) -> None:
    node = VideoFile("film", film, rate=7.0)
    node.setup()
    assert node.rate == 7.0
    node.teardown()


def test_a_missing_file_is_named() -> None:
    node = VideoFile("film", "/nowhere/at/all.mp4")
    with pytest.raises(FlowmeshError, match=r"film: there is no video file /nowhere/at/all\.mp4"):
        node.setup()
    node.teardown()


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("not a film\n" * 100)
    with pytest.raises(FlowmeshError, match=r"text\.mp4 can't be read as a video"):
        VideoFile("film", path).setup()


def test_a_file_that_is_cut_short_ends_with_a_warning(
    film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = film.read_bytes()
    index = whole.rindex(b"moov") - 4  # the index comes last: put first, it outlives the cut
    path = tmp_path / "short.mp4"
    path.write_bytes(_with_index_first(whole, index)[: -index // 2])
    node = VideoFile("film", path)
    with caplog.at_level(logging.WARNING, logger=node.logger.name):
        chunks = read_to_the_end(node)
    assert 0 < len(chunks) < FRAMES
    assert f"ended after {len(chunks)} of {FRAMES} frames" in caplog.text


def test_it_can_be_shipped_before_setup(film: Path) -> None:
    node = pickle.loads(pickle.dumps(VideoFile("film", film)))
    assert len(read_to_the_end(node)) == FRAMES


def _with_index_first(whole: bytes, index: int) -> bytes:
    """The same MP4 with its `moov` box behind `ftyp`, and the places of the frames in it moved along."""
    boxes, start = whole[:index], int.from_bytes(whole[:4], "big")
    moov = bytearray(whole[index:])
    table = moov.index(b"stco") + 8  # behind the type, and version and flags
    for entry in range(int.from_bytes(moov[table : table + 4], "big")):
        place = slice(table + 4 + 4 * entry, table + 8 + 4 * entry)
        moov[place] = (int.from_bytes(moov[place], "big") + len(moov)).to_bytes(4, "big")
    return boxes[:start] + bytes(moov) + boxes[start:]
