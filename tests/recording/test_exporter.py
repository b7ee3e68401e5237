"""Exports: what other programs read is what was recorded, each picture at its microsecond."""

from __future__ import annotations

import csv
import json
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet
import pytest

from flowmesh.errors import FlowmeshError
from flowmesh.nodes import TestPattern
from flowmesh.recording import export
from flowmesh.recording.reader import SessionReader

from .sessions import Sent, camera_chunks, write_session


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    return camera_chunks()


@pytest.fixture(scope="module")
def folder(sent: list[Sent], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("sessions"), sent)


def test_an_mp4_has_each_picture_at_its_microsecond(folder: Path, sent: list[Sent], tmp_path: Path) -> None:
    [path] = export(folder, tmp_path, ["mp4"])
    assert path.name == "camera-film.mp4"
    with av.open(str(path)) as film:
        frames = [
            (TestPattern.read_number(frame.to_ndarray(format="bgr24")), round(float(frame.pts * frame.time_base) * 1e6))
            for frame in film.decode(video=0)
        ]
    begin = sent[0].created_ns
    assert frames == [(one.number, (one.created_ns - begin + 500) // 1000) for one in sent]


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_sound_is_exact(folder: Path, sent: list[Sent], tmp_path: Path, kind: str) -> None:
    [path] = export(folder, tmp_path, [kind])
    expected = np.concatenate([one.records["sound"][0][:, 0] for one in sent])
    if kind == "wav":
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    else:
        with av.open(str(path)) as file:
            assert file.streams.audio[0].rate == 48_000
            heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert np.array_equal(heard, expected)


def test_tables_have_number_time_and_values(folder: Path, sent: list[Sent], tmp_path: Path) -> None:
    table, lines = export(folder, tmp_path, ["csv", "jsonl"])
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [(int(row["number"]), row["label"], float(row["value.score"])) for row in rows] == [
        (one.number, one.records["label"][0], one.records["value"][0]["score"]) for one in sent
    ]
    objects = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [one["value"] for one in objects] == [one.records["value"][0] for one in sent]
    assert [one["created_ns"] for one in objects] == [one.created_ns for one in sent]


def test_parquet_has_typed_columns(folder: Path, sent: list[Sent], tmp_path: Path) -> None:
    [path] = export(folder, tmp_path, ["parquet"])
    table = pyarrow.parquet.read_table(path)
    assert table.column("value.score").to_pylist() == [one.records["value"][0]["score"] for one in sent]


def test_frames_and_arrays_are_files(folder: Path, sent: list[Sent], tmp_path: Path) -> None:
    reader = SessionReader(folder, trust=True)
    frames = {path.name: path for path in export(reader, tmp_path / "frames", ["frames"])}
    assert set(frames) == {f"camera-{name}" for name in ("film", "still", "plain", "bits", "depth", "ratio", "alpha")}
    bits = cv2.imread(str(frames["camera-bits"] / "00000007.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(bits, sent[6].records["bits"][0])
    depth = cv2.imread(str(frames["camera-depth"] / "00000007.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(depth, sent[6].records["depth"][0])
    assert (frames["camera-still"] / "00000007.jpg").read_bytes()[:2] == b"\xff\xd8"
    arrays = {path.name: path for path in export(reader, tmp_path / "npy", ["npy"])}
    boxes = np.load(arrays["camera-boxes"] / "00000007.npy")
    assert np.array_equal(boxes, sent[6].records["boxes"][0])


def test_a_merged_file_holds_everything(folder: Path, sent: list[Sent], tmp_path: Path) -> None:
    [path] = export(folder, tmp_path, ["mcap"])
    merged, original = SessionReader(path), SessionReader(folder)
    assert list(merged.stored()) == list(original.stored())
    assert merged.marks() == original.marks()
    assert merged.whole


def test_what_is_there_is_not_replaced_and_an_unknown_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    export(folder, tmp_path, ["csv"])
    with pytest.raises(FlowmeshError, match="is there already"):
        export(folder, tmp_path, ["csv"])
    with pytest.raises(FlowmeshError, match=r"one of mp4, .* got 'avi'"):
        export(folder, tmp_path, ["avi"])
