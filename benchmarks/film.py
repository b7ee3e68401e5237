"""The frames that are sent, by the floor and by flowmesh alike: each carries a mark, and a reader reads all of it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
HD = (1080, 1920, 3)  # 6.2 MB

_FILL = int.from_bytes(b"\1" * 8, "little")  # every 64-bit word of a frame but the first


def blank(shape: tuple[int, ...]) -> tuple[Frame, NDArray[np.uint64]]:
    """A frame to send again and again, and its 64-bit words: the first is the mark, to be set before each sending."""
    frame = np.ones(shape, np.uint8)
    return frame, frame.reshape(-1).view(np.uint64)


def mark(frame: Frame) -> int:
    """What the sender marked the frame with."""
    return int(frame.reshape(-1)[:8].view(np.uint64)[0])


def checksum(frame: Frame) -> int:
    """What a consumer reads of a frame: every 64-bit word of it."""
    return int(np.bitwise_xor.reduce(frame.reshape(-1).view(np.uint64)))


def verify(frame: Frame, expected: int) -> None:
    """Read the whole frame; ValueError unless it is the one with that mark."""
    if checksum(frame) != expected ^ _FILL:  # the others are odd in number: one of them is left
        raise ValueError(f"the frame marked {expected} holds something else")


def footage(count: int = 8) -> list[Frame]:
    """1080p frames (BGR) that take a JPEG encoder as long as a camera's do, and as many bytes: about 200 kB each."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (HD[0] // 32, HD[1] // 32, 3), np.uint8)
    smooth = cv2.resize(coarse, (HD[1], HD[0]), interpolation=cv2.INTER_CUBIC)
    frames = []
    for number in range(count):
        grain = random.normal(0.0, 1.5, (*HD[:2], 1))
        frames.append(np.clip(np.roll(smooth, 8 * number, axis=1) + grain, 0, 255).astype(np.uint8))
    return frames
