"""Recorded values as tables: CSV, JSON lines, Parquet. What is no value (pictures, arrays, pickles) is left out."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from ..errors import FlowmeshError
from ..nodes.table_writers import plain_values
from .reader import SessionReader
from .session import safe_name

Nodes = Collection[str] | None


def _rows(reader: SessionReader, nodes: Nodes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each chunk's values as a row; what is no value (pictures, arrays, pickles) is left out."""
    decode = msgspec.json.Decoder().decode, msgspec.msgpack.Decoder().decode
    for stored in reader.stored(nodes):
        values = {}
        for entry, data in zip(stored.stamp.records, stored.messages, strict=True):
            if entry.form in ("json", "msgpack"):
                values[entry.name] = decode[entry.form == "msgpack"](data).get("value")
        if values:
            row = {"number": stored.stamp.n, "time_ns": stored.time_ns, "created_ns": stored.created_ns}
            yield stored.node, row | {"values": values}


def _table(reader: SessionReader, nodes: Nodes) -> dict[str, list[dict[str, Any]]]:
    """By node, flat rows."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for node, row in _rows(reader, nodes):
        values = row.pop("values")
        for name, value in values.items():
            row.update(plain_values(value, name))
        tables.setdefault(node, []).append(row)
    return tables


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def export_csv(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    made = []
    for node, rows in _table(reader, nodes).items():
        path = folder / f"{safe_name(node)}.csv"
        with path.open("x", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _columns(rows), restval="")
            writer.writeheader()
            writer.writerows(rows)
        made.append(path)
    return made


def export_jsonl(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    files: dict[str, Any] = {}
    made = []
    with ExitStack() as stack:
        for node, row in _rows(reader, nodes):
            if node not in files:
                made.append(folder / f"{safe_name(node)}.jsonl")
                files[node] = stack.enter_context(made[-1].open("xb"))
            values = row.pop("values")
            files[node].write(msgspec.json.encode(row | values) + b"\n")
    return made


def export_parquet(reader: SessionReader, folder: Path, nodes: Nodes) -> list[Path]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise FlowmeshError('parquet needs pyarrow: pip install "pyarrow>=26"') from error
    made = []
    for node, rows in _table(reader, nodes).items():
        path = folder / f"{safe_name(node)}.parquet"
        columns = {name: [row.get(name) for row in rows] for name in _columns(rows)}
        arrays = {}
        for name, values in columns.items():
            try:
                arrays[name] = pyarrow.array(values)
            except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # of several types: as text
                arrays[name] = pyarrow.array([None if value is None else str(value) for value in values])
        with path.open("xb") as file:
            pyarrow.parquet.write_table(pyarrow.table(arrays), file)
        made.append(path)
    return made
