"""A session's streams as the files of other programs. Nothing that was lossless becomes lossy, and no video is encoded anew.

kind    takes                     writes
mp4     H.264                     one film for each run of pictures of one size, each picture at its microsecond
wav     sound                     16-bit PCM
flac    sound                     the same, shortened without loss
csv     values                    number, time_ns, created_ns, and a column for each plain value
jsonl   values                    one JSON object a line
parquet values                    the columns of csv, typed (extra `table`)
frames  pictures                  JPEG as it was recorded, else PNG (.npy where PNG has no such picture)
npy     arrays and pictures       one .npy for each chunk
mcap    everything                one file of all workers, by time
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from fractions import Fraction
from pathlib import Path

from ..errors import FlowmeshError
from . import export_media, export_tables
from .assembly import StoredChunk
from .reader import RecordedMark, SessionReader
from .schemas import (
    MARKS,
    PROTOBUF,
    ChannelKey,
    build_message,
    encode_stamp,
    record_key,
    stamp_key,
)
from .session import safe_name
from .writer import SegmentFile

KINDS = ("mp4", "wav", "flac", "csv", "jsonl", "parquet", "frames", "npy", "mcap")
_SCALARS = (bool, int, float, str, type(None))
_MICROSECOND = Fraction(1, 1_000_000)


def export(
    session: str | os.PathLike[str] | SessionReader,
    to: str | os.PathLike[str],
    kinds: Collection[str],
    nodes: Collection[str] | None = None,
) -> list[Path]:
    """Write a session's streams as files of these kinds into the folder `to`; the files and folders that were made.

    A kind that fits no stream writes nothing. What is there already is not replaced.

    Raises:
        FlowmeshError: an unknown kind, a library that is missing, or a file that is there or can't be written.
    """
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise FlowmeshError(f"the kind must be one of {', '.join(KINDS)}, got {', '.join(map(repr, unknown))}")
    reader = session if isinstance(session, SessionReader) else SessionReader(session)
    folder = Path(to)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [path for kind in KINDS if kind in kinds for path in _EXPORTERS[kind](reader, folder, nodes)]
    except FileExistsError as error:
        raise FlowmeshError(
            f"{error.filename} is there already: move it away, or export into another folder"
        ) from error
    except OSError as error:
        raise FlowmeshError(f"{error.filename or folder} can't be written: {error.strerror or error}") from error


Nodes = Collection[str] | None


def _export_mcap(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    path = folder / f"{safe_name(reader.path.name.removesuffix('.mcap'))}.mcap"
    if path.exists():
        raise FileExistsError(17, "is there already", str(path))
    file = SegmentFile(path)
    try:
        write_marks(file, reader.marks())
        for stored in reader.stored(nodes):
            write_stored(file, stored)
        file.finish({}, {})
    except OSError:
        file.abandon()
        raise
    return [path]


def write_marks(file: SegmentFile, marks: Iterable[RecordedMark]) -> None:
    """Copy marks into another file; `OSError` if the disk is full."""
    for mark in marks:
        data = build_message("foxglove.Log", mark.time_ns, level=2, name="mark", message=mark.text)
        file.add(ChannelKey(MARKS, PROTOBUF, "foxglove.Log"), data, mark.time_ns, mark.time_ns, 0)


def write_stored(file: SegmentFile, stored: StoredChunk) -> None:
    """Copy a chunk from one file into another; `OSError` if the disk is full."""
    node, stamp = stored.node, stored.stamp
    for entry, data in zip(stamp.records, stored.messages, strict=True):
        file.add(record_key(node, entry.name, entry.form), data, stored.time_ns, stored.created_ns, stamp.n)
    file.add(stamp_key(node), encode_stamp(stamp), stored.time_ns, stored.created_ns, stamp.n)


_EXPORTERS: dict[str, Callable[[SessionReader, Path, Nodes], list[Path]]] = {
    "mp4": export_media.export_mp4,
    "wav": export_media.export_wav,
    "flac": export_media.export_flac,
    "csv": export_tables.export_csv,
    "jsonl": export_tables.export_jsonl,
    "parquet": export_tables.export_parquet,
    "frames": export_media.export_frames,
    "npy": export_media.export_npy,
    "mcap": _export_mcap,
}
