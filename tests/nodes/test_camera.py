"""Camera: a film stands in for the device, through the same opening and reading; and what is said where there is none."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.errors import FlowmeshError, GraphError
from flowmesh.nodes import Camera
from flowmesh.nodes.camera import _those_there_are, cameras

from ..conftest import SCALE
from ..integration.single_host.conftest import Cluster
from ..integration.single_host.example_nodes import Collect, chain
from .conftest import FPS, number_of, until


def next_frame(camera: Camera) -> DataChunk:
    """The next chunk; a step gives None while no frame comes."""
    chunks: list[DataChunk] = []
    until(lambda: bool((chunk := camera.step()) and not chunks.append(chunk)))
    return chunks[0]


def place(chunk: DataChunk) -> int:
    """Which frame of the long film it is."""
    return number_of(chunk.get("frame")["value"])


def test_frames_come_live_and_in_order(long_film: Path) -> None:
    camera = Camera("camera", long_film)
    assert camera.live
    camera.setup()
    begun = time.monotonic()
    chunks = [next_frame(camera) for _ in range(10)]
    assert time.monotonic() - begun > 8 / FPS  # at its own pace
    camera.teardown()
    assert [chunk.get("index")["value"] for chunk in chunks] == list(range(10))
    assert [chunk.get("frame")["content-type"] for chunk in chunks] == ["image"] * 10
    assert all(chunk.get("frame")["value"].shape == (48, 64, 3) for chunk in chunks)
    numbers = [place(chunk) for chunk in chunks]
    assert numbers == sorted(set(numbers))
    came = [chunk.get("media_time")["value"] for chunk in chunks]
    assert came[0] == 0
    assert all(a < b for a, b in pairwise(came))
    assert came[-1] == pytest.approx((numbers[-1] - numbers[0]) / FPS, abs=0.2 * SCALE)
    assert not np.shares_memory(chunks[0].get("frame")["value"], chunks[1].get("frame")["value"])


def test_who_comes_late_gets_the_newest(long_film: Path) -> None:
    camera = Camera("camera", long_film)
    camera.setup()
    until(lambda: camera.info()["missed"] >= 5)
    assert place(next_frame(camera)) >= 5
    camera.teardown()
    says = camera.info()
    assert (says["width"], says["height"], says["fps"]) == (64, 48, FPS)
    assert says["frames"] >= 6


def test_a_camera_that_vanishes_is_waited_for(
    film: Path, long_film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = tmp_path / "camera.mp4"
    os.link(film, device)
    camera = Camera("camera", device)
    camera.setup()
    next_frame(camera)
    device.unlink()
    until(lambda: f"there is no {device}" in caplog.text)
    while camera.step() is not None:
        pass
    assert not camera.info()["connected"]
    before = camera.reconnects()  # the film may have ended once
    os.link(long_film, device)
    next_frame(camera)
    assert camera.reconnects() == before + 1
    assert f"{device} is there after" in caplog.text
    camera.teardown()


def test_no_camera_is_named_beside_those_that_there_are() -> None:
    camera = Camera("left", 63)
    with pytest.raises(
        FlowmeshError, match=r"^left: there is no /dev/video63 on this host; (there are: |this host has no)"
    ):
        camera.setup()
    camera.teardown()


def test_what_is_no_camera_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no film\n" * 100)
    with pytest.raises(FlowmeshError, match=r"left: .*text can't be read as a video"):
        Camera("left", path).setup()


def test_the_cameras_of_a_host_are_listed_without_their_other_devices(tmp_path: Path) -> None:
    for device, index, name in (("video10", "0", "USB"), ("video0", "0", "Laptop"), ("video1", "1", "Laptop")):
        (tmp_path / device).mkdir()
        (tmp_path / device / "index").write_text(f"{index}\n")
        (tmp_path / device / "name").write_text(f"{name}\n")
    assert cameras(tmp_path) == ["/dev/video0 (Laptop)", "/dev/video10 (USB)"]
    assert _those_there_are(tmp_path) == "there are: /dev/video0 (Laptop), /dev/video10 (USB)"
    assert _those_there_are(tmp_path / "none") == "this host has no camera"


def test_what_it_does_not_give_as_asked_is_told(film: Path, caplog: pytest.LogCaptureFixture) -> None:
    camera = Camera("camera", film, size=(640, 480), fps=60, fourcc="MJPG")
    camera.setup()
    camera.teardown()
    assert "gives frames of 64×48, not the 640×480 asked for" in caplog.text
    assert "gives 25 frames a second, not the 60 asked for" in caplog.text


def test_a_number_is_a_device_and_a_path_a_path() -> None:
    assert Camera().path == Path("/dev/video0")
    assert Camera("camera", 2).path == Path("/dev/video2")
    assert Camera("camera", "/dev/v4l/by-id/it").path == Path("/dev/v4l/by-id/it")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("device", value) for value in (-1, True, None, 1.5)),
        *(("size", value) for value in ((640,), (0, 480), "640x480", (640, 480, 3), 640)),
        *(("fps", value) for value in (0, -1, "30", True)),
        *(("fourcc", value) for value in ("MJPEG", 1, "éééé")),
    ],
)
def test_what_can_not_be_is_refused_at_once(option: str, value: Any) -> None:
    with pytest.raises(GraphError, match=f"camera: {option} is"):
        Camera("camera", **{option: value})


def test_in_a_graph_it_is_stopped_and_started_again(long_film: Path, cluster: Cluster) -> None:
    manager = cluster.commit(chain(Camera("camera", long_film), Collect("sink", hold=100)))
    manager.start()
    cluster.until_steps("sink", 3)
    manager.stop()
    seen = manager.status().nodes["sink"].steps
    manager.start()
    cluster.until_steps("sink", seen + 3)
    assert manager.request_registered_method("camera", "info")["connected"]
    assert manager.request_registered_method("camera", "reconnects") >= 0


def test_in_a_graph_no_camera_is_an_error_of_its_setup(cluster: Cluster) -> None:
    with pytest.raises(FlowmeshError, match="there is no /dev/video63 on this host"):
        cluster.commit(chain(Camera("camera", 63), Collect("sink")))
