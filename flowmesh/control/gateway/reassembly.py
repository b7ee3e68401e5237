"""What comes from one peer, checked against what came before it: parcels from their fragments, and when to confirm.

Nothing is allocated for what was only announced: a parcel's memory grows with its fragments.
"""

from __future__ import annotations

from ...errors import LinkError
from ...wire.link_messages import Data, EncodedChunk, Fragment

Complete = tuple[EncodedChunk, Data]

CONFIRM = 16 * 1024  # bytes after which the source is told; it may be AHEAD of that, so it never has to wait for it
SLACK = 2 * 1024 * 1024  # bytes that a source may be ahead at most: its limit, and a parcel's head beyond it


class ReceiveBudget:
    """How much has come from one peer on one connection."""

    def __init__(self) -> None:
        self.received = 0
        self.acknowledged = 0

    def bytes_received(self, size: int) -> None:
        """A message of parcels and bundles of so many bytes.

        Raises:
            LinkError: the peer sends on although nothing is confirmed.
        """
        self.received += size
        if self.received - self.acknowledged > SLACK:
            raise LinkError("a link sends more than was confirmed to it")

    def due_ack(self, at_once: bool) -> int | None:
        """What to confirm now; None when that can wait for more. `at_once`: the source waits for it."""
        if self.received == self.acknowledged or (not at_once and self.received - self.acknowledged < CONFIRM):
            return None
        self.acknowledged = self.received
        return self.received


class Reassembly:
    """The parcel of one transfer that is coming, if one is."""

    def __init__(self) -> None:
        self._parcel: EncodedChunk | None = None
        self._data = bytearray()

    def begin_chunk(self, parcel: EncodedChunk, data: Data) -> Complete | None:
        """A parcel and its first bytes; what `add` returns.

        Raises:
            LinkError: another has not ended, or these are none or too many.
        """
        self.check_idle()
        self._parcel = parcel
        return self._take(parcel, data)

    def check_idle(self) -> None:
        """A bundle comes between two parcels, never within one.

        Raises:
            LinkError: a parcel has not ended.
        """
        if self._parcel is not None:
            raise LinkError("a parcel was cut short by what came behind it")

    def add_fragment(self, fragment: Fragment, data: Data) -> Complete | None:
        """A fragment; the parcel and its data when it is complete.

        Raises:
            LinkError: it is not the next one of a parcel.
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
