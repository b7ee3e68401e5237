"""Reassembly of one peer's encoded chunks from their fragments, and the schedule of acknowledgements. No I/O.

Nothing is allocated for an announced size: an encoded chunk's memory grows with its fragments.
"""

from __future__ import annotations

from ...errors import LinkError
from ...wire.link_messages import Data, EncodedChunk, Fragment

Complete = tuple[EncodedChunk, Data]

CONFIRM = 16 * 1024  # bytes after which an Ack is sent; the source may be AHEAD of that, so it never has to wait for it
SLACK = 2 * 1024 * 1024  # bytes that a source may be ahead at most: its limit, and a chunk's header beyond it


class ReceiveBudget:
    """The count of bytes received from one peer on one connection."""

    def __init__(self) -> None:
        self.received = 0
        self.acknowledged = 0

    def bytes_received(self, size: int) -> None:
        """Count a message of encoded chunks or packet batches, `size` bytes long.

        Raises:
            LinkError: the peer has sent more than may be unacknowledged.
        """
        self.received += size
        if self.received - self.acknowledged > SLACK:
            raise LinkError("a link sends more than was confirmed to it")

    def due_ack(self, at_once: bool) -> int | None:
        """The byte count to acknowledge now; None when that can wait for more. `at_once`: the source waits for it."""
        if self.received == self.acknowledged or (not at_once and self.received - self.acknowledged < CONFIRM):
            return None
        self.acknowledged = self.received
        return self.received


class Reassembly:
    """The encoded chunk of one transfer that is arriving, if there is one."""

    def __init__(self) -> None:
        self._parcel: EncodedChunk | None = None
        self._data = bytearray()

    def begin_chunk(self, parcel: EncodedChunk, data: Data) -> Complete | None:
        """Begin an encoded chunk with its first bytes; returns what `add_fragment` returns.

        Raises:
            LinkError: another chunk has not ended, or there are no bytes or too many.
        """
        self.check_idle()
        self._parcel = parcel
        return self._take(parcel, data)

    def check_idle(self) -> None:
        """Check that no encoded chunk is incomplete: a packet batch comes between two of them, never within one.

        Raises:
            LinkError: an encoded chunk is incomplete.
        """
        if self._parcel is not None:
            raise LinkError("a parcel was cut short by what came behind it")

    def add_fragment(self, fragment: Fragment, data: Data) -> Complete | None:
        """Add a fragment; returns the encoded chunk and its data when it is complete.

        Raises:
            LinkError: it is not the next one of an encoded chunk.
        """
        if self._parcel is None or fragment.offset != len(self._data):
            raise LinkError(f"a fragment at {fragment.offset} is not the next of a parcel")
        return self._take(self._parcel, data)

    def _take(self, parcel: EncodedChunk, data: Data) -> Complete | None:
        missing = parcel.length - len(self._data)
        if len(data) > missing or (missing and not data):
            raise LinkError(f"{len(data)} bytes are not the next of a parcel that lacks {missing}")
        if len(data) < parcel.length:  # else all of it came at once, and need not be copied
            self._data += data
            if len(data) < missing:
                return None
            data, self._data = memoryview(self._data), bytearray()
        self._parcel = None
        return parcel, data
