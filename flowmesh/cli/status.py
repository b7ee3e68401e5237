"""`flowmesh status`: what a running Manager's graph does, once."""

from __future__ import annotations

import argparse
import sys

from .connection import add_manager_option, connected
from .exit_codes import OK
from .status_format import as_json, as_text, survey

DESCRIPTION = """Show the workers, nodes and edges of a running Manager: states, steps, rates, step times, processor time,
memory; what was sent, received, is waiting and was dropped, and why."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_manager_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object; times in seconds, sizes in bytes")


def run(asked: argparse.Namespace) -> int:
    with connected(asked) as (link, address):
        status = survey(link)
    if asked.json:
        text = as_json(status, manager=address)
    else:
        text = "\n\n".join([f"Manager {address}: the graph is {status.state}", *as_text(status)])
    sys.stdout.write(f"{text}\n")
    return OK
