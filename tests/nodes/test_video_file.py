"""VideoFile: count, content, end, loop and pace; and what it says of a file that it can't read."""

from __future__ import annotations

import logging
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import flowmesh as fm
from flowmesh.chunk import DataChunk
from flowmesh.errors import EndOfStream, FlowmeshError
from flowmesh.node import registered_methods
from flowmesh.nodes import VideoFile

from . import films
from .conftest import FPS, FRAMES

UNEVEN = [0, 0.033, 0.066, 0.1, 0.6, 0.7, 1.5, 1.517, 1.533]


class Keep(fm.Node):
    """Writes down when each chunk was made."""

    path: Path

    def setup(self) -> None:
        self.times: list[float] = []

    def step(self, data: dict[str, DataChunk]) -> None:
        self.times.append(data["film"].times.created)

    def teardown(self) -> None:
        self.path.write_text("\n".join(map(str, self.times)))


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


def records(chunks: list[DataChunk], name: str) -> list[Any]:
    return [chunk.get(name)["value"] for chunk in chunks]


@pytest.fixture(scope="session")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of variable frame rate; its frames are shown at UNEVEN."""
    path = tmp_path_factory.mktemp("film") / "uneven.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for at in UNEVEN:
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


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
    info = node.info()
    node.teardown()
    says = {"width": 64, "height": 48, "fps": FPS, "frames": FRAMES, "codec": "mpeg4", "damaged": 0}
    assert info == says | {"time_base": Fraction(1, 12800)}
    assert node.frames == FRAMES
    assert registered_methods(node) == ("info",)


def test_each_chunk_has_its_time_in_the_film(film: Path) -> None:
    chunks = read_to_the_end(VideoFile("film", film))
    assert records(chunks, "media_time") == pytest.approx([number / FPS for number in range(FRAMES)])
    assert records(chunks, "pts") == [number * 512 for number in range(FRAMES)]


def test_a_loop_begins_again_and_counts_on(film: Path) -> None:
    node = VideoFile("film", film, loop=True)
    node.setup()
    chunks = [node.step() for _ in range(2 * FRAMES + 1)]
    node.teardown()
    assert [chunk.get("index")["value"] for chunk in chunks] == list(range(2 * FRAMES + 1))
    assert records(chunks, "media_time") == pytest.approx([number / FPS for number in range(2 * FRAMES + 1)])
    for again in (chunks[FRAMES], chunks[2 * FRAMES]):
        assert np.array_equal(again.get("frame")["value"], chunks[0].get("frame")["value"])


def test_realtime_takes_the_pace_of_the_file(film: Path) -> None:
    node = VideoFile("film", film, realtime=True)
    assert node.rate is None
    node.setup()
    assert node.rate == FPS
    node.teardown()


def test_realtime_sets_the_rate_for_each_step_by_the_times_of_the_frames(uneven: Path) -> None:
    node = VideoFile("film", uneven, realtime=True)
    node.setup()
    due, times = 0.0, []
    try:
        while True:
            at, due = due, due + 1 / node.rate  # as the runtime does before each step
            node.step()
            times.append(at)
    except EndOfStream:
        node.teardown()
    assert times == pytest.approx(UNEVEN, abs=1e-5)


def test_realtime_in_a_graph_plays_each_frame_at_its_time(uneven: Path, tmp_path: Path) -> None:
    graph = fm.Graph()
    graph.add_edge(VideoFile("film", uneven, realtime=True), Keep("keep", path=tmp_path / "times"))
    fm.run(graph)
    made = [float(line) for line in (tmp_path / "times").read_text().split()]
    assert [at - made[0] for at in made] == pytest.approx(UNEVEN, abs=0.2)


def test_a_film_of_variable_rate_is_not_taken_for_damaged(uneven: Path, caplog: pytest.LogCaptureFixture) -> None:
    chunks = read_to_the_end(VideoFile("film", uneven))
    assert records(chunks, "media_time") == pytest.approx(UNEVEN)
    assert caplog.text == ""


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


def test_damage_is_told_once_with_its_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = films.damaged(films.h264(tmp_path / "whole.ts"), tmp_path / "damaged.ts", 0.5)
    node = VideoFile("film", path, loop=True)
    node.setup()
    for _ in range(3 * films.COUNT):
        node.step()
    node.teardown()
    assert len(caplog.messages) == 1
    assert "damaged.ts: damaged packets passed over: " in caplog.text
    assert node.info()["damaged"] >= 3  # of three rounds


def test_a_turned_film_says_its_size_as_it_is_shown(tmp_path: Path) -> None:
    path = films.turned(films.h264(tmp_path / "a.mp4"), tmp_path / "b.mp4", "-display_rotation", "90")
    node = VideoFile("film", path)
    node.setup()
    assert (node.info()["width"], node.info()["height"]) == (128, 160)
    assert node.step().get("frame")["value"].shape == (160, 128, 3)
    node.teardown()


def test_that_the_first_of_several_streams_is_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = films.h264(tmp_path / "one.mp4")
    films.ffmpeg("-i", one, "-i", one, "-map", "0", "-map", "1", "-c", "copy", tmp_path / "two.mp4")
    read_to_the_end(VideoFile("film", tmp_path / "two.mp4"))
    assert "two.mp4 holds 2 video streams: the first is read" in caplog.text


def test_a_film_without_frames_ends_at_once_and_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = films.make(tmp_path / "none.avi", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-frames:v", "0")
    for loop in (False, True):
        assert read_to_the_end(VideoFile("film", path, loop=loop)) == []
    assert caplog.text.count("none.avi: it holds no frame") == 2


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
