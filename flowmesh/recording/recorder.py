"""Recorder: a sink that writes what it gets into a session's file. It imports neither networkx nor ZeroMQ.

    step (the node's thread) -> encoders (a pool; a thread of its own for each H.264 stream) -> writer (one thread)

`step` hands on the frames in their slots and returns; it waits where `Backlog` is full, so that a slow disk holds up a
lossless edge and makes a lossy one drop, which the edge counts. The file is flushed each second: that is what a crash costs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from .. import __version__
from ..chunk import DataChunk
from ..errors import ChunkError, GraphError
from ..node import is_number, register
from ..nodes.base import ItemNode, is_whole, only
from .backlog import BacklogChunk, BacklogMark
from .encoding import EncodedRecord, RecordEncoder
from .options import Option, check_options
from .recorder_threads import RecorderThreads
from .schemas import ChunkStamp, message_class
from .session import MANIFEST, Manifest, SessionFolder, new_id, safe_name
from .writer import SessionWriter

RECORDINGS_VARIABLE = "FLOWMESH_RECORDINGS"  # the folder of a worker's recordings, in its environment
ON_FULL = ("end", "fail")
_LARGE = 16 << 10  # bytes: smaller arrays are encoded at once, as handing them over costs more
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


class Recorder(ItemNode):
    """A sink that records all that it gets, in order, into an MCAP file of a session's folder.

    Connect it to the nodes that are to be recorded: `graph.add_edge(camera, Recorder("recorder"))`. Its session is
    `to`/SESSION-YYYYmmddTHHMMSS-xxxx/ on the host on which the node runs; `flowmesh info` shows it, Foxglove and Rerun open
    its files, `Player` plays it.

    Needs the packages of the extra `record`.

    Args:
        name: the node's name.
        to: the folder of all sessions; made if it is not there.
        session: what the new session's folder is called, before its time.
        how: {"NODE/RECORD" or "NODE": an option of `flowmesh.recording`}; what is not named is written as is usual for it.
        only: the names of the records to write; None: all.
        start: record from the first chunk; otherwise from `begin()`.
        duration: seconds of recording after the first chunk; None: no limit.
        on_full: what happens when the disk has come to its reserve: "end" (the recording) or "fail" (the graph).
        reserve: bytes that stay free on the disk, also as "2GiB".
        segment: bytes after which a new file begins.
        folder: an existing session's folder to write into, in place of a new one below `to`. On a host where it is not there,
            one of that name in the folder of the worker's recordings (`~/flowmesh-recordings`).
        part: the folder within it; None: the node's name.
        options: options of Node.

    Raises:
        GraphError: a value is out of range.
        FlowmeshError: in `setup`: the folder can't be made or the disk has no room; in `step`, with on_full="fail": it is
            full.
    """

    hold = 8

    def __init__(
        self,
        name: str | None = None,
        *,
        to: str | os.PathLike[str] = "recordings",
        session: str = "session",
        how: Mapping[str, Option] | None = None,
        only: Sequence[str] | None = None,
        start: bool = True,
        duration: float | None = None,
        on_full: str = "end",
        reserve: int | str = "2GiB",
        segment: int | str = "2GiB",
        folder: str | os.PathLike[str] | None = None,
        part: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, **options)
        if on_full not in ON_FULL:
            raise GraphError(f"{self.name}: on_full must be 'end' or 'fail', got {on_full!r}")
        if duration is not None and not (is_number(duration) and duration > 0):
            raise GraphError(f"{self.name}: duration must be a number of seconds above 0, got {duration!r}")
        if isinstance(only, str):
            raise GraphError(f"{self.name}: only must be a list of records' names, got {only!r}")
        if not isinstance(session, str) or not session:
            raise GraphError(f"{self.name}: session must be a name, got {session!r}")
        self.to, self.session, self.how = Path(to), session, check_options(how or {})
        self.only = None if only is None else tuple(only)
        self.start, self.duration, self.on_full = start, duration, on_full
        self.reserve = byte_count(self.name, "reserve", reserve)
        self.segment = byte_count(self.name, "segment", segment)
        self.folder, self.part = None if folder is None else Path(folder), part
        self._work: RecorderThreads | None = None

    def setup(self) -> None:
        session = self._new_session() if self.folder is None else SessionFolder(local_folder(self.folder))
        for name in (
            "foxglove.Log",
            "flowmesh.Array",
        ):  # before the first chunk: a library that is missing fails the setup
            message_class(name)
        self._session = session
        self._encoders: dict[tuple[str, str], RecordEncoder] = {}
        self._new_keys: set[tuple[str, str]] = set()  # streams whose next packet begins a file
        self._window: tuple[float, float] = (0 if self.start else float("inf"), float("inf"))
        self._work = RecorderThreads(
            self.name,
            SessionWriter(session.part(self.part or self.name), self.segment, self.reserve),
            self.logger,
            fails_when_full=self.on_full == "fail",
        )

    def step(self, data: Mapping[str, DataChunk] | None = None) -> None:
        sender, chunk = only(data or {})
        work = self._running_work()
        work.raise_if_failed()
        stamp = chunk.stamp
        created, offset, bound = stamp.ns
        if not self._is_wanted(created + offset):
            return
        if work.begins_segment():
            self._new_keys = {key for key, encoder in self._encoders.items() if encoder.is_video}
        records = [
            self._encode(work, sender, name, value, content_type, created + offset)
            for name, value, content_type in chunk.records()
            if self.only is None or name in self.only
        ]
        written = ChunkStamp(
            stamp.number, stamp.trigger, stamp.emission, stamp.last, stamp.run, stamp.epoch, dict(stamp.origin_ns),
            offset, bound,
        )  # fmt: skip
        work.put(BacklogChunk(sender, created, written, records))

    def teardown(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work.close()
            work.leave_totals()
            if self.folder is None:
                self._close_session(work)
            work.raise_if_failed()

    @register
    def begin(self, at_ns: int | None = None) -> None:
        """Record what is created from then on: ns of the Manager's clock; None: all that comes now."""
        self._window = (0 if at_ns is None else at_ns, float("inf"))

    @register
    def end(self, at_ns: int | None = None) -> None:
        """Record nothing that is created from then on."""
        self._window = (self._window[0], time.time_ns() if at_ns is None else at_ns)

    @register
    def mark(self, text: str, at_ns: int | None = None) -> None:
        """Write a mark into the file, at a time of the Manager's clock in ns; None: now."""
        self._running_work().put(BacklogMark(time.time_ns() if at_ns is None else at_ns, text))

    @register
    def info(self) -> dict[str, Any]:
        """The session's folder, the totals of its streams (as `StreamTotals`), and whether the disk was full."""
        work = self._running_work()
        return {
            "folder": str(self._session.folder),
            "totals": [msgspec.to_builtins(one) for one in work.totals()],
            "full": work.full,
            "waiting": work.backlog.bytes,
        }

    def _new_session(self) -> SessionFolder:
        made = Manifest(new_id(self.session), time.time_ns(), flowmesh=__version__)
        made.workers = {self.part or self.name: self.name}
        made.streams = {place: {"option": repr(option)} for place, option in self.how.items()}
        return SessionFolder.create(self.to, self.session, made)

    def _close_session(self, work: RecorderThreads) -> None:
        manifest = self._session.read_manifest()
        if manifest is not None:
            manifest.state = "incomplete" if work.full else "closed"
            manifest.totals = work.totals()
            self._session.write_manifest(manifest)

    def _running_work(self) -> RecorderThreads:
        assert self._work is not None, "setup has made it"
        return self._work

    def _is_wanted(self, time_ns: int) -> bool:
        begin, end = self._window
        if not begin <= time_ns < end:
            return False
        if self.duration is not None and end == float("inf"):
            self._window = (begin, time_ns + round(self.duration * 1e9))
        return True

    def _encode(
        self, work: RecorderThreads, sender: str, name: str, value: Any, content_type: str, time_ns: int
    ) -> EncodedRecord | Future[EncodedRecord]:
        key = sender, name
        encoder = self._encoders.get(key)
        if encoder is None:
            option = self.how.get(f"{sender}/{name}") or self.how.get(sender)
            encoder = self._encoders[key] = RecordEncoder(sender, name, option)
        new_key = key in self._new_keys
        self._new_keys.discard(key)
        if not encoder.is_video and not _is_large(value):
            try:
                return encoder.encode(value, content_type, time_ns)
            except ChunkError as error:
                failed: Future[EncodedRecord] = Future()
                failed.set_exception(error)
                return failed
        pool = work.pool_of(key if encoder.is_video else None)
        return pool.submit(partial(encoder.encode, value, content_type, time_ns, new_key))


def byte_count(node: str, name: str, value: object) -> int:
    """A number of bytes, or a text such as "2GiB".

    Raises:
        GraphError: it is neither.
    """
    if isinstance(value, str):
        digits, unit = value[:-3].strip(), _UNITS.get(value[-3:])
        if unit is not None and digits.isdecimal():
            return int(digits) * unit
    elif is_whole(value, 0):
        return value
    raise GraphError(f"{node}: {name} must be a number of bytes from 0, or such as '2GiB', got {value!r}")


def _is_large(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.nbytes > _LARGE
    return type(value) is list and any(isinstance(item, np.ndarray) for item in value)


def local_folder(folder: Path) -> Path:
    """The session's folder on this host: that of the Manager's host where it is there, else one of that name below the
    worker's own folder of recordings, and never outside of that."""
    if (folder / MANIFEST).exists():
        return folder
    below = Path(os.environ.get(RECORDINGS_VARIABLE) or "~/flowmesh-recordings").expanduser()
    return below / safe_name(folder.name)
