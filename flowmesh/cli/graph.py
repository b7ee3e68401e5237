"""`flowmesh graph`: a picture of a graph, also of one that is wrong."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import FlowmeshError
from ..graph.graph import Graph
from .exit_codes import OK, UsageError
from .loader import load

DESCRIPTION = """Draw the graph of a Python file: as Mermaid text (for documents), as text for Graphviz, as an SVG picture,
or as a PNG picture, which takes matplotlib (pip install "matplotlib>=3.10.8")."""

FORMATS = ("mermaid", "dot", "png", "svg")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE[:GRAPH]", help="a Python file, and the name of its graph if it has several"
    )
    parser.add_argument("--format", choices=FORMATS, help="that of --output's ending; else mermaid")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to write it; without it, to the output"
    )


def run(asked: argparse.Namespace) -> int:
    kind = asked.format or _by_ending(asked.output)
    if kind == "png" and asked.output is None and sys.stdout.isatty():
        raise UsageError("a PNG picture is nothing for a terminal: name a file with --output")
    graph = load(asked.file)
    if kind == "png":
        _draw(graph, asked.output)
    else:
        _write({"mermaid": graph.mermaid, "dot": graph.dot, "svg": graph.svg}[kind](), asked.output)
    return OK


def _by_ending(output: Path | None) -> str:
    ending = output.suffix[1:].lower() if output else ""
    return {"png": "png", "svg": "svg", "dot": "dot", "gv": "dot"}.get(ending, "mermaid")


def _draw(graph: Graph, output: Path | None) -> None:
    figure = graph.plot()
    try:
        figure.savefig(sys.stdout.buffer if output is None else output, format="png")
    except OSError as error:
        raise FlowmeshError(f"the drawing can't be written to {output}: {error}") from error


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(f"{text}\n")
        return
    try:
        output.write_text(f"{text}\n")
    except OSError as error:
        raise FlowmeshError(f"the drawing can't be written to {output}: {error}") from error
