"""The folder of a session: names, places, and `session.json`. No record is read or written here.

    NAME-YYYYmmddTHHMMSS-xxxx/
        session.json        written first, replaced atomically: see Manifest
        events.jsonl        one JSON object a line: marks, logs, states, clocks
        WORKER/0001.mcap    the records; 0002.mcap, ... when a file has reached its size
        WORKER/totals.json  what the recorder counted to its end, also behind a file that a full disk has closed
    WORKER/0001.recovered.mcap    what `recover` saved of a file that was cut: read in its place

A folder that exists is never written into by another session. Names are made safe: no path leads out of the folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import IO, Any

import msgspec

from ..errors import FlowmeshError

VERSION = 1
MANIFEST, EVENTS, TOTALS = "session.json", "events.jsonl", "totals.json"
STATES = ("open", "closed", "incomplete")
_MOST_GAPS = 10_000  # runs of missing numbers that are listed
_LARGEST_MANIFEST = 16 << 20  # bytes: a session's description is a few kB
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_SEGMENT = re.compile(r"([0-9]{4,9})(\.recovered)?\.mcap")


class StreamTotals(msgspec.Struct, omit_defaults=True):
    """What is known of a node's stream in one run of the graph: chunks + missing = last - first + 1.

    Attributes:
        node: the node's name.
        run: which run of the graph.
        first, last: the numbers of the first and last chunk that reached the recorder; 0 before there is one.
        chunks: how many are in the file.
        bytes: of payload, in the file.
        missing: runs [from, to] of numbers that are not in the file.
        more_missing: numbers in further runs, where there are too many to list.
        not_recorded: {reason: how many}, of those that reached the recorder.
        begin_ns, end_ns: when the first and the last chunk in the file were created, by the Manager's clock.
        bound_ns: by how much that clock may have been misjudged, at most; 0 where it is exact or not known.
    """

    node: str
    run: int = 0
    first: int = 0
    last: int = 0
    chunks: int = 0
    bytes: int = 0
    missing: list[tuple[int, int]] = []
    more_missing: int = 0
    not_recorded: dict[str, int] = {}
    begin_ns: int = 0
    end_ns: int = 0
    bound_ns: int = 0

    @property
    def rate(self) -> float:
        """Chunks a second, as they were created."""
        seconds = (self.end_ns - self.begin_ns) / 1e9
        return (self.chunks - 1) / seconds if seconds > 0 else 0.0

    def add(self, number: int, time_ns: int, size: int, bound_ns: int) -> None:
        """A chunk is in the file."""
        self.reach(number)
        self.begin_ns = self.begin_ns or time_ns
        self.end_ns = max(self.end_ns, time_ns)
        self.bound_ns = max(self.bound_ns, bound_ns)
        self.chunks += 1
        self.bytes += size

    def reach(self, number: int) -> None:
        """A chunk of this number is there: what lies between it and the last one is missing."""
        if not self.first:
            self.first = self.last = number
        elif number > self.last + 1:
            self.miss(self.last + 1, number - 1)
        self.last = max(self.last, number)

    def miss(self, begin: int, end: int) -> None:
        """These numbers are not in the file."""
        if self.missing and self.missing[-1][1] == begin - 1:
            self.missing[-1] = self.missing[-1][0], end
        elif len(self.missing) < _MOST_GAPS:
            self.missing.append((begin, end))
        else:
            self.more_missing += end - begin + 1

    @property
    def missing_count(self) -> int:
        """How many numbers between the first and the last are not in the file."""
        return sum(end - begin + 1 for begin, end in self.missing) + self.more_missing


class Manifest(msgspec.Struct, omit_defaults=True):
    """`session.json`.

    Attributes:
        id: the folder's name.
        created_ns: when the session began, in ns since the epoch.
        flowmesh: the version that wrote it.
        state: "open", "closed" or "incomplete".
        workers: {folder below the session: the worker's name}.
        graph: the recorded graph as a Mermaid flowchart.
        parameters: {node: {parameter: its value as text}}.
        streams: {node: {record: what it is written as}}, as far as options were given.
        totals: of all streams, once it is closed.
    """

    id: str
    created_ns: int
    version: int = VERSION
    flowmesh: str = ""
    state: str = "open"
    workers: dict[str, str] = {}
    graph: str = ""
    parameters: dict[str, dict[str, str]] = {}
    streams: dict[str, dict[str, str]] = {}
    totals: list[StreamTotals] = []


class SessionFolder:
    """A session's folder.

    Args:
        folder: an existing one; `SessionFolder.create` makes a new one.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    @classmethod
    def create(cls, to: str | os.PathLike[str], name: str, manifest: Manifest | None = None) -> SessionFolder:
        """Make the folder of a new session below `to`, with its `session.json`.

        Raises:
            FlowmeshError: it can't be made.
        """
        made = manifest or Manifest(new_id(name), time.time_ns())
        session = cls(Path(to) / safe_name(made.id))
        try:
            session.folder.parent.mkdir(parents=True, exist_ok=True)
            session.folder.mkdir()
        except OSError as error:
            raise FlowmeshError(f"the session's folder {session.folder} can't be made: {error.strerror}") from error
        session.write_manifest(made)
        return session

    def part(self, name: str) -> Path:
        """The folder of a worker's files, which need not be there."""
        return self.folder / safe_name(name)

    def parts(self) -> list[Path]:
        """The folders that hold files, by name."""
        return sorted(path for path in self.folder.iterdir() if path.is_dir() and segments(path))

    def read_manifest(self) -> Manifest | None:
        """`session.json`; None if there is none.

        Raises:
            FlowmeshError: it can't be read, or is damaged.
        """
        path = self.folder / MANIFEST
        try:
            if not path.exists():
                return None
            if path.stat().st_size > _LARGEST_MANIFEST:
                raise FlowmeshError(f"{path} is damaged: it is larger than {_LARGEST_MANIFEST} bytes")
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except OSError as error:
            raise FlowmeshError(f"{path} can't be read: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FlowmeshError(f"{path} is damaged: {error}") from error

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace `session.json`: a reader sees the old one or the new one, also after a crash.

        Raises:
            FlowmeshError: it can't be written.
        """
        path, draft = self.folder / MANIFEST, self.folder / f".{MANIFEST}.{secrets.token_hex(4)}"
        try:
            with draft.open("xb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            raise FlowmeshError(f"{path} can't be written: {error.strerror}") from error


class EventLog:
    """`events.jsonl`: one JSON object a line, whole after a crash but for the last line."""

    def __init__(self, session: SessionFolder) -> None:
        self._file: IO[bytes] = (session.folder / EVENTS).open("ab", buffering=0)

    def append(self, kind: str, **fields: Any) -> None:
        """Write an event of this kind, with the present time in ns; fields are JSON values."""
        self._file.write(msgspec.json.encode({"ns": time.time_ns(), "kind": kind, **fields}) + b"\n")

    def close(self) -> None:
        """Twice does no harm."""
        self._file.close()


def new_id(name: str) -> str:
    """A session's id: the name, the local time and four random digits."""
    return f"{safe_name(name)}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}"


def safe_name(name: str) -> str:
    """A file's name for any text. Where a character had to go, a digest keeps different texts different."""
    safe = _UNSAFE.sub("_", name).lstrip(".")[:100] or "_"
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:6]}"


def segment_path(part: Path, index: int) -> Path:
    """The file of that index, from 1."""
    return part / f"{index:04}.mcap"


def segments(part: Path) -> list[Path]:
    """The files of a worker's folder in their order: where there is a recovered one, that one."""
    found: dict[int, Path] = {}
    for path in sorted(part.iterdir()):  # "0001.mcap" comes before "0001.recovered.mcap"
        if match := _SEGMENT.fullmatch(path.name):
            found[int(match[1])] = path
    return [found[index] for index in sorted(found)]


def write_part_totals(part: Path, totals: list[StreamTotals]) -> None:
    """Leave a recorder's totals in its folder; `OSError` if the disk has no room for them."""
    (part / TOTALS).write_bytes(msgspec.json.encode(totals) + b"\n")


def read_part_totals(part: Path) -> list[StreamTotals] | None:
    """What a recorder has left in its folder; None if it has not, or that is damaged."""
    path = part / TOTALS
    try:
        if path.stat().st_size > _LARGEST_MANIFEST:
            return None
        return msgspec.json.decode(path.read_bytes(), type=list[StreamTotals])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
