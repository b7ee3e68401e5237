"""TestPattern: a source of moving frames that say their own number, to the eye and to a program.

    ┌──┬──┬──┬─ ... ─┬──┐      32 squares in the top left corner, white is 1, the highest bit first:
    │0 │1 │1 │       │0 │      24 bits of the frame's number, 8 bits of checksum.
    └──┴──┴──┴─ ... ─┴──┘      They survive JPEG and H.264: what arrives can be told from what was sent.

Nothing here reads a clock: frame n of a seed is the same picture everywhere, always.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ..chunk import DataChunk
from ..errors import ChunkError, EndOfStream, GraphError
from .base import BaseNode, is_whole

BITS = 32
NUMBERS = 1 << 24
LEAST = 128  # pixels of width and height: squares of 4 pixels, the least that compression leaves readable
SPEED = 4  # pixels a frame: seen by the eye, and work for a video encoder


class TestPattern(BaseNode):
    """A source of frames with their number burnt in: `read_number` gives it back from a decoded frame.

    Each chunk holds "frame" (image, BGR, uint8, height×width×3) and "index" (int, from 0); with `rate` also "media_time"
    (float: index / rate, in seconds).

    Args:
        name: the node's name.
        width: pixels, at least 128.
        height: pixels, at least 128.
        frames: how many until the stream ends; None never ends it.
        seed: another number, another background.
        options: options of Node: `rate`, `live`, ...

    Raises:
        GraphError: the size or the number of frames can't be.
    """

    __test__ = False  # pytest takes any class called Test... for a test case

    def __init__(
        self,
        name: str | None = None,
        *,
        width: int = 1280,
        height: int = 720,
        frames: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        if not is_whole(width, LEAST) or not is_whole(height, LEAST):
            raise GraphError(f"{self.name}: a pattern has at least {LEAST}×{LEAST} pixels, not {width!r}×{height!r}")
        if frames is not None and not is_whole(frames, 0):
            raise GraphError(f"{self.name}: frames is a whole number from 0, or None, not {frames!r}")
        self.width, self.height, self.frames, self.seed = width, height, frames, seed

    def setup(self) -> None:
        self._index = 0
        self._background = _background(self.width, self.height, self.seed)

    def step(self, data: Any = None) -> DataChunk:
        if self._index == self.frames:
            raise EndOfStream
        chunk = DataChunk()
        chunk.add("frame", self._frame(self._index), "image")
        chunk.add("index", self._index)
        if self.rate is not None:
            chunk.add("media_time", self._index / self.rate)
        self._index += 1
        return chunk

    @staticmethod
    def read_number(frame: np.ndarray) -> int:
        """The number that is burnt into a frame (uint8, BGR or grey, of its first size), modulo 2^24.

        Raises:
            ChunkError: none can be read: no such frame, resized, or compressed beyond recognition.
        """
        size = _square(frame.shape[1])
        if size < _square(LEAST) or frame.shape[0] < LEAST:
            raise ChunkError(f"no number can be read: a pattern has at least {LEAST}×{LEAST} pixels")
        squares = frame[:size, : BITS * size].reshape(size, BITS, size, -1)
        edge = size // 4  # compression smears the border of each square into its neighbour
        word = _word(squares[edge:-edge, :, edge:-edge].mean(axis=(0, 2, 3)) > 127)
        number = word >> 8
        if word != _signed(number):
            raise ChunkError("no number can be read: the squares in the top left corner do not fit their checksum")
        return number

    def _frame(self, index: int) -> np.ndarray:
        left = index * SPEED % self.width
        frame = self._background[:, left : left + self.width].copy()
        size = _square(self.width)
        frame[:size, : BITS * size] = np.repeat(_bits(_signed(index % NUMBERS)), size)[:, np.newaxis]
        self._write(frame, str(index))
        return frame

    def _write(self, frame: np.ndarray, text: str) -> None:
        scale = self.height / 144
        place = (self.width // 20, self.height * 2 // 3)
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), max(1, round(2 * scale)))


def _background(width: int, height: int, seed: int) -> np.ndarray:
    """Soft clouds of colour, twice side by side: any window of `width` in it is a frame, so moving costs one copy."""
    coarse = np.random.default_rng(seed).integers(20, 140, (5, 8, 3), np.uint8)  # dark: white digits stand out
    clouds = cv2.resize(np.hstack([coarse, coarse[:, ::-1]]), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.hstack([clouds, clouds])


def _square(width: int) -> int:
    """The side of one square, in pixels, in a frame of that width."""
    return min(16, width // BITS)


def _signed(number: int) -> int:
    """The number with its checksum below. No number signs to 0, so that a black frame does not read as one."""
    return number << 8 | ((number * 0x9E3779B1 >> 16) & 0xFF ^ 0xA5)


def _bits(word: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(word.to_bytes(BITS // 8, "big"), np.uint8)) * np.uint8(255)


def _word(bits: np.ndarray) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
