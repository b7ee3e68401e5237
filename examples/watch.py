"""A camera, a stream of the network, a film or a test pattern in your browser.

    python examples/watch.py                      the first camera
    python examples/watch.py film.mp4             a film, at its own pace, again and again
    python examples/watch.py rtsp://host/stream   a network camera
    python examples/watch.py pattern --edges      a test pattern, and its edges beside it

It prints the address to open, and goes on until Ctrl+C or for --seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

import flowmesh as fm
from flowmesh.nodes import Camera, MjpegServer, NetworkVideo, Resize, TestPattern, VideoFile


class Edges(fm.Node):
    def step(self, data: dict[str, fm.DataChunk]) -> np.ndarray:
        [chunk] = data.values()
        edges: np.ndarray = cv2.Canny(chunk.get("frame")["value"], 80, 160)
        return edges  # anything can be returned; it travels as "default"


def source_of(what: str) -> fm.Node:
    """The node for what is to be seen."""
    if what == "pattern":
        return TestPattern("source", width=640, height=360, rate=30)
    if "://" in what:
        return NetworkVideo("source", what)
    if what.isdigit():
        return Camera("source", int(what))
    if what.startswith("/dev/"):
        return Camera("source", what)
    return VideoFile("source", Path(what).resolve(), loop=True, realtime=True)


def build(asked: argparse.Namespace) -> fm.Graph:
    source, view = source_of(asked.source), MjpegServer("view", host=asked.host, port=asked.port)
    shown = Resize("shown", size=(asked.width, None))
    graph = fm.Graph()
    graph.add_edge(source, shown, policy="latest")  # who looks wants the newest, and must not hold anything up
    graph.add_edge(shown, view, policy="latest")
    if asked.edges:
        edges = Edges("edges")
        graph.add_edge(shown, edges, policy="latest")
        graph.add_edge(edges, view, policy="latest")
    return graph


def watch(graph: fm.Graph, seconds: float | None) -> None:
    manager = fm.Manager()
    try:
        worker = fm.Worker(name="local")
        worker.connect(host=manager.host, port=manager.port)
        manager.commit_graph(graph=graph)
        manager.start()
        print(f"open {manager.request_registered_method('view', 'address')} and end with Ctrl+C", flush=True)
        manager.wait(timeout=seconds)
        print(f"{manager.status().nodes['view'].steps} pictures were shown")
    except KeyboardInterrupt:
        pass
    finally:
        manager.shutdown()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A camera, a stream, a film or a test pattern in your browser.")
    parser.add_argument(
        "source", nargs="?", default="0", help="a camera's number or device, a URL, a file, or: pattern"
    )
    parser.add_argument("--edges", action="store_true", help="show the edges in each picture, too")
    parser.add_argument(
        "--width", type=int, default=640, help="of the pictures in the browser, in pixels (%(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to serve at (%(default)s: this machine only)")
    parser.add_argument("--port", type=int, default=0, help="the port to serve at (default: any that is free)")
    parser.add_argument("--seconds", type=float, help="end after so many seconds")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    try:
        watch(build(asked), asked.seconds)
    except fm.FlowmeshError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
