"""LiveSource: a source whose frames a ReconnectingReader reads. Where they come from is each subclass's own."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np

from ..chunk import DataChunk
from ..node import register
from .base import BaseNode
from .reconnecting_reader import ReconnectingReader, info

PATIENCE = 0.5  # seconds that a step waits for a frame: a stop is never held up for longer
Frame = TypeVar("Frame")


class LiveSource(BaseNode, Generic[Frame]):
    """A live source whose `setup` makes `_receiver` and `_says`, and whose `_picture` makes an image of a frame."""

    live = True
    _receiver: ReconnectingReader[Frame] | None  # None before `setup`
    _says: dict[str, Any]
    _index: int
    _begun: float | None = None  # when the first frame came

    def step(self) -> DataChunk | None:
        assert self._receiver is not None, "setup has made it"
        frame = self._receiver.take(PATIENCE)
        if frame is None:
            return None
        chunk = DataChunk()
        chunk.add("frame", self._picture(frame), "image")
        chunk.add("index", self._index)
        came = self._receiver.came
        self._begun = came if self._begun is None else self._begun
        chunk.add("media_time", came - self._begun)
        self._index += 1
        return chunk

    def teardown(self) -> None:
        if self._receiver is not None:
            self._receiver.close()

    @register
    def reconnects(self) -> int:
        """The number of times that the source came back after a loss."""
        return 0 if self._receiver is None else self._receiver.reconnects

    @register
    def info(self) -> dict[str, Any]:
        """width and height in pixels, fps (1/s) and, of a stream, codec as the source says (None: not known), connected, and
        how many frames were read, were missed (no step took them before the next came, or while the graph was paused), and
        how many reconnects there were."""
        assert self._receiver is not None, "setup has made it"
        return self._says | info(self._receiver)

    def _picture(self, frame: Frame) -> np.ndarray:
        raise NotImplementedError
