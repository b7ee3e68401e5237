"""The programs that the documents print run as they are printed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .conftest import Lines

DESIGN = """
import cv2
import flowmesh as fm

class Film(fm.Node):                              # source: no inputs
    def setup(self):
        self.capture = cv2.VideoCapture("people.avi")
    def step(self):
        ok, frame = self.capture.read()
        if not ok:
            raise fm.EndOfStream                  # a finite source ends; the graph drains and finishes
        chunk = fm.DataChunk()
        chunk.add("frame", frame, "image")
        return chunk
    def teardown(self):
        self.capture.release()

class Edges(fm.Node):                             # step: inputs by the sender's name
    def step(self, data):
        frame = data["film"].get("frame")["value"]
        return cv2.Canny(frame, 80, 160)          # anything can be returned; it travels as "default"

graph = fm.Graph()
film, edges = Film(name="film"), Edges(name="edges")
graph.add_nodes_from([film, edges])
graph.add_edge(film, edges)

if __name__ == "__main__":
    manager = fm.Manager()
    worker = fm.Worker(name="local")
    worker.connect(host=manager.host, port=manager.port)
    manager.commit_graph(graph=graph, mapping={"local": ["film", "edges"]})
    manager.start()
    manager.wait()                                # until every source has ended, or Ctrl+C
    manager.shutdown()
"""
LOOK = """
    status = manager.status()
    print(status.state, status.nodes["edges"].steps, status.edges["film", "edges"].received)
    manager.shutdown()
"""

SEED_NODES = """
import time
from typing import Dict

import cv2
import numpy as np

import flowmesh as cp

class RandomNode(cp.Node):

    def setup(self):
        # Create the generator to be used later
        self.rng = np.random.default_rng(0)

    def step(self):
        # Set the execution to 1 every second
        time.sleep(0.01)
        return self.rng.random()

    def teardown(self):
        # Not necessary here, but can be used to close
        # files or disconnect from devices.
        del self.rng

class ScreenCapture(cp.Node):

    def step(self) -> cp.DataChunk:

        time.sleep(1 / 100)
        frame = cv2.cvtColor(
            np.zeros((48, 64, 3), dtype=np.uint8), cv2.COLOR_RGB2BGR
        )

        # Create container and send it
        data_chunk = cp.DataChunk()
        data_chunk.add("frame", frame, "image")
        return data_chunk

class SourceNode(cp.Node):
    def setup(self):
        self.value = 2

    def step(self):
        time.sleep(0.05)
        return self.value

class StepNode(cp.Node):
    def setup(self):
        self.coef = 3

    def step(self, data: Dict[str, cp.DataChunk]):
        time.sleep(0.01)
        return self.coef * data["source"].get('default')['value']
"""
SEED = (
    SEED_NODES
    + """
if __name__ == "__main__":

    # First, create the Nodes
    source_node = SourceNode(name="source")
    step_node = StepNode(name="step")

    # Create the graph
    graph = cp.Graph()

    # Then add the nodes to the graph
    graph.add_nodes_from([source_node, step_node])
    graph.add_edge(source_node, step_node)

    # Create local objects
    manager = cp.Manager() # using default configs
    worker = cp.Worker(name="local") # creating local worker

    # Connect
    worker.connect(host=manager.host, port=manager.port)

    # Then register graph to Manager
    manager.commit_graph(
        graph=graph,
        mapping={
            "local": ["source", "step"],
        }
    )

    # Take a single step and see if the system crashes and burns
    manager.start()
    time.sleep(0.5)
    manager.stop()
"""
)
SEED_SOURCES = (
    SEED_NODES
    + """
if __name__ == "__main__":
    graph = cp.Graph()
    graph.add_nodes_from([RandomNode(name="random"), ScreenCapture(name="screen")])
    manager = cp.Manager()
    worker = cp.Worker(name="local")
    worker.connect(host=manager.host, port=manager.port)
    manager.commit_graph(graph=graph, mapping={"local": ["random", "screen"]})
    manager.step()
    newest = manager.gather()
    print(newest["random"].get("default")["value"] == np.random.default_rng(0).random())
    print(newest["screen"].get("frame")["value"].shape, newest["screen"].get("frame")["content-type"])
"""
)


def film(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240))
    for place in range(frames):
        writer.write(np.full((240, 320, 3), place * 5 % 256, np.uint8))
    writer.release()


def test_the_design_s_first_program(lines: Lines, tmp_path: Path) -> None:
    film(tmp_path / "people.avi", frames=30)
    assert lines(DESIGN) == []


def test_the_design_s_first_program_sees_every_frame(lines: Lines, tmp_path: Path) -> None:
    film(tmp_path / "people.avi", frames=30)
    assert lines(DESIGN.replace("    manager.shutdown()\n", LOOK)) == ["finished 30 30"]


def test_the_design_s_program_with_a_test_pattern(lines: Lines) -> None:
    head, _, rest = DESIGN.partition("class Film")
    pattern = "from flowmesh.nodes import TestPattern as Film\n\nclass Edges" + rest.partition("class Edges")[2]
    program = (head + pattern).replace('Film(name="film")', 'Film(name="film", width=320, height=240, frames=40)')
    assert lines(program.replace("    manager.shutdown()\n", LOOK)) == ["finished 40 40"]


def test_the_seed_s_cluster(lines: Lines) -> None:
    assert lines(SEED) == []


def test_the_seed_s_cluster_computes(lines: Lines) -> None:
    look = '    print(manager.gather()["step"].get("default")["value"], manager.status().nodes["step"].steps > 2)\n'
    enough = '    while manager.status().nodes["step"].steps <= 2:\n        time.sleep(0.01)\n'
    assert lines(SEED.replace("    time.sleep(0.5)\n", enough) + look) == ["6 True"]


def test_the_seed_s_sources(lines: Lines) -> None:
    assert lines(SEED_SOURCES) == ["True", "(48, 64, 3) image"]
