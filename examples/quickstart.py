"""The smallest whole program: frames from a source, the edges in each frame, on one worker of this computer.

python examples/quickstart.py
"""

import cv2
import numpy as np

import flowmesh as fm
from flowmesh.nodes import TestPattern


class Edges(fm.Node):
    def step(self, data: dict[str, fm.DataChunk]) -> np.ndarray:
        frame: np.ndarray = data["film"].get("frame")["value"]
        return cv2.Canny(frame, 80, 160)  # anything can be returned; it travels as "default"


class Mean(fm.Node):
    def setup(self) -> None:
        self.frames, self.pixels = 0, 0

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        self.frames += 1
        self.pixels += int(np.count_nonzero(data["edges"].get("default")["value"]))

    def teardown(self) -> None:
        print(f"{self.frames} frames with {self.pixels / max(1, self.frames):.0f} pixels of edges each")


film, edges, mean = TestPattern("film", frames=300), Edges("edges"), Mean("mean")
graph = fm.Graph()
graph.add_nodes_from([film, edges, mean])
graph.add_edge(film, edges)
graph.add_edge(edges, mean)

if __name__ == "__main__":
    manager = fm.Manager()
    worker = fm.Worker(name="local")
    worker.connect(host=manager.host, port=manager.port)
    manager.commit_graph(graph=graph, mapping={"local": ["film", "edges", "mean"]})
    manager.start()
    manager.wait()  # until the source has ended and all is worked off
    manager.shutdown()
