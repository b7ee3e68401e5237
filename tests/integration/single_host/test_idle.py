"""What does nothing costs nothing."""

from __future__ import annotations

from .conftest import Lines

# The processor time comes from the scheduler, in nanoseconds: ticks of 10 ms are half of what is measured here.
IDLE = """
import os, time
from pathlib import Path
import flowmesh as fm

class Seldom(fm.Node):
    rate = 0.1
    def step(self):
        return "first"

class Passes(fm.Node):
    def step(self, data):
        return None

def children(pid):
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield child
            yield from children(child)

def used(pids):
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

def share(pids):
    manager.wait(0.5)  # what was begun before does not count
    return min(look(pids) for _ in range(3))  # what is used always is used in each

def look(pids):
    begun, before = time.monotonic(), used(pids)
    time.sleep(1)
    return (used(pids) - before) / (time.monotonic() - begun)

if __name__ == "__main__":
    manager = fm.Manager()
    worker = fm.Worker(name="local")
    worker.connect(host=manager.host, port=manager.port)
    graph = fm.Graph()
    for lane in range(5):
        graph.add_edge(Seldom(name=f"source {lane}"), Passes(name=f"sink {lane}"))
    manager.commit_graph(graph=graph)
    pids = [str(os.getpid()), *children(os.getpid())]
    print(len(pids))
    print(share(pids))
    manager.start()
    print(share(pids))
    manager.shutdown()
"""


def test_idle_processes_use_less_than_a_hundredth_of_a_processor(lines: Lines) -> None:
    """Those of a Manager, a worker, its fork server and ten nodes: ready, and then running while nothing comes."""
    count, ready, running = lines(IDLE)
    assert int(count) == 13
    assert float(ready) < 0.01
    assert float(running) < 0.01
