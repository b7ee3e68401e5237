"""Finds, follows and counts what moves in a street film. Each node is a process of its own, on two workers:

    film ──▶ segment ──▶ track ──▶ annotate ──▶ video

    python examples/street.py

It leaves the annotated film, a contact sheet of it and a table of what each node and edge did in demo-output/.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import demo_report
import fetch_footage
import numpy as np

import flowmesh as fm
from flowmesh.nodes import VideoFile, VideoWriter

Box = tuple[int, int, int, int]  # left, top, width, height in pixels

SMALLEST = 1500  # pixels: what is less is noise
NEW_SCENE = 28.0  # mean change of brightness between two frames: a cut, not a movement


class Segment(fm.Node):
    """Adds "boxes", one for each thing that stands out from the still background, and "cut": a new scene has begun."""

    def setup(self) -> None:
        # A short history: what has left its place, or stays in it, is background again after a second.
        self.background = cv2.createBackgroundSubtractorMOG2(history=25, varThreshold=20, detectShadows=False)
        self.before: np.ndarray | None = None

    def step(self, data: dict[str, fm.DataChunk]) -> fm.DataChunk:
        chunk = data["film"]
        frame = chunk.get("frame")["value"]
        cut = self.is_new_scene(frame)
        mask = self.background.apply(frame, learningRate=1.0 if cut else -1)
        chunk.add("boxes", [] if cut else boxes_of(mask))
        chunk.add("cut", cut)
        return chunk

    def is_new_scene(self, frame: np.ndarray) -> bool:
        before, self.before = self.before, cv2.resize(frame, (32, 16), interpolation=cv2.INTER_AREA)
        return before is None or float(cv2.absdiff(before, self.before).mean()) > NEW_SCENE


def boxes_of(mask: np.ndarray) -> list[Box]:
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3)))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((31, 31)))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(contour) for contour in contours if cv2.contourArea(contour) > SMALLEST]
    return [(left, top, width, height) for left, top, width, height in boxes]


@dataclass
class Thing:
    """Something that moves, and the middles of its last boxes."""

    box: Box
    number: int = 0
    seen: int = 0
    missed: int = 0
    trail: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=12))


class Track(fm.Node):
    """Adds "things", those seen often enough to be no flicker, and "count": how many there were so far."""

    def setup(self) -> None:
        self.things: list[Thing] = []
        self.count = 0

    def step(self, data: dict[str, fm.DataChunk]) -> fm.DataChunk:
        chunk = data["segment"]
        if chunk.get("cut")["value"]:
            self.things = []
        self.follow(chunk.get("boxes")["value"])
        shown = [thing for thing in self.things if thing.number and not thing.missed]
        chunk.add("things", deepcopy(shown))  # what is sent must not change any more
        chunk.add("count", self.count)
        return chunk

    def follow(self, boxes: list[Box]) -> None:
        """Give each thing the free box that overlaps it most; a box that is left over begins a new thing."""
        free = list(boxes)
        for thing in sorted(self.things, key=lambda thing: -thing.seen):
            box = max(free, key=lambda box: overlap(box, thing.box), default=None)
            if box is None or overlap(box, thing.box) < 0.1:
                thing.missed += 1
            else:
                free.remove(box)
                self.see(thing, box)
        self.things = [thing for thing in self.things if thing.missed < 8] + [Thing(box) for box in free]

    def see(self, thing: Thing, box: Box) -> None:
        left, top, width, height = thing.box = box
        thing.trail.append((left + width // 2, top + height // 2))
        thing.seen, thing.missed = thing.seen + 1, 0
        if thing.seen == 5:
            self.count += 1
            thing.number = self.count


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share, as a part of the area that they cover together."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


class Annotate(fm.Node):
    """Draws each thing's box, number and way into the frame."""

    def step(self, data: dict[str, fm.DataChunk]) -> fm.DataChunk:
        chunk = data["track"]
        frame = chunk.writable("frame")  # what was received is shared with others and read-only
        for thing in chunk.get("things")["value"]:
            draw(frame, thing)
        write(frame, f"{chunk.get('count')['value']} so far", (8, 22), (255, 255, 255))
        return chunk


def draw(frame: np.ndarray, thing: Thing) -> None:
    left, top, width, height = thing.box
    hue = thing.number * 47 % 180  # neighbours in number are far apart in colour
    colour = cv2.cvtColor(np.array([[[hue, 200, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    cv2.rectangle(frame, (left, top), (left + width, top + height), colour, 2)
    cv2.polylines(frame, [np.array(thing.trail)], False, colour, 2)
    write(frame, f"#{thing.number}", (left + 4, top + 18), colour)


def write(frame: np.ndarray, text: str, place: tuple[int, int], colour: Sequence[float]) -> None:
    cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 2)


def build(film: Path, video: Path) -> tuple[fm.Graph, list[str]]:
    """The graph, and its nodes' names in the order in which the frames pass them."""
    nodes: list[fm.Node] = [
        VideoFile("film", film.resolve()),
        Segment("segment"),
        Track("track"),
        Annotate("annotate"),
        VideoWriter("video", video.resolve()),
    ]
    graph = fm.Graph()
    graph.add_nodes_from(nodes)
    for source, target in pairwise(nodes):
        graph.add_edge(source, target)
    return graph, [node.name for node in nodes]


def shared_out(names: list[str], count: int) -> dict[str, list[str]]:
    """Which worker runs which nodes: neighbours stay together."""
    edges = [place * len(names) // count for place in range(count + 1)]
    return {f"local-{place + 1}": names[edges[place] : edges[place + 1]] for place in range(count)}


def run(graph: fm.Graph, mapping: dict[str, list[str]]) -> Any:
    """Run the graph to its end, and give the manager's last status: what each node and edge did."""
    manager = fm.Manager()
    try:
        workers = [fm.Worker(name=name) for name in mapping]
        for worker in workers:
            worker.connect(host=manager.host, port=manager.port)
        manager.commit_graph(graph=graph, mapping=mapping)
        manager.start()
        manager.wait()  # until the film has ended and its last frame is written
        return manager.status()
    finally:
        manager.shutdown()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Finds, follows and counts what moves in a street film.")
    parser.add_argument("--video", type=Path, help="a film of your own (default: the demo's, which is fetched)")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="where the results go (%(default)s)")
    parser.add_argument("--workers", type=int, choices=range(1, 6), default=2, help="how many (%(default)s)")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    try:
        film = asked.video or fetch_footage.fetch(asked.output / "footage")
        asked.output.mkdir(parents=True, exist_ok=True)
        video = asked.output / "street.mp4"
        graph, names = build(film, video)
        status = run(graph, shared_out(names, asked.workers))
    except (RuntimeError, fm.FlowmeshError) as error:
        sys.exit(str(error))
    demo_report.save(status, video, asked.output)


if __name__ == "__main__":
    main()
