"""`flowmesh record`: run a graph, and record its streams."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import GraphError
from ..manager import Manager
from ..recording.options import Exact, Option, Video
from ..recording.reader import SessionReader
from . import run as run_verb
from .exit_codes import INCOMPLETE, OK, UsageError
from .info import is_complete
from .loader import load

DESCRIPTION = """Run the graph of a Python file as `flowmesh run` does, and record the streams of its nodes into a new
session's folder, whose name is printed at the end. What the file itself records with Graph.record() is recorded, unless
options here say otherwise.

Exit status 3: the recording is incomplete."""


def configure(parser: argparse.ArgumentParser) -> None:
    run_verb.configure(parser)
    parser.add_argument(
        "--stream", metavar="NODE", action="append", default=[], help="record only this node; may be given again"
    )
    parser.add_argument(
        "--video", metavar="NODE/RECORD", action="append", default=[], help="write these pictures as H.264"
    )
    parser.add_argument(
        "--exact", metavar="NODE/RECORD", action="append", default=[], help="write these pictures bit for bit"
    )
    parser.add_argument("--to", metavar="DIR", default="recordings", help="the folder of all sessions (recordings)")
    parser.add_argument(
        "--name", default="session", help="what the session's folder is called, before its time (session)"
    )
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="record so long; the graph goes on")
    parser.add_argument("--reserve", default="2GiB", metavar="BYTES", help="what stays free on the disk (2GiB)")
    parser.add_argument(
        "--on-full", choices=("end", "fail"), default="end", help="when the disk is full: end the recording, or fail"
    )


def run(asked: argparse.Namespace) -> int:
    graph = load(asked.file)
    how: dict[str, Option] = {place: Video() for place in asked.video}
    how |= {place: Exact() for place in asked.exact}
    try:
        if graph.recording is None or asked.stream or how:
            graph.recording = None
            graph.record(
                *asked.stream, to=asked.to, name=asked.name, how=how, duration=asked.duration, reserve=asked.reserve,
                on_full=asked.on_full,
            )  # fmt: skip
    except GraphError as error:
        raise UsageError(str(error)) from error
    folders: list[Path] = []

    def committed(manager: Manager) -> None:
        folders.append(manager.recording.folder)

    status = run_verb.run_graph(asked, graph, committed)
    if not folders or status != OK:
        return status
    sys.stdout.write(f"{folders[0]}\n")
    return OK if is_complete(SessionReader(folders[0])) else INCOMPLETE
