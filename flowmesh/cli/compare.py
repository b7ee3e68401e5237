"""`flowmesh compare`: whether two recorded sessions hold the same chunks."""

from __future__ import annotations

import argparse
import sys

from ..recording.comparison import compare
from ..recording.reader import SessionReader
from .exit_codes import FAILED, INCOMPLETE, OK, UsageError
from .info import is_complete
from .table import table

DESCRIPTION = """Compare two recorded sessions, stream by stream and number by number: which chunks only one has, and which
differ. Times are not compared.

Exit status 1: they differ. 3: they do not, but one of them is incomplete."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a session's folder, or one of its .mcap files")
    parser.add_argument("b", metavar="B", help="another one")
    parser.add_argument("--stream", metavar="NODE", action="append", help="only this node's stream; may be given again")
    parser.add_argument("--tolerance", type=float, default=0.0, metavar="X", help="by how much numbers may differ (0)")
    parser.add_argument("--trust", action="store_true", help="open pickles: they run code of their writer's choice")


def run(asked: argparse.Namespace) -> int:
    if not asked.tolerance >= 0:
        raise UsageError(f"--tolerance must be a number from 0, got {asked.tolerance}")
    readers = a, b = SessionReader(asked.a, asked.trust), SessionReader(asked.b, asked.trust)
    streams = compare(a, b, asked.stream, asked.tolerance)
    rows = [(one.node, one.equal, one.different, one.only_a, one.only_b) for one in streams]
    lines = table(("NODE", ">EQUAL", ">DIFFERENT", ">ONLY IN A", ">ONLY IN B"), rows)
    lines += [difference for one in streams for difference in one.differences]
    sys.stdout.write("\n".join(lines) + "\n")
    if not all(one.is_equal for one in streams):
        return FAILED
    return OK if all(map(is_complete, readers)) and not any(reader.skipped for reader in readers) else INCOMPLETE
