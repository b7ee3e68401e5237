"""`flowmesh top`: what `status` shows, again and again, with what has changed in between."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..channel.readable import readable
from ..errors import LinkError
from ..status import EdgeStatus, Status
from ..transport.admin_link import AdminLink
from .connection import add_manager_option, connected
from .exit_codes import OK, UsageError
from .status_format import arrow, as_json, dropped, survey, way
from .table import milliseconds, size, table

DESCRIPTION = """Show the nodes and edges of a running Manager live: rates, step times, queues, drops, processor time and
memory. On a terminal it refreshes in place, and q or Ctrl+C ends it; elsewhere it prints once each interval."""

_BEGIN = "\x1b[?1049h\x1b[?25l"  # another screen, no cursor
_END = "\x1b[?25h\x1b[?1049l"
UNKNOWN = "-"  # at the first look


class Sample(NamedTuple):
    """A status, and when it was taken, in seconds of the monotonic clock."""

    time: float
    status: Status


def configure(parser: argparse.ArgumentParser) -> None:
    add_manager_option(parser)
    parser.add_argument(
        "--interval", type=float, metavar="S", default=1.0, help="seconds between two looks (%(default)g)"
    )
    parser.add_argument("--count", type=int, metavar="N", help="end after so many looks")
    parser.add_argument("--json", action="store_true", help="print each look as a JSON object, as `status` does")


def run(asked: argparse.Namespace) -> int:
    if not 0.1 <= asked.interval <= 3600 or (asked.count is not None and asked.count < 1):
        raise UsageError("--interval is a number of seconds from 0.1 to 3600, --count a number from 1")
    live = sys.stdout.isatty() and not asked.json
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl+C: the terminal is given back
        signal.signal(number, signal.default_int_handler)
    with connected(asked) as (link, address):
        try:
            with _terminal() if live else _no_terminal():
                _watch(asked, link, address, live)
        except KeyboardInterrupt:
            pass
        except LinkError as error:
            sys.stderr.write(f"flowmesh top: {error}\n")
    return OK


def _watch(asked: argparse.Namespace, link: AdminLink, address: str, live: bool) -> None:
    before, left = None, asked.count
    while left is None or left > 0:
        now = Sample(time.monotonic(), survey(link))
        text = as_json(now.status, manager=address) if asked.json else "\n".join(look(address, before, now))
        sys.stdout.write(_framed(text) if live else text + ("\n" if asked.json else "\n\n"))
        sys.stdout.flush()
        before, left = now, None if left is None else left - 1
        if left != 0 and _asked_to_end(link, now.time + asked.interval, live):
            return


def look(address: str, before: Sample | None, now: Sample) -> list[str]:
    """The lines to show. Without an earlier sample, values per interval show as "-"."""
    head = f"Manager {address}: the graph is {now.status.state}"
    nodes, edges = table(NODES, _nodes(before, now)), table(EDGES, _edges(before, now))
    return [head, "", *nodes, "", *edges] if len(nodes) > 1 else [head]


NODES = ("NODE", "WORKER", "STATE", ">PER S", ">P50 MS", ">P95 MS", ">QUEUE", ">DROPS", ">CPU %", ">MEMORY", ">ERRORS")
EDGES = ("EDGE", ">PER S", ">BYTES/S", ">QUEUE", ">DROPS/S", "DROPPED", "WAY")


def _nodes(before: Sample | None, now: Sample) -> Iterator[tuple[str | int | float, ...]]:
    for node in now.status.nodes.values():
        inputs = [edge for edge in now.status.edges.values() if edge.target == node.name]
        earlier = before.status.nodes.get(node.name) if before else None
        share = _rate(before, now, earlier.cpu, node.cpu) * 100 if before and earlier else UNKNOWN
        yield (
            node.name, node.worker, node.state, node.rate, milliseconds(node.p50), milliseconds(node.p95),
            sum(edge.in_flight for edge in inputs), sum(map(_drops, inputs)), share, size(node.memory), node.errors,
        )  # fmt: skip


def _edges(before: Sample | None, now: Sample) -> Iterator[tuple[str | int | float, ...]]:
    for key, edge in now.status.edges.items():
        earlier = (before.status.edges.get(key) if before else None) or edge
        yield (
            arrow(edge),
            _rate(before, now, earlier.sent, edge.sent) if before else UNKNOWN,
            size(_rate(before, now, earlier.bytes, edge.bytes)) if before else UNKNOWN,
            edge.in_flight,
            _rate(before, now, _drops(earlier), _drops(edge)) if before else UNKNOWN,
            dropped(edge),
            way(edge),
        )


def _rate(before: Sample, now: Sample, earlier: float, later: float) -> float:
    """The growth of a counter per second; a new run begins at 0 again."""
    if now.time <= before.time:
        return 0.0
    return max(0.0, later - earlier) / (now.time - before.time)


def _drops(edge: EdgeStatus) -> int:
    return sum(edge.dropped.values())


def _framed(text: str) -> str:
    """The text in place of what was on the screen: no line is wrapped, none scrolls it."""
    width, height = shutil.get_terminal_size()
    lines = [line[:width] for line in text.splitlines()[: height - 1]]
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"


def _asked_to_end(link: AdminLink, deadline: float, live: bool) -> bool:
    """Wait until the deadline; returns whether q was pressed meanwhile."""
    fds = [sys.stdin.fileno()] if live and sys.stdin.isatty() else []
    while (left := deadline - time.monotonic()) > 0:
        if link.listen(left, *fds) and fds and readable(fds, 0):
            keys = os.read(fds[0], 100)
            if not keys or b"q" in keys.lower():
                return True
    return False


@contextmanager
def _terminal() -> Iterator[None]:
    """Keys come at once and unseen, the screen is ours; both are given back however it ends."""
    keyboard = sys.stdin.fileno() if sys.stdin.isatty() else None
    earlier = None if keyboard is None else termios.tcgetattr(keyboard)
    sys.stdout.write(_BEGIN)
    try:
        if keyboard is not None:
            tty.setcbreak(keyboard)
        yield
    finally:
        if keyboard is not None and earlier is not None:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, earlier)
        sys.stdout.write(_END)
        sys.stdout.flush()


@contextmanager
def _no_terminal() -> Iterator[None]:
    yield
