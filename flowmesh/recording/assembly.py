"""Whole chunks out of a file's messages, and their values. No file is opened here."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import NamedTuple

from ..chunk import CONTENT_TYPES, DataChunk
from ..errors import ChunkError, PickleRefused
from .decoding import RecordDecoder
from .scanner import McapBlock, McapFile
from .schemas import JSON, MARKS, TOTALS, ChunkStamp, StampRecord, decode_stamp, parse_topic

_LONGEST_GROUP = 10_000  # packets since a key frame that are kept for a beginning in their midst


class StoredChunk(NamedTuple):
    """A whole chunk of a file, not decoded.

    Attributes:
        node: whose output it is.
        created_ns: when it was created, by its host's clock.
        stamp: what the file says of it.
        messages: of the stamp's records, in their order.
    """

    node: str
    created_ns: int
    stamp: ChunkStamp
    messages: tuple[bytes, ...]

    @property
    def time_ns(self) -> int:
        """When it was created, by the Manager's clock."""
        return self.created_ns + self.stamp.offset_ns


class RecordedChunk(NamedTuple):
    """A chunk of a session.

    Attributes:
        node: whose output it is.
        time_ns: when it was created, by the Manager's clock, in ns since the epoch.
        created_ns: the same by its host's clock.
        stamp: its number and whatever else the file says of it.
        chunk: its records; arrays are read-only.
    """

    node: str
    time_ns: int
    created_ns: int
    stamp: ChunkStamp
    chunk: DataChunk

    @property
    def number(self) -> int:
        """Its number on the output that it came from."""
        return self.stamp.n


class ChunkAssembly:
    """Puts the chunks of a file together from its messages."""

    def __init__(self, nodes: frozenset[str] | None, skipped: Counter[tuple[str, str]]) -> None:
        self._nodes, self._skipped = nodes, skipped
        self._topics: dict[tuple[str, str], tuple[str, str | None]] = {}
        self._begun: dict[
            str, tuple[tuple[int, int], list[tuple[str, bytes]]]
        ] = {}  # by node: sequence and time, records

    def chunks_of(self, file: McapFile, block: McapBlock) -> list[StoredChunk]:
        """The chunks whose stamps are in the block."""
        found = []
        for message in file.messages(block):
            channel = file.channels.get(message.channel)
            if channel is None or channel.topic in (MARKS, TOTALS):
                continue
            node, record = self._parsed(channel.topic, channel.encoding)
            if self._nodes is not None and node not in self._nodes:
                continue
            at = message.sequence, message.log_time
            if record is not None:
                if node not in self._begun or self._begun[node][0] != at:
                    self._begun[node] = at, []
                self._begun[node][1].append((record, bytes(message.data)))
            elif channel.encoding == JSON:
                records = self._begun.pop(node, (at, []))
                chunk = self._complete(node, message.publish_time, message.data, records[1] if records[0] == at else [])
                if chunk is not None:
                    found.append(chunk)
        return found

    def _parsed(self, topic: str, encoding: str) -> tuple[str, str | None]:
        parsed = self._topics.get((topic, encoding))
        if parsed is None:
            parsed = self._topics[topic, encoding] = parse_topic(topic)
        return parsed

    def _complete(
        self, node: str, created_ns: int, data: memoryview, records: list[tuple[str, bytes]]
    ) -> StoredChunk | None:
        try:
            stamp = decode_stamp(bytes(data))
        except ChunkError:
            self._skipped[node, "its stamp is damaged"] += 1
            return None
        if [entry.name for entry in stamp.records] != [name for name, _ in records]:
            self._skipped[node, "some of its records are damaged"] += 1
            return None
        return StoredChunk(node, created_ns, stamp, tuple(content for _, content in records))


class StreamDecoders:
    """The decoders of all streams; a stream of H.264 that begins in the midst is decoded from its last key frame."""

    def __init__(self, trust: bool, skipped: Counter[tuple[str, str]]) -> None:
        self._trust, self._skipped = trust, skipped
        self._decoders: dict[tuple[str, str], RecordDecoder] = {}
        self._before: dict[tuple[str, str], list[tuple[StampRecord, bytes]]] = {}

    def remember(self, stored: StoredChunk) -> None:
        """A chunk before the beginning, of which only later packets may have need."""
        for entry, data in zip(stored.stamp.records, stored.messages, strict=True):
            if entry.form == "h264":
                kept = self._before.setdefault((stored.node, entry.name), [])
                if entry.since_key == 0 or len(kept) > _LONGEST_GROUP:
                    kept.clear()
                kept.append((entry, data))

    def decode(self, stored: StoredChunk) -> RecordedChunk | None:
        """The chunk with its values; None, counted, if one of them can't be read."""
        values = {}
        failure = ""
        for entry, data in zip(stored.stamp.records, stored.messages, strict=True):
            if entry.type not in CONTENT_TYPES or entry.name in values:
                failure = "its stamp is damaged"
                continue
            try:
                values[entry.name] = self._decoder(stored.node, entry.name).decode(entry, data), entry.type
            except PickleRefused:
                raise
            except ChunkError as error:  # the other records are decoded all the same: H.264 goes on
                failure = str(error)
        if failure:
            self._skipped[stored.node, failure] += 1
            return None
        return RecordedChunk(stored.node, stored.time_ns, stored.created_ns, stored.stamp, DataChunk(values))

    def _decoder(self, node: str, record: str) -> RecordDecoder:
        decoder = self._decoders.get((node, record))
        if decoder is None:
            decoder = self._decoders[node, record] = RecordDecoder(self._trust)
            for entry, data in self._before.pop((node, record), ()):
                with suppress(ChunkError):
                    decoder.decode(entry, data)
        return decoder
