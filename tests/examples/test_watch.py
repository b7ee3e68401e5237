"""watch: run as a user would; looked at by a real HTTP client; ended by itself, by Ctrl+C, or by what is wrong."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowmesh.nodes import TestPattern, VideoWriter

from .conftest import EXAMPLES


@contextmanager
def watching(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running example, and the address that it prints."""
    command = [sys.executable, str(EXAMPLES / "watch.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, process.communicate(timeout=30)
            yield process, found[0]
        finally:
            process.send_signal(signal.SIGINT)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    pattern, writer = TestPattern("pattern", width=1280, height=720), VideoWriter("film", tmp_path / "film.mp4", fps=50)
    pattern.setup()
    writer.setup()
    for _ in range(20):
        writer.step({"pattern": pattern.step()})
    writer.teardown()
    return tmp_path / "film.mp4"


def part(url: str) -> np.ndarray:
    """The first picture of a stream."""
    with urllib.request.urlopen(url, timeout=30) as stream:
        assert stream.readline().startswith(b"--")
        head = dict(line.decode().split(": ") for line in iter(stream.readline, b"\r\n"))
        picture = cv2.imdecode(np.frombuffer(stream.read(int(head["Content-Length"])), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def test_a_pattern_and_its_edges_until_ctrl_c() -> None:
    with watching("pattern", "--edges") as (process, url):
        picture = part(f"{url}shown.mjpg")
        assert picture.shape == (360, 640, 3)
        assert TestPattern.read_number(picture) >= 0
        assert part(f"{url}edges.mjpg").shape == (360, 640, 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "Traceback" not in process.communicate()[1]


def test_a_film_as_long_as_asked(film: Path) -> None:
    with watching(str(film), "--seconds", "6", "--width", "320") as (process, url):
        assert part(f"{url}shown.mjpg").shape == (180, 320, 3)
        shown = re.search(r"(\d+) pictures were shown", process.communicate(timeout=60)[0])
        assert shown
        assert int(shown[1]) > 20  # more than the film has: it began again
        assert process.returncode == 0


def test_what_is_wrong_is_one_line_and_no_traceback() -> None:
    command = [sys.executable, str(EXAMPLES / "watch.py"), "63", "--seconds", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "there is no /dev/video63 on this host" in ended.stderr
    assert "flowmesh/manager.py" not in ended.stderr
