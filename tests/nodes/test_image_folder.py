"""ImageFolder: which files, in which order, as which arrays; and what happens with those that can't be read."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.errors import EndOfStream, FlowmeshError, GraphError
from flowmesh.nodes import ImageFolder
from flowmesh.nodes.image_folder import natural

from ..integration.single_host.conftest import Cluster
from ..integration.single_host.example_nodes import Collect, chain, collected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """shot-1.png … shot-12.png, grey value 10 * n; and what is no picture."""
    path = tmp_path / "shots"
    path.mkdir()
    for number in range(1, 13):
        cv2.imwrite(str(path / f"shot-{number}.png"), np.full((6, 8, 3), 10 * number, np.uint8))
    (path / "notes.txt").write_text("no picture")
    return path


def read(node: ImageFolder, most: int = 1000) -> list[DataChunk]:
    chunks: list[DataChunk] = []
    node.setup()
    try:
        while len(chunks) < most:
            chunks.append(node.step())
    except EndOfStream:
        pass
    return chunks


def greys(chunks: list[DataChunk]) -> list[int]:
    return [int(chunk.get("frame")["value"].flat[0]) // 10 for chunk in chunks]


def test_all_come_in_the_order_of_their_numbers(folder: Path) -> None:
    chunks = read(ImageFolder("photos", folder))
    assert greys(chunks) == list(range(1, 13))
    assert [chunk.get("index")["value"] for chunk in chunks] == list(range(12))
    assert chunks[1].get("file") == {"value": "shot-2.png", "content-type": "text"}
    assert chunks[0].get("frame")["content-type"] == "image"
    assert chunks[0].get("frame")["value"].shape == (6, 8, 3)


def test_natural_order() -> None:
    names = ["b1", "a10", "A2", "a9b", "a9", "007", "7", "a٣", "x²", "", "a"]
    assert sorted(names, key=natural) == ["", "007", "7", "a", "A2", "a9", "a9b", "a10", "a٣", "b1", "x²"]


@pytest.mark.parametrize(
    ("patterns", "expected"), [("*-1?.PNG", [10, 11, 12]), (["shot-2.png", "*-3*"], [2, 3]), (("*.png",), None)]
)
def test_patterns_choose(folder: Path, patterns: Any, expected: list[int] | None) -> None:
    assert greys(read(ImageFolder("photos", folder, patterns=patterns))) == (expected or list(range(1, 13)))


def test_folders_within_it_when_asked(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "shot-5.png").rename(folder / "more" / "Shot-5.PNG")
    assert len(read(ImageFolder("photos", folder))) == 11
    chunks = read(ImageFolder("photos", folder, recursive=True))
    assert chunks[0].get("file")["value"] == "more/Shot-5.PNG"
    assert len(chunks) == 12


def test_a_loop_begins_again_and_counts_on(folder: Path) -> None:
    chunks = read(ImageFolder("photos", folder, loop=True), most=25)
    assert greys(chunks) == [*range(1, 13), *range(1, 13), 1]
    assert chunks[-1].get("index")["value"] == 24


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"),
    [("color", (6, 8, 3), np.uint8), ("grey", (6, 8), np.uint8), ("unchanged", (6, 8), np.uint16)],
)
def test_modes(tmp_path: Path, mode: str, shape: tuple[int, ...], dtype: Any) -> None:
    cv2.imwrite(str(tmp_path / "depth.png"), np.full((6, 8), 40_000, np.uint16))
    [chunk] = read(ImageFolder("depth", tmp_path, mode=mode))
    frame = chunk.get("frame")["value"]
    assert (frame.shape, frame.dtype) == (shape, dtype)
    assert frame.flat[0] == (40_000 if mode == "unchanged" else 156)


@pytest.mark.parametrize("ending", ["bmp", "jpg", "pgm", "ppm", "tiff", "webp"])
def test_other_formats(tmp_path: Path, ending: str) -> None:
    cv2.imwrite(str(tmp_path / f"it.{ending}"), np.full((16, 16, 3)[: 2 if ending == "pgm" else 3], 100, np.uint8))
    [chunk] = read(ImageFolder("photos", tmp_path))
    assert abs(float(chunk.get("frame")["value"].mean()) - 100) < 3


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_can_not_be_read_is_named_and_passed(folder: Path, content: bytes) -> None:
    (folder / "shot-2.png").write_bytes(content)
    node = ImageFolder("photos", folder)
    node.setup()
    node.step()
    with pytest.raises(FlowmeshError, match=r"photos: .*shot-2\.png is no picture that OpenCV can read"):
        node.step()
    assert node.step().get("file")["value"] == "shot-3.png"
    assert node.info() == {"files": 12, "sent": 2, "unreadable": 1}


def test_a_file_that_went_away_is_named(folder: Path) -> None:
    node = ImageFolder("photos", folder)
    node.setup()
    (folder / "shot-1.png").unlink()
    with pytest.raises(FlowmeshError, match=r"shot-1\.png can't be read: No such file"):
        node.step()


def test_a_loop_over_nothing_readable_ends(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no picture")
    node = ImageFolder("photos", tmp_path, loop=True)
    node.setup()
    for _ in range(2):
        with pytest.raises(FlowmeshError):
            node.step()
    with pytest.raises(EndOfStream):
        node.step()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlowmeshError, match="photos: there is no folder .*nowhere on this host"):
        ImageFolder("photos", tmp_path / "nowhere").setup()
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(
        FlowmeshError, match=r"of the 1 files in .* none fits \*\.bmp.*give patterns= or recursive=True"
    ):
        ImageFolder("photos", tmp_path).setup()


@pytest.mark.parametrize("wrong", [{"mode": "rgb"}, {"patterns": ()}, {"patterns": [1]}])
def test_what_can_not_be_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=f"photos: {next(iter(wrong))} is"):
        ImageFolder("photos", ".", **wrong)


def test_that_only_the_first_page_of_a_file_is_read_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.tif", "b.tif"):
        pages = [np.full((6, 8, 3), value, np.uint8) for value in (10, 20, 30)]
        cv2.imwritemulti(str(tmp_path / name), pages)
    chunks = read(ImageFolder("photos", tmp_path, rate=4))
    assert greys(chunks) == [1, 1]
    assert [chunk.get("media_time")["value"] for chunk in chunks] == [0, 0.25]
    assert len(caplog.messages) == 1
    assert "a.tif holds 3 pages: of such files only the first page is read" in caplog.text


def test_in_a_graph_bad_files_are_skipped_and_counted(
    folder: Path, cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "shot-4.png").write_text("no picture")
    photos = ImageFolder("photos", folder, on_error="skip", rate=1000)
    with caplog.at_level(logging.ERROR):
        manager = cluster.run(chain(photos, Collect("sink", path=tmp_path / "got")))
    assert greys(collected(tmp_path / "got")) == [n for n in range(1, 13) if n != 4]
    assert manager.status().nodes["photos"].errors == 1
    assert "shot-4.png is no picture" in caplog.text


def test_in_a_graph_a_bad_file_is_an_error_without_it(folder: Path, cluster: Cluster) -> None:
    (folder / "shot-4.png").write_text("no picture")
    with pytest.raises(FlowmeshError, match=r"shot-4\.png is no picture"):
        cluster.run(chain(ImageFolder("photos", folder), Collect("sink")))
