"""`flowmesh check`: all that is wrong with a graph, before anything runs; and the guarantees of its sinks."""

from __future__ import annotations

import argparse
import json
import sys

from ..errors import GraphError, ShippingError
from ..graph.graph import Graph
from ..graph.guarantees import Guarantee
from ..shipping.bundle import pack_code
from .exit_codes import FAILED, OK
from .loader import load
from .table import counted

DESCRIPTION = """Find all that is wrong with the graph of a Python file, and whether its code can be shipped; where nothing
is, tell what is guaranteed to each sink, and why. Nothing is run but the file's top level."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE[:GRAPH]", help="a Python file, and the name of its graph if it has several"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(asked: argparse.Namespace) -> int:
    graph = load(asked.file)
    errors = errors_of(graph)
    guarantees = {} if errors else graph.guarantees()
    sys.stdout.write((_as_json(errors, guarantees) if asked.json else _as_text(graph, errors, guarantees)) + "\n")
    return FAILED if errors else OK


def errors_of(graph: Graph) -> list[str]:
    """The errors of a graph, and of its code."""
    errors = []
    try:
        graph.check()
    except GraphError as error:
        errors += str(error).splitlines()
    try:
        pack_code([node for _, node in graph.nodes.data("node")])
    except ShippingError as error:
        errors.append(str(error))
    return errors


def _as_json(errors: list[str], guarantees: dict[str, Guarantee]) -> str:
    return json.dumps(
        {"ok": not errors, "errors": errors, "guarantees": {k: v._asdict() for k, v in guarantees.items()}}
    )


def _as_text(graph: Graph, errors: list[str], guarantees: dict[str, Guarantee]) -> str:
    if errors:
        return "\n".join(errors)
    lines = [f"nothing is wrong with {counted(len(graph), 'node')} and {counted(len(graph.edges), 'edge')}"]
    for sink, guarantee in guarantees.items():
        lines += [
            f"{sink}: {guarantee.delivery}; contents {guarantee.contents}",
            *(f"    {why}" for why in guarantee.because),
        ]
    return "\n".join(lines)
