"""What a recorder has taken and not yet written: a queue in order, bounded in frames and in bytes.

Frames count until they are encoded, as they lie in the slots of their senders; bytes from then until they are written.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from typing import NamedTuple

from .encoding import EncodedRecord
from .schemas import ChunkStamp

MOST_FRAMES = 6  # with those in the step and in a codec's hands, fewer than `hold` lets a recorder keep
MOST_BYTES = 256 << 20
_BATCH = 256  # small chunks that are worth to wake the writer
_GATHERING = 0.02  # seconds that a small chunk waits for others
_OVERHEAD = 500  # bytes that a small chunk takes here besides its messages


class BacklogChunk(NamedTuple):
    """A chunk on its way to the file.

    Attributes:
        records: what is encoded already, or what will be.
    """

    node: str
    created_ns: int
    stamp: ChunkStamp
    records: list[EncodedRecord | Future[EncodedRecord]]


class BacklogMark(NamedTuple):
    """A mark on its way to the file."""

    time_ns: int
    text: str


class SegmentEnd(NamedTuple):
    """What follows begins with key frames, in a new file."""


BacklogItem = BacklogChunk | BacklogMark | SegmentEnd


class Backlog:
    """Between the thread that steps, the encoders, and the one thread that writes."""

    def __init__(self, most_frames: int = MOST_FRAMES, most_bytes: int = MOST_BYTES) -> None:
        self._most_frames, self._most_bytes = most_frames, most_bytes
        self._items: deque[BacklogItem] = deque()
        self._changed = threading.Condition()
        self._frames = self._bytes = 0
        self._closed = False

    @property
    def bytes(self) -> int:
        """How much is encoded and not written."""
        return self._bytes

    def put(self, item: BacklogItem) -> None:
        """Append; waits while there is too much. What is put after `close` is dropped."""
        with self._changed:
            while (self._frames >= self._most_frames or self._bytes >= self._most_bytes) and not self._closed:
                self._changed.wait()
            if self._closed:
                return
            self._items.append(item)
            urgent = not isinstance(item, BacklogChunk)
            if isinstance(item, BacklogChunk):
                self._bytes += _OVERHEAD
                for record in item.records:
                    if isinstance(record, EncodedRecord):
                        self._bytes += len(record.data)
                    else:
                        self._frames += 1
                        urgent = True
            if urgent or len(self._items) in (1, _BATCH):
                self._changed.notify_all()
        for record in item.records if isinstance(item, BacklogChunk) else ():
            if isinstance(record, Future):
                record.add_done_callback(self._encoded)

    def take(self, timeout: float) -> list[BacklogItem]:
        """All that waits, the oldest first; none if there is none within `timeout` seconds, or after `close` when all was
        taken. Small chunks are let gather for a moment: to wake a thread for each would cost more than to write it."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout)
            if self._items and not self._frames and not self._closed:
                self._changed.wait_for(lambda: len(self._items) >= _BATCH or self._frames or self._closed, _GATHERING)
            taken = list(self._items)
            self._items.clear()
            return taken

    def written(self, items: Iterable[BacklogItem]) -> None:
        """These are in the file, or were given up."""
        chunks = [item for item in items if isinstance(item, BacklogChunk)]
        records = [_result(record) for chunk in chunks for record in chunk.records]
        size = _OVERHEAD * len(chunks) + sum(len(record.data) for record in records if record is not None)
        with self._changed:
            self._bytes -= size
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes, and all was taken."""
        return self._closed and not self._items

    def _encoded(self, future: Future[EncodedRecord]) -> None:
        record = _result(future)
        with self._changed:
            self._frames -= 1
            self._bytes += len(record.data) if record is not None else 0
            self._changed.notify_all()


def _result(record: EncodedRecord | Future[EncodedRecord]) -> EncodedRecord | None:
    """The record, of a future that is done; None if it can't be encoded."""
    if isinstance(record, EncodedRecord):
        return record
    return None if record.exception() is not None else record.result()
