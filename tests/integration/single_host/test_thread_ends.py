"""Threads and executors that a node leaves: they end as in any Python program, in bounded time."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

import flowmesh as fm

from .conftest import Cluster, Lines
from .example_nodes import Count

FILES = 20


class SavesInThreads(fm.Node):
    """Hands each chunk to an executor that nobody shuts down."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name=name)
        self.folder = folder

    def setup(self) -> None:
        self.executor = ThreadPoolExecutor(1)
        self.turn = threading.Event()

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        number = data["count"].number
        self.executor.submit(self.save, number)

    def save(self, number: int) -> None:
        self.turn.wait()  # until teardown: by then all wait
        (self.folder / str(number)).write_text("saved")

    def teardown(self) -> None:
        self.turn.set()


class LeavesAPool(SavesInThreads):
    """Leaves a pool of processes open."""

    def setup(self) -> None:
        self.pool = ProcessPoolExecutor(1)
        self.pool.submit(abs, -1).result()

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        pass

    def teardown(self) -> None:
        pass


class NeverEnds(fm.Node):
    """Leaves a thread that waits for what never comes."""

    def setup(self) -> None:
        threading.Thread(target=threading.Event().wait, name="the-stuck-writer").start()

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        pass


def graph(sink: fm.Node) -> fm.Graph:
    made = fm.Graph()
    made.add_edge(Count("count", until=FILES), sink)
    return made


def test_what_an_executor_has_still_to_do_is_done(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run(graph(SavesInThreads("sink", tmp_path)))
    assert {path.name for path in tmp_path.iterdir()} == {str(number) for number in range(1, FILES + 1)}


def test_a_pool_of_processes_that_was_left_open_ends_by_itself(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run(graph(LeavesAPool("sink", tmp_path)))  # a node whose process had to be killed would make this raise


def test_a_thread_that_does_not_end_is_named_and_is_an_error_of_its_node(cluster: Cluster) -> None:
    with pytest.raises(
        fm.NodeError, match=r"node 'sink' .* failed in teardown:\n.*cut off: the-stuck-writer"
    ) as raised:
        cluster.run(graph(NeverEnds("sink")))
    assert raised.value.node == "sink"


def test_a_program_without_standard_streams_runs(lines: Lines, tmp_path: Path) -> None:
    program = """
        import os, sys
        import flowmesh as fm
        class S(fm.Node):
            def step(self): raise fm.EndOfStream
        class K(fm.Node):
            def step(self, data): pass
        if __name__ == "__main__":
            if len(sys.argv) == 1:
                import subprocess
                shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, __file__, "again"]
                print(subprocess.run(shell, timeout=60).returncode)
            else:
                graph = fm.Graph()
                graph.add_edge(S(name="s"), K(name="k"))
                sys.exit(0 if fm.run(graph).state == "finished" else 5)
    """
    assert lines(program) == ["0"]
