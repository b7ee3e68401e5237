"""`flowmesh export`: a session's streams as the files of other programs."""

from __future__ import annotations

import argparse
import sys

from ..recording.exporter import KINDS, export
from ..recording.reader import SessionReader
from .exit_codes import INCOMPLETE, OK, UsageError
from .info import is_complete

DESCRIPTION = """Write the streams of a recorded session as files of other programs. No video is encoded anew, each picture
keeps its microsecond; nothing that is there is replaced. Several kinds may be given at once.

Exit status 3: the session is incomplete, or some of its chunks can't be read; what can be read was exported."""

_PURPOSES = {
    "mp4": "H.264 as a film",
    "wav": "sound as WAV",
    "flac": "sound as FLAC",
    "csv": "plain values as a table with number and times",
    "jsonl": "values as JSON, a line for each chunk",
    "parquet": "plain values as a table of typed columns (needs pyarrow)",
    "frames": "pictures as JPEG as they were recorded, else as PNG",
    "npy": "each array and picture as a .npy file",
    "mcap": "all workers' files as one, by time",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a session's folder, or one of its .mcap files")
    parser.add_argument("-o", "--output", metavar="DIR", default=".", help="the folder to write into (the current one)")
    for kind in KINDS:
        parser.add_argument(f"--{kind}", action="append_const", dest="kinds", const=kind, help=_PURPOSES[kind])
    parser.add_argument("--only", metavar="A,B", default="", help="only the streams of these nodes")
    parser.add_argument("--trust", action="store_true", help="open pickles: they run code of their writer's choice")


def run(asked: argparse.Namespace) -> int:
    if not asked.kinds:
        raise UsageError(f"say what to write: {', '.join(f'--{kind}' for kind in KINDS)}")
    reader = SessionReader(asked.path, trust=asked.trust)
    nodes = [name for name in asked.only.split(",") if name] or None
    made = export(reader, asked.output, asked.kinds, nodes)
    sys.stdout.write("".join(f"{path}\n" for path in made))
    for (node, reason), count in reader.skipped.items():
        sys.stderr.write(f"flowmesh export: {count} chunks of {node} are left out: {reason}\n")
    return OK if is_complete(reader) and not reader.skipped else INCOMPLETE
