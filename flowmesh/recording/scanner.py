"""An MCAP file, record by record, whatever ends or is damaged in it. Nothing is decoded, and no length is believed.

    magic | Header | ( Chunk | MessageIndex ... )* | Metadata, Attachments | DataEnd | summary | Footer | magic

The file is mapped, not read: no memory is taken for what a length claims. A chunk counts only if its checksum holds. Behind
damage, the next chunk is found by the form of its head. The format: https://mcap.dev/spec
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..errors import FlowmeshError
from .mcap_fields import RECORD_HEAD, inflate, read_metadata, read_text, read_u32, split_records

MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _INDEX = 1, 2, 3, 4, 5, 6, 7
_CHUNK_INDEX, _ATTACHMENT, _METADATA, _METADATA_INDEX, _DATA_END = 8, 9, 12, 13, 15
_CHUNK_HEAD = struct.Struct("<QQQII")  # start, end, uncompressed size, crc, length of the compression's name
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_INDEX_HEAD = struct.Struct("<QQQQI")  # start, end, offset, length, bytes of the channels' indices
_FOOTER_BODY = struct.Struct("<QQI")
_NEVER = 1 << 64  # ns: later than any message
_MOST_FALSE = 10_000  # places that look like a chunk and are none, before the search gives up
_LOOKS_LIKE_CHUNK = re.compile(rb"\x06.{5}\x00{3}.{16}.{5}\x00{3}.{4}(?:\x00{4}|\x04\x00{3}zstd).{5}\x00{3}", re.DOTALL)


class McapMessage(NamedTuple):
    """A message: a view of the file, valid while the scanner is open."""

    channel: int
    sequence: int
    log_time: int
    publish_time: int
    data: memoryview


class McapChannel(NamedTuple):
    """What a channel's record says."""

    topic: str
    encoding: str


class McapBlock(NamedTuple):
    """An MCAP chunk whose checksum holds, or that was not looked into.

    Attributes:
        start, end: log_time of its first and last message.
        data: its records; empty where it was skipped.
    """

    start: int
    end: int
    data: memoryview


class _ChunkIndex(NamedTuple):
    """Where a chunk lies, of which time, and which channels it holds."""

    start: int
    end: int
    offset: int
    channels: frozenset[int]


class McapFile:
    """A mapped MCAP file.

    Attributes:
        whole: whether it has its end: then metadata and channels stand in its summary.
        damaged: how many runs of damaged bytes the scan has met so far.
        cut_at: where the scan has met the file's end without an end record; None if it has not.
        channels: by their ids, as far as they are known.
        metadata: {name: {key: value}}, as far as it is known.

    Raises:
        FlowmeshError: it can't be read, or is no MCAP file.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        except OSError as error:
            raise FlowmeshError(f"{path} can't be read: {error.strerror or error}") from error
        self._data = memoryview(self._map) if self._map is not None else memoryview(b"")
        if bytes(self._data[:8]) != MAGIC[: len(self._data)]:
            self.close()
            raise FlowmeshError(f"{path} is no MCAP file")
        self.path, self.size = path, size
        self.damaged = 0
        self.cut_at: int | None = None
        self.channels: dict[int, McapChannel] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self._indices: list[_ChunkIndex] = []
        self.whole = self._read_summary()

    def close(self) -> None:
        """Twice does no harm. Where views of the file are still there, the last one lets it go."""
        self._data.release()
        if self._map is not None:
            with suppress(BufferError):
                self._map.close()

    def __enter__(self) -> McapFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def blocks(self, since: int = 0) -> Iterator[McapBlock]:
        """All whole chunks in their order; those that end before `since` (log_time in ns) are not looked into."""
        self.damaged, self.cut_at = 0, None
        at = len(MAGIC)
        while at < self.size:
            found = self._record(at)
            if found is None:
                at = self._resume(at)
                continue
            opcode, body, after = found
            if opcode == _DATA_END:
                return
            if opcode == _CHUNK:
                block = self._block(body, since)
                if block is None:
                    self.damaged += 1
                else:
                    yield block
            elif opcode == _METADATA:
                self._note_metadata(body)
            at = after
        self.cut_at = min(at, self.size)

    def blocks_with(self, topic: str) -> Iterator[McapBlock]:
        """The chunks that may hold messages of a topic: by the index, where there is one."""
        if not self._indices:
            yield from self.blocks()
            return
        ids = {number for number, channel in self.channels.items() if channel.topic == topic}
        for index in self._indices:
            found = self._record(index.offset) if ids & index.channels else None
            block = self._block(found[1], 0) if found is not None and found[0] == _CHUNK else None
            if block is not None:
                yield block

    def spans(self) -> Iterator[tuple[int, int]]:
        """The first and last log_time of each chunk: by the index, where there is one."""
        if self._indices:
            yield from ((index.start, index.end) for index in self._indices)
        else:
            yield from ((block.start, block.end) for block in self.blocks(since=_NEVER))

    def messages(self, block: McapBlock) -> Iterator[McapMessage]:
        """The messages of a chunk; channels are noted on the way."""
        data = block.data
        for opcode, body in split_records(data):
            if opcode == _CHANNEL:
                self._note_channel(body)
            elif opcode == _MESSAGE and len(body) >= _MESSAGE_HEAD.size:
                channel, sequence, log_time, publish_time = _MESSAGE_HEAD.unpack_from(body)
                yield McapMessage(channel, sequence, log_time, publish_time, body[_MESSAGE_HEAD.size :])

    # --- the data section --------------------------------------------------------------------------------------------

    def _record(self, at: int) -> tuple[int, memoryview, int] | None:
        """The record there: its opcode, its body, and where the next begins. None if it is damaged or cut."""
        if at + RECORD_HEAD.size > self.size:
            return None
        opcode, length = RECORD_HEAD.unpack_from(self._data, at)
        begin = at + RECORD_HEAD.size
        if length > self.size - begin:
            return None
        body = self._data[begin : begin + length]
        return (opcode, body, begin + length) if self._is_sound(opcode, body) else None

    def _is_sound(self, opcode: int, body: memoryview) -> bool:
        """Whether the lengths within the record agree with its own."""
        if opcode == _CHUNK:
            return self._chunk_data(body) is not None
        if opcode == _INDEX:
            return len(body) >= 6 and (len(body) - 6) % 16 == 0 and read_u32(body, 2) == len(body) - 6
        if opcode == _HEADER:
            return len(body) < 1 << 16
        if opcode == _METADATA:
            return read_metadata(body) is not None
        if opcode == _ATTACHMENT:
            return len(body) >= 4 and zlib.crc32(body[:-4]) == read_u32(body, len(body) - 4)
        return opcode == _DATA_END and len(body) == 4

    def _resume(self, at: int) -> int:
        """Behind damage: where the next chunk begins; the file's end if there is none."""
        assert self._map is not None
        for match in islice(_LOOKS_LIKE_CHUNK.finditer(self._map, at + 1), _MOST_FALSE):
            found = self._record(match.start())
            if found is not None and found[0] == _CHUNK and self._block(found[1], 0) is not None:
                self.damaged += 1
                return match.start()
        self.damaged += self.whole
        return self.size

    def _chunk_data(self, body: memoryview) -> tuple[str, int, int, int, int, memoryview] | None:
        """Compression, start, end, uncompressed size, crc, data; None if the lengths do not agree."""
        if len(body) < _CHUNK_HEAD.size:
            return None
        start, end, size, crc, name = _CHUNK_HEAD.unpack_from(body)
        begin = _CHUNK_HEAD.size + name
        if name > 16 or len(body) < begin + 8:
            return None
        compression = bytes(body[_CHUNK_HEAD.size : begin]).decode("latin-1")
        data = body[begin + 8 :]
        if int.from_bytes(body[begin : begin + 8], "little") != len(data) or (not compression and size != len(data)):
            return None
        return compression, start, end, size, crc, data

    def _block(self, body: memoryview, since: int) -> McapBlock | None:
        parts = self._chunk_data(body)
        if parts is None:
            return None
        compression, start, end, size, crc, data = parts
        if end < since:
            return McapBlock(start, end, data[:0])
        inflated = data if not compression else inflate(compression, data, size)
        if inflated is None or (crc and zlib.crc32(inflated) != crc):
            return None
        return McapBlock(start, end, inflated)

    # --- the summary -------------------------------------------------------------------------------------------------

    def _read_summary(self) -> bool:
        """Channels and metadata from the file's end, if that is whole and its checksum holds."""
        tail = RECORD_HEAD.size + _FOOTER_BODY.size + len(MAGIC)
        if self.size < tail + len(MAGIC) or bytes(self._data[-8:]) != MAGIC:
            return False
        foot = self.size - tail
        if RECORD_HEAD.unpack_from(self._data, foot) != (_FOOTER, _FOOTER_BODY.size):
            return False
        start, _, crc = _FOOTER_BODY.unpack_from(self._data, foot + RECORD_HEAD.size)
        if not len(MAGIC) <= start <= foot:
            return False
        if crc and zlib.crc32(self._data[start : self.size - len(MAGIC) - 4]) != crc:
            return False
        for opcode, body in split_records(self._data[start:foot]):
            if opcode == _CHANNEL:
                self._note_channel(body)
            elif opcode == _CHUNK_INDEX and len(body) >= _CHUNK_INDEX_HEAD.size:
                self._note_index(body)
            elif opcode == _METADATA_INDEX and len(body) >= 16:
                at = int.from_bytes(body[:8], "little")
                found = self._record(at) if at < self.size else None
                if found is not None and found[0] == _METADATA:
                    self._note_metadata(found[1])
        return True

    def _note_index(self, body: memoryview) -> None:
        start, end, offset, _, length = _CHUNK_INDEX_HEAD.unpack_from(body)
        ids = body[_CHUNK_INDEX_HEAD.size : _CHUNK_INDEX_HEAD.size + length]
        channels = frozenset(number for number, _ in struct.iter_unpack("<HQ", ids[: len(ids) // 10 * 10]))
        if offset < self.size:
            self._indices.append(_ChunkIndex(start, end, offset, channels))

    def _note_channel(self, body: memoryview) -> None:
        try:
            topic, at = read_text(body, 4)
            encoding, _ = read_text(body, at)
        except (ValueError, struct.error):
            return
        self.channels[int.from_bytes(body[:2], "little")] = McapChannel(topic, encoding)

    def _note_metadata(self, body: memoryview) -> None:
        parsed = read_metadata(body)
        if parsed is not None:
            self.metadata[parsed[0]] = parsed[1]
