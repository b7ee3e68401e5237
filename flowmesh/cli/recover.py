"""`flowmesh recover`: whole files out of those of a session that were cut or damaged."""

from __future__ import annotations

import argparse
import sys

from ..recording.recovery import recover
from .exit_codes import OK
from .table import counted

DESCRIPTION = """Write a whole file, NNNN.recovered.mcap, beside each file of a session that was cut or damaged, and list what
was lost. The damaged files are not touched; all verbs read the recovered ones in their place."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a session's folder, or one of its .mcap files")


def run(asked: argparse.Namespace) -> int:
    saved = recover(asked.path)
    lines = [] if saved else [f"{asked.path}: all files are whole"]
    for file in saved:
        what = "has no end" if file.cut else "is damaged"
        damage = f", {counted(file.damaged, 'damaged place')}" if file.damaged else ""
        lines.append(f"{file.source} {what}{damage}: {counted(file.chunks, 'chunk')} saved in {file.path.name}")
        for one in file.totals:
            gaps = ", ".join(f"{begin}" if begin == end else f"{begin}-{end}" for begin, end in one.missing[:20])
            lines.append(f"    {one.node}: {one.chunks} chunks, {one.first} to {one.last}; missing: {gaps or 'none'}")
    sys.stdout.write("\n".join(lines) + "\n")
    return OK
