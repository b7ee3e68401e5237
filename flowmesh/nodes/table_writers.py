"""CsvWriter and JsonLinesWriter: sinks that write plain values to a text file, with each chunk's number and time.

A line is written whole or not at all; after `kill -9` at most the last second is missing.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import IO, Any

import msgspec

from ..chunk import DataChunk
from ..errors import ChunkError, FlowmeshError, GraphError
from .base import ItemNode, only, path_of

_FLUSH_EVERY = 1.0  # seconds
_PLAIN = (bool, int, float, str, type(None))


class _LineWriter(ItemNode):
    """A sink that appends a line to a file for each chunk."""

    _ending = ""

    def __init__(self, name: str, path: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(name, **options)
        self.path = path_of(self.name, path)
        if self.path.suffix.lower() != self._ending:
            raise GraphError(f"{self.name}: path must end in {self._ending}, got {os.fspath(path)!r}")
        self._file: IO[bytes] | None = None

    def setup(self) -> None:
        try:
            self._file = open(self.path, "wb")  # noqa: SIM115  # closed in teardown
        except OSError as error:
            raise FlowmeshError(f"{self.name}: {self.path} can't be written: {error.strerror}") from error
        self._flushed = time.monotonic()

    def step(self, data: Mapping[str, DataChunk] | None = None) -> None:
        sender, chunk = only(data or {})
        self._write(self._line(sender, chunk))

    def teardown(self) -> None:
        if self._file is not None:
            self._file.close()

    def _line(self, sender: str, chunk: DataChunk) -> bytes:
        raise NotImplementedError

    def _write(self, line: bytes) -> None:
        assert self._file is not None, "setup has opened it"
        try:
            self._file.write(line)
            now = time.monotonic()
            if now - self._flushed >= _FLUSH_EVERY:
                self._file.flush()
                self._flushed = now
        except OSError as error:
            raise FlowmeshError(f"{self.name}: {self.path} can't be written: {error.strerror}") from error


class CsvWriter(_LineWriter):
    """A sink that writes each chunk's plain values as a line of a CSV file.

    Columns: `node` (the sender), `number`, `time` (seconds since the epoch, by the Manager's clock), and one for each plain
    value of the first chunk: a record of a number, text, bool or None has its name, those within a dict or list have
    "record.key" and "record.0". Arrays and bytes are left out. A later chunk may lack values; what has no column is an error.

    Args:
        name: the node's name.
        path: the file, on the host on which the node runs; it ends in .csv and is replaced.
        options: options of Node.

    Raises:
        GraphError: a value is out of range.
        FlowmeshError: in `setup` or `step`: the file can't be written.
        ChunkError: in `step`: a value has no column.
    """

    _ending = ".csv"

    def setup(self) -> None:
        super().setup()
        self._columns: list[str] = []

    def _line(self, sender: str, chunk: DataChunk) -> bytes:
        ns = chunk.stamp.ns
        row = {"node": sender, "number": chunk.number, "time": f"{(ns.created + ns.offset) / 1e9:.6f}"}
        for name, value, _ in chunk.records():
            row.update(plain_values(value, name))
        head = b""
        if not self._columns:
            self._columns = list(row)
            head = _csv_line(self._columns)
        if unknown := [name for name in row if name not in self._columns]:
            raise ChunkError(
                f"{self.name}: the first chunk had no {', '.join(unknown)}: send the same values with each chunk, or use "
                "JsonLinesWriter"
            )
        return head + _csv_line([row.get(name, "") for name in self._columns])


class JsonLinesWriter(_LineWriter):
    """A sink that writes each chunk as a JSON object on a line of its own.

    `{"node": "meter", "number": 1, "time_ns": 1780000000000000000, "value": {...}}`: the sender, the number, the time by the
    Manager's clock, and each record that JSON can hold. Arrays and bytes are left out.

    Args:
        name: the node's name.
        path: the file, on the host on which the node runs; it ends in .jsonl and is replaced.
        options: options of Node.

    Raises:
        GraphError: a value is out of range.
        FlowmeshError: in `setup` or `step`: the file can't be written.
    """

    _ending = ".jsonl"

    def _line(self, sender: str, chunk: DataChunk) -> bytes:
        ns = chunk.stamp.ns
        row: dict[str, Any] = {"node": sender, "number": chunk.number, "time_ns": ns.created + ns.offset}
        for name, value, _ in chunk.records():
            if is_plain(value):
                row[name] = value
        return msgspec.json.encode(row) + b"\n"


def plain_values(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The numbers, texts, bools and Nones in a value, each with its path as a name: "box.x", "box.0"."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from plain_values(item, f"{name}.{key}")
    elif isinstance(value, _PLAIN):
        yield name, value


def is_plain(value: Any) -> bool:
    """Whether it is a number, text, bool or None, or lists and dicts by text of such."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(is_plain, value.values()))
    return all(map(is_plain, value)) if isinstance(value, list) else isinstance(value, _PLAIN)


def _csv_line(cells: list[Any]) -> bytes:
    line = StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()
