"""The files that a recorder writes: segments, their flushes, their totals, and what happens when the disk is full.

One thread at a time. `flush` puts on the disk what was written: what came before it survives a crash. A file that
reaches `segment` bytes is closed by the caller of `next_segment`: then all video begins with key frames.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import msgspec

from .. import __version__
from ..errors import FlowmeshError
from .schemas import (
    EXTRA,
    JSON,
    MARKS,
    PROFILE,
    PROTOBUF,
    TOTALS,
    TOTALS_METADATA,
    ChannelKey,
    ChunkStamp,
    build_message,
    encode_stamp,
    record_key,
    schema_content,
    stamp_key,
)
from .session import StreamTotals, segment_path

CHUNK = 1 << 20  # bytes of an MCAP chunk: what one damaged byte costs
_ROOM = 1 << 20  # bytes of disk that it takes to close a file: its index, above all
_INFO = 2  # foxglove.Log's level


class SegmentFile:
    """One MCAP file.

    Raises:
        FlowmeshError: it can't be made, or the extra `record` is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from mcap.writer import CompressionType, Writer
        except ImportError as error:
            raise FlowmeshError(EXTRA) from error
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Buffered: a raw file would be wrapped by the library, and its end not be flushed.
            self._file: IO[bytes] = path.open("xb")
        except OSError as error:
            raise FlowmeshError(f"{path} can't be made: {error.strerror}") from error
        self.path, self.size = path, 0
        self._schemas: dict[str, int] = {}
        self._channels: dict[ChannelKey, int] = {}
        self._writer: Any = Writer(self._file, chunk_size=CHUNK, compression=CompressionType.NONE)
        self._writer.start(PROFILE, f"flowmesh {__version__}")

    def add(self, key: ChannelKey, data: bytes, log_ns: int, publish_ns: int, sequence: int) -> None:
        """Append a message; `OSError` if the disk is full."""
        channel = self._channels.get(key)
        if channel is None:
            channel = self._add_channel(key)
        self._writer.add_message(channel, max(log_ns, 0), data, max(publish_ns, 0), sequence & 0xFFFFFFFF)
        self.size += len(data) + 31

    def flush(self) -> None:
        """Put all on the disk; `OSError` if that is full."""
        self._writer.flush()
        os.fdatasync(self._file.fileno())

    def finish(self, metadata: dict[str, dict[str, str]], attachments: dict[str, bytes]) -> None:
        """Close the file whole."""
        for name, fields in metadata.items():
            self._writer.add_metadata(name, fields)
        for name, content in attachments.items():
            self._writer.add_attachment(0, 0, name, "application/octet-stream", content)
        self._writer.finish()
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close what is written so far, without an end."""
        try:
            self._file.close()
        except OSError:  # what is still in its buffer has no place: close() has let the descriptor go all the same
            pass

    def _add_channel(self, key: ChannelKey) -> int:
        schema = 0
        if key.schema:
            if key.schema not in self._schemas:
                encoding, content = schema_content(key)
                self._schemas[key.schema] = self._writer.register_schema(key.schema, encoding, content)
            schema = self._schemas[key.schema]
        self._channels[key] = made = self._writer.register_channel(key.topic, key.encoding, schema)
        return int(made)


class DiskFullError(Exception):
    """The disk has no more room for the recording: the present file is closed."""


class SessionWriter:
    """The files of one recorder: `part`/0001.mcap, 0002.mcap, ...

    Args:
        part: its folder; made if it is not there.
        segment: bytes after which `is_full_segment` says that it is time for the next file.
        reserve: bytes that stay free on the disk.
        attachments: {name: content}, added to each file's end.
    """

    def __init__(self, part: Path, segment: int, reserve: int, attachments: dict[str, bytes] | None = None) -> None:
        self.part, self._segment, self.reserve = part, segment, reserve
        self._attachments = attachments or {}
        self._index = 1
        self._totals: dict[tuple[str, int], StreamTotals] = {}
        self._file: SegmentFile | None = SegmentFile(segment_path(part, 1))
        self._granted = self._unsynced = 0
        self.written = 0

    @property
    def is_full_segment(self) -> bool:
        """Whether the present file has reached its size."""
        return self._file is not None and self._file.size >= self._segment

    @property
    def is_open(self) -> bool:
        """Whether anything can still be written."""
        return self._file is not None

    @property
    def totals(self) -> list[StreamTotals]:
        """Of all streams so far."""
        return list(self._totals.values())

    def write_chunk(self, node: str, created_ns: int, stamp: ChunkStamp, messages: list[bytes]) -> None:
        """Append a chunk: the messages of `stamp.records`, in their order, and then the stamp.

        Raises:
            DiskFullError: there is no room for it; the file is closed.
        """
        log, number = created_ns + stamp.offset_ns, stamp.n
        size = sum(map(len, messages))
        file = self._room_for(size + 4096)
        try:
            for entry, data in zip(stamp.records, messages, strict=True):
                file.add(record_key(node, entry.name, entry.form), data, log, created_ns, number)
            file.add(stamp_key(node), encode_stamp(stamp), log, created_ns, number)
        except OSError as error:
            self._give_up(error)
        self._stream(node, stamp.run).add(number, log, size, stamp.bound_ns)
        self.written += size

    def skip_chunk(self, node: str, run: int, number: int, reason: str) -> None:
        """Count a chunk that is not in the file."""
        totals = self._stream(node, run)
        totals.reach(number)
        totals.miss(number, number)
        totals.not_recorded[reason] = totals.not_recorded.get(reason, 0) + 1

    def write_mark(self, time_ns: int, text: str) -> None:
        """Append a mark, at a time of the Manager's clock; nothing if the file is closed."""
        data = build_message("foxglove.Log", time_ns, level=_INFO, name="mark", message=text)
        self._write(ChannelKey(MARKS, PROTOBUF, "foxglove.Log"), data, time_ns)

    def write_totals(self, time_ns: int) -> None:
        """Append the totals so far, for a file that ends early."""
        data = msgspec.json.encode({"streams": self.totals})
        self._write(ChannelKey(TOTALS, JSON, "flowmesh.Totals"), data, time_ns)

    def flush(self) -> None:
        """Put on the disk what was written.

        Raises:
            DiskFullError: there is no room for it.
        """
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._give_up(error)

    def next_segment(self) -> None:
        """Close the present file whole and begin the next.

        Raises:
            DiskFullError: there is no room.
        """
        if self._file is None:
            return
        try:
            self._finish()
            self._index += 1
            self._file = SegmentFile(segment_path(self.part, self._index))
        except (OSError, FlowmeshError) as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file whole. Twice does no harm.

        Raises:
            DiskFullError: there is no room for its end; what was flushed can be read.
        """
        if self._file is not None:
            try:
                self._finish()
            except OSError as error:
                self._give_up(error)

    def free_bytes(self) -> int:
        """How much room the disk has above the reserve."""
        disk = os.statvfs(self.part)
        return disk.f_bavail * disk.f_frsize - self.reserve

    def _stream(self, node: str, run: int) -> StreamTotals:
        """The totals of a stream."""
        totals = self._totals.get((node, run))
        if totals is None:
            totals = self._totals[node, run] = StreamTotals(node, run)
        return totals

    def _write(self, key: ChannelKey, data: bytes, time_ns: int) -> None:
        if self._file is not None:
            file = self._room_for(len(data))
            try:
                file.add(key, data, time_ns, time_ns, 0)
            except OSError as error:
                self._give_up(error)

    def _room_for(self, size: int) -> SegmentFile:
        """The file, if there is room for that many bytes. The disk is asked once for many chunks."""
        if self._file is None:
            raise DiskFullError("the file is closed")
        self._granted -= size
        if self._granted < 0:
            free = self.free_bytes() - _ROOM - size
            if free < 0:
                self.close()
                raise DiskFullError(f"the disk of {self.part} has come to its reserve of {self.reserve} bytes")
            self._granted = min(free, 16 << 20)
        return self._file

    def _finish(self) -> None:
        file, self._file = self._file, None
        assert file is not None
        totals = {f"{one.node}#{one.run}": msgspec.json.encode(one).decode() for one in self.totals}
        try:
            file.finish({TOTALS_METADATA: totals}, self._attachments)
        except OSError:
            file.abandon()
            raise

    def _give_up(self, error: Exception) -> Any:
        if self._file is not None:
            self._file.abandon()
            self._file = None
        raise DiskFullError(f"{self.part}: {getattr(error, 'strerror', None) or error}") from error
