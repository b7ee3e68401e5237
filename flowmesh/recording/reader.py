"""A session, read: its streams and chunks, also of files that were cut or damaged. Nothing is written here.

A chunk is given only whole: its records, then its stamp. What is damaged, or can't be decoded because a packet before it is
missing, is left out and counted in `skipped`; no file makes the reader raise once it is open, except for pickles that it
may not open.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..errors import ChunkError, FlowmeshError
from .assembly import ChunkAssembly, RecordedChunk, StoredChunk, StreamDecoders
from .scanner import McapFile
from .schemas import (
    MARKS,
    TOTALS,
    TOTALS_METADATA,
    parse_message,
    parse_topic,
)
from .session import MANIFEST, Manifest, SessionFolder, StreamTotals, read_part_totals, segments

_LONGEST_KEY = 60_000_000_000  # ns: the key frame that a packet needs is at most so much older
_LONGEST_GROUP = 10_000  # packets since a key frame that are kept for a beginning in their midst


class RecordedMark(NamedTuple):
    """What the user marked, at a time of the Manager's clock in ns."""

    time_ns: int
    text: str


class FileReport(NamedTuple):
    """What is known of a file.

    Attributes:
        path: where it is.
        whole: whether it has its end.
        damaged: runs of damaged bytes.
        size: in bytes.
    """

    path: Path
    whole: bool
    damaged: int
    size: int


class SessionReader:
    """A session's folder, or a single .mcap file of one.

    Args:
        path: the folder, or the file.
        trust: whether to open pickles, which may run any code of their writer's choice.

    Attributes:
        manifest: `session.json`; None if there is none, or it is damaged.
        parts: the files of each worker, in their order.
        skipped: {(node, reason): chunks}, of what the last iteration could not give.
        reports: of the files that the last iteration has read to their end.

    Raises:
        FlowmeshError: there is no such session.
    """

    def __init__(self, path: str | os.PathLike[str], trust: bool = False) -> None:
        self.path, self._trust = Path(path), trust
        self.manifest: Manifest | None = None
        self.parts: list[list[Path]] = []
        self.skipped: Counter[tuple[str, str]] = Counter()
        self.reports: dict[Path, FileReport] = {}
        if self.path.is_dir():
            session = SessionFolder(self.path)
            with suppress(FlowmeshError):
                self.manifest = session.read_manifest()
            self.parts = [segments(part) for part in session.parts()]
        elif self.path.is_file():
            self.parts = [[self.path]]
        if not self.parts and self.manifest is None:
            raise FlowmeshError(f"{self.path} is no session: it must be a folder with {MANIFEST}, or an .mcap file")

    def chunks(
        self, nodes: Collection[str] | None = None, begin_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[RecordedChunk]:
        """The chunks of these nodes (None: of all), each stream in its order, those of several workers by time.

        Args:
            begin_ns, end_ns: times of the Manager's clock; the first one counts, the last one does not.

        Raises:
            PickleRefused: a record is a pickle, and the reader may not open it.
        """
        decoders = StreamDecoders(self._trust, self.skipped)
        since = 0 if begin_ns is None else begin_ns
        for stored in self.stored(nodes, max(since - _LONGEST_KEY, 0)):
            if stored.time_ns < since:
                decoders.remember(stored)
            elif end_ns is None or stored.time_ns < end_ns:
                decoded = decoders.decode(stored)
                if decoded is not None:
                    yield decoded

    def stored(self, nodes: Collection[str] | None = None, since_ns: int = 0) -> Iterator[StoredChunk]:
        """As `chunks`, not decoded. What lies before `since_ns` may be left out."""
        self.skipped.clear()
        self.reports.clear()
        wanted = None if nodes is None else frozenset(nodes)
        parts = [self._stored_in(part, wanted, since_ns) for part in self.parts]
        yield from (
            heapq.merge(*parts, key=lambda stored: stored.time_ns) if len(parts) > 1 else parts[0] if parts else ()
        )

    def marks(self) -> list[RecordedMark]:
        """What was marked, by time; a mark that several workers wrote is given once."""
        marks: set[RecordedMark] = set()
        for path in (path for part in self.parts for path in part):
            with McapFile(path) as file:
                marks.update(_marks(file))
        return sorted(marks)

    def totals(self) -> list[StreamTotals]:
        """What is in the session, by node and run: from the files' ends, or, where one is missing, by reading them."""
        merged: dict[tuple[str, int], StreamTotals] = {}
        for part in self.parts:
            written = None if any(".recovered." in path.name for path in part) else self._left_totals(part)
            for one in written if written is not None else self._count(part):
                merged[one.node, one.run] = one
        return sorted(merged.values(), key=lambda one: (one.node, one.run))

    def span_ns(self) -> tuple[int, int]:
        """The times of the first and the last message of the session, by the Manager's clock in ns; (0, 0) if it is empty."""
        begin, end = 1 << 64, 0
        for path in (path for part in self.parts for path in part):
            with McapFile(path) as file:
                for start, stop in file.spans():
                    begin, end = min(begin, start), max(end, stop)
        return (begin, end) if end else (0, 0)

    def records(self) -> dict[str, list[str]]:
        """The names of the records of each node, as far as the files' ends tell them."""
        found: dict[str, dict[str, None]] = {}
        for path in (path for part in self.parts for path in part):
            with McapFile(path) as file:
                if not file.channels:
                    for block in islice(file.blocks(), 8):  # of a cut file: what its beginning tells
                        for _ in file.messages(block):
                            pass
                for channel in file.channels.values():
                    node, record = parse_topic(channel.topic)
                    if channel.topic not in (MARKS, TOTALS):
                        found.setdefault(node, {}).update({} if record is None else {record: None})
        return {node: list(records) for node, records in found.items()}

    @property
    def whole(self) -> bool:
        """Whether each file has its end."""
        return all(_is_whole(path) for part in self.parts for path in part)

    def _left_totals(self, part: list[Path]) -> list[StreamTotals] | None:
        """What the recorder of these files has counted; None if one of them was cut."""
        written = _written_totals(part[-1])
        if written is None or not self.path.is_dir():
            return written
        return read_part_totals(part[-1].parent) or written

    # --- files -------------------------------------------------------------------------------------------------------

    def _count(self, part: list[Path]) -> list[StreamTotals]:
        counted: dict[tuple[str, int], StreamTotals] = {}
        for stored in self._stored_in(part, None, 0):
            stamp = stored.stamp
            key = stored.node, stamp.run
            if key not in counted:
                counted[key] = StreamTotals(*key)
            counted[key].add(stamp.n, stored.time_ns, sum(map(len, stored.messages)), stamp.bound_ns)
        return list(counted.values())

    def _stored_in(self, part: list[Path], nodes: frozenset[str] | None, since_ns: int) -> Iterator[StoredChunk]:
        for path in part:
            with McapFile(path) as file:
                assembly = ChunkAssembly(nodes, self.skipped)
                for block in file.blocks(since_ns):
                    yield from assembly.chunks_of(file, block)
                self.reports[path] = FileReport(path, file.whole, file.damaged, file.size)


def _marks(file: McapFile) -> Iterator[RecordedMark]:
    for block in file.blocks_with(MARKS):
        for message in file.messages(block):
            channel = file.channels.get(message.channel)
            if channel is not None and channel.topic == MARKS:
                with suppress(ChunkError):
                    yield RecordedMark(message.log_time, parse_message("foxglove.Log", message.data).message)


def _written_totals(path: Path) -> list[StreamTotals] | None:
    """What the file's end says of all files of its worker; None if it has none."""
    with McapFile(path) as file:
        if not file.whole or TOTALS_METADATA not in file.metadata:
            return None
        try:
            return [msgspec.json.decode(one, type=StreamTotals) for one in file.metadata[TOTALS_METADATA].values()]
        except (msgspec.DecodeError, RecursionError):
            return None


def _is_whole(path: Path) -> bool:
    with McapFile(path) as file:
        return file.whole
