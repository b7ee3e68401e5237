"""`flowmesh stop`: the graph of a running Manager comes to its end, in order."""

from __future__ import annotations

import argparse
import json
import sys

from ..wire.messages import StopRequest
from .connection import add_manager_option, connected
from .exit_codes import FAILED, OK, UsageError

DESCRIPTION = """Stop the graph of a running Manager in order: sources finish their step, what is in flight is worked off,
every node is torn down. The program that waits for the graph goes on as if all sources had ended. Exit status 1 if the
graph has failed, also where a node was stuck and had to be killed."""

_SLACK = (
    20.0  # seconds beyond the drain: for steps and teardowns, each of which may take 5, and for the kills after them
)


def configure(parser: argparse.ArgumentParser) -> None:
    add_manager_option(parser)
    parser.add_argument(
        "--drain", type=float, metavar="S", help="how long what is in flight may take to be worked off (5 s)"
    )
    parser.add_argument("--json", action="store_true", help="print the state that is reached as a JSON object")


def run(asked: argparse.Namespace) -> int:
    if asked.drain is not None and not 0 <= asked.drain < 1e6:
        raise UsageError(f"--drain is a number of seconds from 0, not {asked.drain!r}")
    with connected(asked) as (link, address):
        timeout = (5.0 if asked.drain is None else asked.drain) + _SLACK
        state = link.ask(lambda number: StopRequest(number, asked.drain), str, timeout)
    if asked.json:
        text = json.dumps({"manager": address, "state": state})
    else:
        text = f"Manager {address}: " + ("there is no graph" if state == "empty" else f"the graph is {state}")
    sys.stdout.write(f"{text}\n")
    return FAILED if state == "failed" else OK
