"""Command-line options of `flowmesh-worker`, and the sources of its token."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from flowmesh import __version__
from flowmesh.errors import LinkError

from .scrub_secrets import wipe_argument, wipe_variable

VARIABLE = "FLOWMESH_TOKEN"
RECORDINGS_VARIABLE = "FLOWMESH_RECORDINGS"  # the recorders' processes find their folder in it


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="flowmesh-worker",
        allow_abbrev=False,  # otherwise a token would not be found and hidden
        description="Run nodes of flowmesh graphs on this machine for a Manager. Without a token it joins a Manager of the "
        "same user on the same machine; a Manager on another machine prints the line to paste: see `flowmesh token new`.",
    )
    add = parser.add_argument
    add("--name", type=_name, default=socket.gethostname(), help="the worker's name in mappings (%(default)s)")
    add("--ip", help="the Manager's address (127.0.0.1, or what the token says)")
    add("--port", type=_port, help="the Manager's port (9000, or what the token says)")
    add("--id", default="", help="what you call this machine; shown in the status")
    add(
        "--wport", type=_port, default=0, metavar="PORT",
        help="the port at which workers on other machines reach this one (any that is free)",
    )  # fmt: skip
    add(
        "--token", "--join", metavar="TOKEN",
        help=f"lets it join a Manager on another machine; @FILE reads it from a file, - from standard input, and the "
        f"variable {VARIABLE} works, too",
    )  # fmt: skip
    add(
        "--recordings", type=Path, metavar="DIR",
        help="where graphs' recordings lie that are made here; never elsewhere (~/flowmesh-recordings)",
    )  # fmt: skip
    add("--no-pickle", action="store_true", help="take no pickled values: who feeds this worker must send plain ones")
    add(
        "--stay", action="store_true", help="when the Manager ends or vanishes, wait for the next one instead of ending"
    )
    add(
        "--zeroconf", action="store_true",
        help="look for Managers on the local network (extra: zeroconf); this finds an address and gives no trust",
    )  # fmt: skip
    tasks = parser.add_argument_group("tasks", "what this worker offers to tasks: see docs/jobs.md")
    task = tasks.add_argument
    task("--slots", type=int, metavar="N", help="tasks that run here at a time (one for each processor); 0: none")
    task("--kind", default="python", metavar="K", help="what kind= of a task must be to come here (%(default)s)")
    task(
        "--label", action="append", default=[], metavar="L", help="what labels= of a task may ask for; may be repeated"
    )
    task("--price", type=float, default=0.0, metavar="P", help="units for each second of a task (%(default)g)")
    task("--functions", metavar="FILE", help="a Python file with functions that can be called by name")
    task("--only-registered", action="store_true", help="take no shipped functions, only those of --functions")
    add("--version", action="version", version=f"flowmesh {__version__}")
    return parser


def hide_token(arguments: list[str]) -> str | None:
    """Take a token that was given as text out of the arguments, the environment and what /proc shows of both.

    The arguments keep "--token" with an empty text in its place.
    """
    found = None
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in ("--token", "--join") and equals:
            found, arguments[place] = value, f"{name}="
        elif name in ("--token", "--join") and place + 1 < len(arguments):
            found, arguments[place + 1] = arguments[place + 1], ""
    if found is not None and found != "-" and not found.startswith("@") and found and not wipe_argument(found):
        print("flowmesh-worker: other users can see this token in the process list; give it as @FILE", file=sys.stderr)
    variable = os.environ.pop(VARIABLE, None)
    if variable:
        wipe_variable(variable)
    return found if found is not None else variable or None


def read_token(given: str | None) -> str | None:
    """The token's text: as given, from a file, or from standard input.

    Raises:
        OSError: the file can't be read.
        LinkError: it was given, as an empty text: most likely a variable of the shell that is not set.
    """
    if given is None:
        return None
    if not given:
        raise LinkError(
            "--token is empty (a variable that is not set?): without --token it joins your own Manager here"
        )
    if given == "-":
        return sys.stdin.readline().strip()
    return Path(given[1:]).read_text().strip() if given.startswith("@") else given


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a worker has a name, by which mappings call it; this is an empty text")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)
