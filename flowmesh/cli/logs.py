"""`flowmesh logs`: what a running Manager, its workers and its nodes' loggers have said."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time

from ..errors import LinkError
from ..transport.admin_link import AdminLink
from ..wire.messages import AdminLogLine, LogRequest
from .connection import add_manager_option, connected
from .exit_codes import OK

DESCRIPTION = """Show what a running Manager, its workers and its nodes (`self.logger`) have said. The Manager keeps the
last 1000 lines."""

LEVELS = ("debug", "info", "warning", "error")
_EVERY = 3600.0  # seconds of one wait: lines end it, and so does the Manager's end


def configure(parser: argparse.ArgumentParser) -> None:
    add_manager_option(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with every further line; Ctrl+C ends it")
    parser.add_argument("--level", choices=LEVELS, default="debug", help="only lines of this level or a higher one")
    parser.add_argument("--node", default="", help="only lines of this node")
    parser.add_argument(
        "--last", type=int, metavar="N", default=1000, help="how many of the lines so far (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print each line as a JSON object")


def run(asked: argparse.Namespace) -> int:
    show = _as_json if asked.json else as_text
    level = logging.getLevelNamesMapping()[asked.level.upper()]
    with connected(asked) as (link, _):
        for line in link.ask(
            lambda number: LogRequest(number, max(0, asked.last), level, asked.node, asked.follow), list[AdminLogLine]
        ):
            sys.stdout.write(f"{show(line)}\n")
        sys.stdout.flush()
        try:
            while asked.follow:
                for line in _more(link):
                    sys.stdout.write(f"{show(line)}\n")
                sys.stdout.flush()
        except KeyboardInterrupt:
            pass
        except LinkError as error:
            sys.stderr.write(f"flowmesh logs: {error}\n")
    return OK


def _more(link: AdminLink) -> list[AdminLogLine]:
    link.listen(_EVERY)
    lines, link.lines = link.lines, []
    return lines


def as_text(line: AdminLogLine) -> str:
    """A line of the log as a line of text; what it says may have several."""
    clock = time.strftime("%H:%M:%S", time.localtime(line.time)) + f"{line.time % 1:.3f}"[1:]
    who = line.node if not line.worker else f"{line.node or 'worker'}@{line.worker}"
    return f"{clock} {logging.getLevelName(line.level):<7} {f'{who}: ' if who else ''}{line.text}"


def _as_json(line: AdminLogLine) -> str:
    level = logging.getLevelName(line.level)
    return json.dumps(
        {"time": line.time, "level": level.lower(), "node": line.node, "worker": line.worker, "text": line.text}
    )
