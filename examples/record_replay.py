"""Records a graph, plays it again, and finds that both runs have seen the same:

    pattern ──▶ outline ──▶ measure

    python examples/record_replay.py

It leaves two sessions in demo-output/recordings/, which Foxglove and Rerun open.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

import flowmesh as fm
from flowmesh.nodes import TestPattern
from flowmesh.recording import Exact, SessionReader, compare

FRAMES = 150


class Outline(fm.Node):
    """The edges in a frame, and how many of its pixels are some."""

    def step(self, data: dict[str, fm.DataChunk]) -> fm.DataChunk:
        outline = cv2.Canny(data["pattern"].get("frame")["value"], 80, 160)
        chunk = fm.DataChunk()
        chunk.add("outline", outline > 0, "array")
        chunk.add("pixels", int((outline > 0).sum()))
        return chunk


class Measure(fm.Node):
    """Smooths the number of pixels."""

    smoothed = 0.0

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        self.smoothed += 0.1 * (data["outline"].get("pixels")["value"] - self.smoothed)

    def teardown(self) -> None:
        print(f"    measured {self.smoothed:.1f} pixels at the end", flush=True)


def build() -> fm.Graph:
    graph = fm.Graph()
    pattern, outline = TestPattern("pattern", width=640, height=360, frames=FRAMES, rate=60.0), Outline("outline")
    graph.add_edge(pattern, outline)
    graph.add_edge(outline, Measure("measure"))
    return graph


def recorded(graph: fm.Graph, to: Path, name: str, *nodes: str) -> Path:
    """Run the graph and record these nodes: the session's folder."""
    before = set(to.glob(f"{name}-*"))
    graph.record(
        *nodes, to=to, name=name, how={"pattern/frame": Exact()} if "pattern" in nodes else None, reserve="64MiB"
    )
    fm.run(graph)
    [session] = set(to.glob(f"{name}-*")) - before
    return session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="where to leave the sessions")
    to: Path = parser.parse_args().output / "recordings"
    print(f"recording {FRAMES} frames at 60 a second ...")
    live = recorded(build(), to, "live", "pattern", "outline")
    for stream in SessionReader(live).totals():
        print(f"    {stream.node}: {stream.chunks} chunks, {stream.missing_count} missing, {stream.bytes / 1e6:.1f} MB")
    print("playing them again, as fast as can be ...")
    again = recorded(build().replaying(live, speed=0), to, "again", "outline")
    [outline] = compare(live, again, ["outline"])
    print(f"{outline.equal} of {FRAMES} outlines are equal, {outline.different} differ: see {live} and {again}")
    if not outline.is_equal:
        sys.exit(1)


if __name__ == "__main__":
    main()
