"""A film on disk, written by OpenCV itself, so that no test of a node leans on the node beside it; a cluster for graphs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.nodes.images import is_picture

from ..conftest import SCALE
from ..integration.single_host.conftest import cluster, shared_cluster  # noqa: F401  (fixtures)

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


@pytest.fixture(scope="session")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """250 frames of 64×48 at 25/s: no test is busy for so long that it ends meanwhile. `number_of` reads a frame's number."""
    path = tmp_path_factory.mktemp("film") / "long.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), FPS, (64, 48))
    for number in range(250):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[:, np.repeat([number >> bit & 1 for bit in range(8)], 8).astype(bool)] = 255
        writer.write(frame)
    writer.release()
    return path


def number_of(frame: np.ndarray) -> int:
    """Which frame of the long film it is."""
    return sum(1 << bit for bit in range(8) if frame[:, 8 * bit + 2 : 8 * bit + 6].mean() > 127)


def until(happened: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what a thread of the node's brings about; fails when it does not in time."""
    deadline, pause = time.monotonic() + seconds * SCALE, threading.Event()
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.005)


def chunk_of(**records: object) -> DataChunk:
    """A chunk of these records; arrays as images where they can be."""
    chunk = DataChunk()
    for name, value in records.items():
        chunk.add(name, value, "image" if is_picture(value) else "other")
    return chunk


class Alone:
    """A NodeHost for a node that is stepped by its test."""

    def emit(self, value: object) -> None:
        raise AssertionError("nothing here emits")

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)
