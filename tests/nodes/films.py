"""Films of all kinds, made by the ffmpeg program that imageio-ffmpeg brings, and what it decodes them to."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

RATE = 25
COUNT = 50  # frames of every film here, as it was made
_FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run it; what it writes to its standard output."""
    command = [_FFMPEG, "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    return ended.stdout


def make(path: Path, *options: str, size: str = "160x128") -> Path:
    """Two seconds of a moving test picture, encoded with these options."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={RATE}:duration={COUNT / RATE}", *options, path)
    return path


def h264(path: Path, *options: str) -> Path:
    """A plain film; a group of pictures is half a second."""
    return make(path, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "12", "-bf", "2", *options)


def turned(source: Path, path: Path, *options: str) -> Path:
    """A copy of the film with a display matrix."""
    ffmpeg(*options, "-i", source, "-c", "copy", path)
    return path


def damaged(source: Path, path: Path, where: float, count: int = 400) -> Path:
    """A copy of the file with noise at that part of it."""
    content = bytearray(source.read_bytes())
    begin = int(len(content) * where)
    content[begin : begin + count] = random.Random(1).randbytes(count)
    path.write_bytes(content)
    return path


def joined(source: Path, path: Path) -> Path:
    """The file twice, end to end."""
    path.write_bytes(source.read_bytes() * 2)
    return path


def cut(source: Path, path: Path, part: float) -> Path:
    """The first part of the file."""
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def expected(path: Path, height: int, width: int) -> np.ndarray:
    """All frames of the first video stream as ffmpeg decodes them, turned as it shows them: BGR, uint8, n×height×width×3."""
    raw = ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt", "bgr24", "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
