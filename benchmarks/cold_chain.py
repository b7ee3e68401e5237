"""A program as a user writes it: a chain of ten nodes from a cold start. `benchmarks/chain.py` runs it as a script.

The last node prints when its first chunk came, in seconds of the monotonic clock. Then all is quiet until the program's input
is closed. It imports nothing heavy but flowmesh, whose cost is measured.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Any

import flowmesh as fm

NODES = 10
_QUIET = 1 / 600  # steps a second: one at once, the next when all is over


class First(fm.Node):
    """Sends one chunk at its first step, and ends at the second."""

    def setup(self) -> None:
        self.sent = False

    def step(self) -> dict[str, Any]:
        if self.sent:
            raise fm.EndOfStream
        self.sent = True
        return {"n": 1, "x": 1.5}


class Link(fm.Node):
    def step(self, data: dict[str, fm.DataChunk]) -> Any:
        (chunk,) = data.values()
        return chunk.get("default")["value"]


class Last(fm.Node):
    def step(self, data: dict[str, fm.DataChunk]) -> None:
        print(time.monotonic(), flush=True)


def chain(first: fm.Node, last: fm.Node) -> fm.Graph:
    """Ten nodes in a row, the first and the last of which are given."""
    nodes = [first, *(Link(name=f"link-{place}") for place in range(NODES - 2)), last]
    graph = fm.Graph()
    graph.add_edges_from(pairwise(nodes))
    return graph


def main() -> None:
    with fm.Worker(name="local") as worker, fm.Manager() as manager:
        worker.connect(host=manager.host, port=manager.port)
        manager.commit_graph(graph=chain(First(name="first", rate=_QUIET), Last(name="last")))
        manager.start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
