"""VideoWriter: what is written reads back, by OpenCV and by the number in each frame; also after `kill -9`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.errors import ChunkError, FlowmeshError, GraphError
from flowmesh.nodes import TestPattern, VideoWriter

WRITE_FOR_EVER = """
import sys
from flowmesh.nodes import TestPattern, VideoWriter

pattern, writer = TestPattern("pattern", width=320, height=240), VideoWriter("film", sys.argv[1], fps=30)
pattern.setup(), writer.setup()
while True:
    chunk = pattern.step()
    writer.step({"pattern": chunk})
    print(chunk.get("index")["value"], flush=True)
"""


def chunk_of(value: object, record: str = "frame", content_type: str = "image") -> DataChunk:
    chunk = DataChunk()
    chunk.add(record, value, content_type)
    return chunk


def write(path: Path, frames: list[np.ndarray], **options: object) -> list[np.ndarray]:
    """Write the frames, and give back what is read from the file."""
    writer = VideoWriter("film", path, **options)  # type: ignore[arg-type]
    writer.setup()
    for frame in frames:
        writer.step({"pattern": chunk_of(frame)})
    writer.teardown()
    return read(path)


def read(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while (answer := capture.read())[0]:
        frames.append(answer[1])
    capture.release()
    return frames


def pattern(count: int, width: int = 320, height: int = 240) -> list[np.ndarray]:
    node = TestPattern("pattern", width=width, height=height)
    node.setup()
    return [node.step().get("frame")["value"] for _ in range(count)]


def test_every_frame_reads_back_in_order_and_looks_the_same(tmp_path: Path) -> None:
    frames = pattern(60)
    back = write(tmp_path / "film.mp4", frames)
    assert [TestPattern.read_number(frame) for frame in back] == list(range(60))
    for before, after in zip(frames, back, strict=True):
        assert np.abs(before.astype(int) - after).mean() < 3


def test_it_is_h264_at_the_given_rate(tmp_path: Path) -> None:
    write(tmp_path / "film.mp4", pattern(3), fps=30000 / 1001)
    capture = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    assert int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") in (b"avc1", b"h264")
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(29.97, abs=0.01)
    capture.release()


def test_after_kill_9_all_but_the_last_second_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 89:
            pass
        child.send_signal(signal.SIGKILL)
        written = 90 + len(child.stdout.read().splitlines())
    assert child.returncode == -signal.SIGKILL
    numbers = [TestPattern.read_number(frame) for frame in read(path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= written - 30


def test_colours_stay(tmp_path: Path) -> None:
    for colour in ((200, 60, 20), (20, 200, 60), (60, 20, 200)):
        back = write(tmp_path / "film.mp4", [np.full((720, 1280, 3), colour, np.uint8)])
        assert np.abs(back[0].astype(int) - colour).max() <= 6


@pytest.mark.parametrize("shape", [(240, 320), (240, 320, 1), (240, 320, 4)])
def test_grey_and_bgra_frames(tmp_path: Path, shape: tuple[int, ...]) -> None:
    frame = np.full(shape, 200, np.uint8)
    frame[:, :160] = 40
    back = write(tmp_path / "film.mp4", [frame] * 2)
    assert len(back) == 2
    assert np.abs(back[1][:, :150].astype(int) - 40).max() <= 6
    assert np.abs(back[1][:, 170:].astype(int) - 200).max() <= 6


@pytest.mark.parametrize(("width", "height"), [(321, 240), (320, 241), (321, 241)])
def test_an_odd_size_is_padded_by_one_pixel_and_nothing_is_lost(tmp_path: Path, width: int, height: int) -> None:
    back = write(tmp_path / "film.mp4", pattern(3, width, height))
    assert back[0].shape == (height + height % 2, width + width % 2, 3)
    assert [TestPattern.read_number(frame) for frame in back] == [0, 1, 2]


def test_a_read_only_frame_and_a_crop_of_one(tmp_path: Path) -> None:
    frame = pattern(1, 640, 480)[0]
    frame.flags.writeable = False
    assert len(write(tmp_path / "whole.mp4", [frame])) == 1
    assert write(tmp_path / "crop.mp4", [frame[100:200, 50:250]])[0].shape == (100, 200, 3)


def test_a_better_quality_is_a_larger_file(tmp_path: Path) -> None:
    frames = pattern(10)
    write(tmp_path / "good.mp4", frames, crf=10)
    write(tmp_path / "poor.mp4", frames, crf=40)
    assert (tmp_path / "good.mp4").stat().st_size > 2 * (tmp_path / "poor.mp4").stat().st_size


def test_of_several_inputs_it_takes_the_first_that_has_the_record(tmp_path: Path) -> None:
    first, second = pattern(2)
    writer = VideoWriter("film", tmp_path / "film.mp4", record="picture")
    writer.setup()
    writer.step(
        {"scale": chunk_of(7, "weight", "other"), "a": chunk_of(second, "picture"), "b": chunk_of(first, "picture")}
    )
    writer.teardown()
    assert [TestPattern.read_number(frame) for frame in read(tmp_path / "film.mp4")] == [1]


def test_a_record_that_no_input_has_is_named_beside_those_there_are(tmp_path: Path) -> None:
    writer = VideoWriter("film", tmp_path / "film.mp4")
    writer.setup()
    with pytest.raises(ChunkError, match=r"no input has the record 'frame' \(edges: default\)"):
        writer.step({"edges": DataChunk.of(1)})
    writer.teardown()


def test_another_size_in_mid_stream_is_an_error_and_what_was_written_stays(tmp_path: Path) -> None:
    writer = VideoWriter("film", tmp_path / "film.mp4")
    writer.setup()
    writer.step({"a": chunk_of(pattern(1)[0])})
    with pytest.raises(ChunkError, match="a frame of 640×480 in a film of 320×240"):
        writer.step({"a": chunk_of(pattern(1, 640, 480)[0])})
    writer.teardown()
    assert len(read(tmp_path / "film.mp4")) == 1


@pytest.mark.parametrize(
    "value",
    [np.zeros((48, 64), np.uint16), np.zeros((48, 64, 3), np.float32), np.zeros((48, 64, 2), np.uint8), "text", 7],
)
def test_what_is_no_frame_is_named(tmp_path: Path, value: object) -> None:
    writer = VideoWriter("film", tmp_path / "film.mp4")
    writer.setup()
    with pytest.raises(ChunkError, match="not a uint8 image"):
        writer.step({"a": chunk_of(value, content_type="other")})
    writer.teardown()


def test_a_folder_that_is_not_there_is_named_in_setup(tmp_path: Path) -> None:
    writer = VideoWriter("film", tmp_path / "missing" / "film.mp4")
    with pytest.raises(FlowmeshError, match=r"missing/film\.mp4 can't be written: No such file"):
        writer.setup()
    writer.teardown()


def test_a_full_disk_is_named() -> None:
    writer = VideoWriter("film", "/dev/full.mp4")
    writer.path = Path("/dev/full")
    writer.setup()
    with pytest.raises(FlowmeshError, match="/dev/full can't be written: No space left"):
        writer.step({"a": chunk_of(pattern(1)[0])})
    writer.teardown()  # the error was said once


def test_without_a_frame_the_file_is_empty(tmp_path: Path) -> None:
    assert write(tmp_path / "film.mp4", []) == []
    assert (tmp_path / "film.mp4").stat().st_size == 0


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flowmesh.nodes.h264", raising=False)
    monkeypatch.setitem(sys.modules, "av", None)
    writer = VideoWriter("film", tmp_path / "film.mp4")
    with pytest.raises(FlowmeshError, match=r'film needs PyAV on its host: pip install "av>=18"'):
        writer.setup()
    writer.teardown()


@pytest.mark.parametrize("wrong", [{"path": "film.mkv"}, {"fps": 0}, {"fps": float("nan")}, {"crf": 52}])
def test_what_can_not_be_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(GraphError):
        VideoWriter("film", **({"path": "film.mp4"} | wrong))  # type: ignore[arg-type]
