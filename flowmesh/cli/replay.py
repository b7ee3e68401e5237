"""`flowmesh replay`: run a graph whose sources are played from a recording."""

from __future__ import annotations

import argparse
import sys

from ..recording.reader import SessionReader
from . import run as run_verb
from .exit_codes import INCOMPLETE, OK
from .info import is_complete
from .loader import load

DESCRIPTION = """Run the graph of a Python file as `flowmesh run` does, with its sources played from a recorded session: the
same records, in the same order, with times that keep their distance. Nodes that feed nothing then are left out.

Exit status 3: done, but the recording is incomplete: what is there was played."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION", help="the session's folder, or one of its .mcap files")
    run_verb.configure(parser)
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="the speed, 1 as it was; 0: as fast as can be"
    )
    parser.add_argument("--loop", action="store_true", help="begin again at the end, until Ctrl+C")
    parser.add_argument(
        "--from",
        dest="begin",
        type=float,
        metavar="S",
        help="where to begin, in seconds after the recording's beginning",
    )
    parser.add_argument("--to", dest="end", type=float, metavar="S", help="where to end, likewise")
    parser.add_argument(
        "--only", metavar="A,B", default="", help="replace these nodes, sources or not; without it, all sources"
    )
    parser.add_argument("--trust", action="store_true", help="open pickles: they run code of their writer's choice")


def run(asked: argparse.Namespace) -> int:
    only = [name for name in asked.only.split(",") if name] or None
    graph = load(asked.file).replaying(
        asked.session,
        only=only,
        speed=asked.speed,
        loop=asked.loop,
        begin=asked.begin,
        end=asked.end,
        trust=asked.trust,
    )
    status = run_verb.run_graph(asked, graph)
    if status == OK and not is_complete(SessionReader(asked.session)):
        sys.stderr.write(f"flowmesh replay: {asked.session} is incomplete: what is there was played\n")
        return INCOMPLETE
    return status
