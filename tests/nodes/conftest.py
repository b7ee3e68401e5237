"""A film on disk, written by OpenCV itself, so that no test of a node leans on the node beside it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

FPS = 25.0
FRAMES = 20


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames of 64×48 at 25/s; frame n has the grey value 10 * n everywhere."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), FPS, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path
