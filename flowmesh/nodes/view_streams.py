"""The streams of MjpegServer: the newest picture of each, and its JPEG, made at the first request.

Adding a picture never waits for a viewer: viewers wait for pictures, and for each other's encoding.
"""

from __future__ import annotations

import threading

import numpy as np

from .images import to_jpeg


class ViewStreams:
    """One stream: the pictures of one record of one sender.

    Attributes:
        frames: how many pictures were put.
        viewers: how many look now.
        skipped: pictures that a viewer was too slow for, of all viewers together.
        closed: whether nothing more will be shown.
    """

    def __init__(self, quality: int) -> None:
        self.frames = self.viewers = self.skipped = 0
        self._quality = quality
        self._picture: np.ndarray | None = None
        self.closed = False
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._jpeg = (0, b"")  # its number and the bytes

    def put(self, picture: np.ndarray) -> None:
        """Show this from now on."""
        with self._changed:
            self._picture = picture
            self.frames += 1
            self._changed.notify_all()

    def close(self) -> None:
        """End the stream: waiting viewers return."""
        with self._changed:
            self.closed = True
            self._picture = None  # its shared memory goes back
            self._changed.notify_all()

    def newer(self, number: int, within: float) -> tuple[int, bytes] | None:
        """The number (from 1) and JPEG of the newest picture, once it is newer than `number`; None after that many
        seconds, or when there will be none.

        Raises:
            ChunkError: no JPEG can be made of it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self.frames > number, within)
            if self.closed or self.frames <= number:
                return None
        with self._encoding:  # who comes second finds it done, of this picture or of a newer one
            with self._changed:
                picture, newest = self._picture, self.frames
            if picture is None:
                return None
            if self._jpeg[0] != newest:
                self._jpeg = (newest, to_jpeg(picture, self._quality))
            return self._jpeg

    def came(self) -> None:
        """A viewer has come."""
        with self._changed:
            self.viewers += 1

    def went(self) -> None:
        """A viewer has gone."""
        with self._changed:
            self.viewers -= 1

    def has_skipped(self, pictures: int) -> None:
        """Count pictures for which a viewer was too slow."""
        with self._changed:
            self.skipped += pictures


class ViewFrame:
    """All streams, by sender and record. Each sender's first picture is also found by the sender's name alone."""

    def __init__(self, quality: int) -> None:
        self._quality = quality
        self._streams: dict[tuple[str, str], ViewStreams] = {}
        self._closed = False
        self._begun = threading.Condition()

    def put(self, sender: str, record: str, picture: np.ndarray) -> None:
        """Show a picture in the stream of that sender and record, which begins with its first."""
        showing = self._streams.get((sender, record))
        if showing is None:
            with self._begun:
                showing = self._streams[sender, record] = ViewStreams(self._quality)
                self._begun.notify_all()
        showing.put(picture)

    def streams(self) -> dict[tuple[str, str], ViewStreams]:
        """All that there are now, in the order in which they came."""
        with self._begun:
            return dict(self._streams)

    def find(self, sender: str, record: str | None, within: float) -> ViewStreams | None:
        """The stream of a sender's record; without a record, the sender's first. A sender of which nothing has come yet is
        waited for, so many seconds."""
        with self._begun:
            self._begun.wait_for(lambda: self._closed or any(key[0] == sender for key in self._streams), within)
        found = (showing for key, showing in self.streams().items() if key[0] == sender and record in (None, key[1]))
        return next(found, None)

    def close(self) -> None:
        """Let everyone go who waits."""
        with self._begun:
            self._closed = True
            self._begun.notify_all()
        for showing in self.streams().values():
            showing.close()
