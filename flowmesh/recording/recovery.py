"""A whole file out of one that was cut or damaged: what can be read of it, beside it. The damaged file is not touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..errors import FlowmeshError
from .exporter import write_marks, write_stored
from .reader import FileReport, SessionReader
from .schemas import TOTALS_METADATA
from .session import StreamTotals
from .writer import SegmentFile


class RecoveredFile(NamedTuple):
    """A file that was saved.

    Attributes:
        source: the damaged file.
        path: the whole one, beside it.
        chunks: how many whole chunks were found.
        damaged: runs of damaged bytes in the source.
        cut: whether the source has no end.
        totals: what is there of each stream, and which numbers are missing between.
    """

    source: Path
    path: Path
    chunks: int
    damaged: int
    cut: bool
    totals: list[StreamTotals]


def recover(path: str | os.PathLike[str]) -> list[RecoveredFile]:
    """Write NNNN.recovered.mcap beside each file of the session that has no end or is damaged; readers take it instead.

    Raises:
        FlowmeshError: there is no such session, or a file can't be written.
    """
    reader = SessionReader(path)
    saved = []
    for source in (file for part in reader.parts for file in part):
        one = SessionReader(source)
        for _ in one.stored():
            pass
        report = one.reports[source]
        if not report.whole or report.damaged:
            saved.append(_recover_file(source, report))
    return saved


def _recover_file(source: Path, report: FileReport) -> RecoveredFile:
    target = source.with_name(f"{source.name.split('.')[0]}.recovered.mcap")
    draft = target.with_name(f".{target.name}.part")
    draft.unlink(missing_ok=True)
    reader = SessionReader(source)
    file = SegmentFile(draft)
    counted: dict[tuple[str, int], StreamTotals] = {}
    try:
        write_marks(file, reader.marks())
        for stored in reader.stored():
            write_stored(file, stored)
            stamp = stored.stamp
            totals = counted.setdefault((stored.node, stamp.run), StreamTotals(stored.node, stamp.run))
            totals.add(stamp.n, stored.time_ns, sum(map(len, stored.messages)), stamp.bound_ns)
        written = {f"{one.node}#{one.run}": msgspec.json.encode(one).decode() for one in counted.values()}
        file.finish({TOTALS_METADATA: written}, {})
        draft.replace(target)
    except OSError as error:
        file.abandon()
        draft.unlink(missing_ok=True)
        raise FlowmeshError(f"{target} can't be written: {error.strerror or error}") from error
    chunks = sum(one.chunks for one in counted.values())
    return RecoveredFile(source, target, chunks, report.damaged, not report.whole, list(counted.values()))
