"""Nodes that the tests of this folder are built from. A sink leaves what it got in a file: its process ends with the graph."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import flowmesh as fm


class Items(fm.Node):
    """A source of what is in its parameter `items`, then the end."""

    items: list[Any]

    def setup(self) -> None:
        self.left = iter(self.items)

    def step(self) -> Any:
        for item in self.left:
            return item
        raise fm.EndOfStream


class Count(fm.Node):
    """A source of 1, 2, 3, ...; it ends after its parameter `until`, if it has one."""

    until: int | None

    def __init__(self, name: str, until: int | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self.until = until

    def setup(self) -> None:
        self.value = 0

    def step(self) -> int:
        if self.value == self.until:
            raise fm.EndOfStream
        self.value += 1
        return self.value

    @fm.register
    def reached(self) -> int:
        return self.value


class Payload(Count):
    """Counts in chunks that are too large for a packet."""

    def step(self) -> Any:
        return [super().step(), b"x" * 100_000]


class Relay(fm.Node):
    """Sends on what it gets, opened and packed again."""

    def step(self, data: dict[str, fm.DataChunk]) -> fm.DataChunk:
        (chunk,) = data.values()
        copy = fm.DataChunk()
        for name, value, content_type in chunk.records():
            copy.add(name, value, content_type)
        return copy


class Collect(fm.Node):
    """A sink that keeps all: (sender, chunk) pairs, which it pickles into the file `path` at the end."""

    path: Path

    def setup(self) -> None:
        self.got: list[tuple[str, fm.DataChunk]] = []

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        self.got += data.items()

    @fm.register
    def values(self) -> list[Any]:
        return [default(chunk) for _, chunk in self.got]

    @fm.register
    def numbers(self) -> list[int]:
        return [chunk.number for _, chunk in self.got]

    @fm.register
    def identity(self) -> int:
        return id(self.got)

    def teardown(self) -> None:
        if hasattr(self, "path"):
            self.path.write_bytes(pickle.dumps(self.got, protocol=5))  # numpy loses byte orders below 5


def default(chunk: fm.DataChunk | None) -> Any:
    """The value that a step returned bare."""
    assert chunk is not None
    return chunk.get("default")["value"]


def collected(path: Path) -> list[fm.DataChunk]:
    """What a Collect left: the chunks in order."""
    return [chunk for _, chunk in pickle.loads(path.read_bytes())]


def chain(*nodes: fm.Node, **options: Any) -> fm.Graph:
    """A graph in which each node sends to the next; `options` are those of every edge."""
    graph = fm.Graph()
    graph.add_nodes_from(nodes)
    for a, b in pairwise(nodes):
        graph.add_edge(a, b, **options)
    return graph
