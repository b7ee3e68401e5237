"""`flowmesh info`: what a recorded session holds, what is missing in it, and whether its files are whole."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from ..recording.reader import SessionReader
from ..recording.session import StreamTotals
from .exit_codes import INCOMPLETE, OK
from .table import counted, size, table

DESCRIPTION = """Show what a recorded session holds: streams, chunks, rates, sizes, missing chunks and why, how exact the
clocks were, marks; and whether its files are whole or cut. Of whole files only the ends are read.

Exit status 3: a file is cut, or the recording is incomplete."""

_HEAD = ("NODE", ">CHUNKS", ">RATE/s", ">SIZE", ">SECONDS", ">MISSING", ">NOT RECORDED", ">CLOCK", "RECORDS")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a session's folder, or one of its .mcap files")
    parser.add_argument("--json", action="store_true", help="print one JSON object; times in ns, sizes in bytes")


def run(asked: argparse.Namespace) -> int:
    reader = SessionReader(asked.path)
    found = _found(reader)
    if asked.json:
        import msgspec

        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_lines(reader, found)) + "\n")
    return OK if is_complete(reader) else INCOMPLETE


def is_complete(reader: SessionReader) -> bool:
    """Whether the session's files have their ends, and its disk was never full."""
    return reader.whole and (reader.manifest is None or reader.manifest.state != "incomplete")


def _found(reader: SessionReader) -> dict[str, Any]:
    manifest = reader.manifest
    return {
        "path": str(reader.path),
        "id": "" if manifest is None else manifest.id,
        "state": "" if manifest is None else manifest.state,
        "whole": reader.whole,
        "streams": reader.totals(),
        "records": reader.records(),
        "marks": [mark._asdict() for mark in reader.marks()],
        "files": [{"path": str(path), "bytes": path.stat().st_size} for part in reader.parts for path in part],
    }


def _lines(reader: SessionReader, found: dict[str, Any]) -> list[str]:
    streams: list[StreamTotals] = found["streams"]
    files, state = found["files"], found["state"]
    total = size(sum(file["bytes"] for file in files))
    ends = "whole" if found["whole"] else "cut: `flowmesh recover` writes whole files beside those without an end"
    if not found["whole"] and state == "open":
        ends = "open: still being recorded, or cut"
    lines = [f"{reader.path}: {counted(len(files), 'file')}, {total}, {ends}"]
    if state == "incomplete":
        lines.append("incomplete: the disk was full before the end")
    lines += ["", *table(_HEAD, [_row(one, found["records"].get(one.node, [])) for one in streams])] if streams else []
    lines += [""] * bool(found["marks"])
    lines += [f"{_clock_time(mark['time_ns'])}  {mark['text']}" for mark in found["marks"]]
    return lines


def _row(one: StreamTotals, records: list[str]) -> tuple[str | int | float, ...]:
    name = one.node if one.run <= 1 else f"{one.node} (run {one.run})"
    reasons = ", ".join(f"{count} {reason}" for reason, count in one.not_recorded.items()) or "-"
    clock = f"±{one.bound_ns / 1e6:.3g} ms" if one.bound_ns else "exact"
    seconds = (one.end_ns - one.begin_ns) / 1e9
    return (
        name, one.chunks, one.rate, size(one.bytes), seconds, one.missing_count, reasons, clock, ", ".join(records)
    )  # fmt: skip


def _clock_time(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) + f".{rest // 10**6:03}"
