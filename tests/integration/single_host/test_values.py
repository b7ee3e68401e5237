"""What a step returns arrives: every value, once, in order, as what it was; on one worker and between two."""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import uuid
from typing import Any

import numpy as np
import pytest

import flowmesh as fm
from flowmesh.chunk import same

from .conftest import Cluster, Lines
from .example_nodes import Collect, Items, Relay, chain, collected, default

FALSY: list[Any] = [0, False, "", [], 0.0, {}, (), b"", set(), frozenset(), 0j, bytearray(), range(0)]
PLAIN: list[Any] = [1, True, "text é 😀", b"bytes", -1.5, float("inf"), [None], {"a": {"b": [1, {"c": None}]}}]
PICKLED: list[Any] = [
    (1, (2, 3)), {1, 2}, frozenset({"x"}), {"a": (1, {2: {3}})}, {1: 2}, [(), set(), [[]]], range(3), slice(1, 2), ...,
    "lone surrogate \ud800", datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), decimal.Decimal("0.1"),
    fractions.Fraction(1, 3), uuid.UUID(int=7), pathlib.PurePosixPath("a/b"), int, len,
]  # fmt: skip
INTEGERS = [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400, True + 1]
LARGE: list[Any] = [
    [[float(place)] * 10 for place in range(50_000)],
    {str(place): "x" * 100 for place in range(20_000)},
    b"\x00\xff" * 4_000_000,
    "é" * 2_000_000,
    [b"x" * 100_000, "y" * 100_000] * 5,
    (b"z" * 3_000_000, "tuple"),
]

WORDS = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
ARRAYS = [
    np.zeros((0, 3)),
    np.zeros(0, np.uint8),
    np.array(7.5),
    np.array(3, np.int16),
    WORDS,
    WORDS[:, ::2, ::-1],
    WORDS.T,
    np.asfortranarray(np.arange(200_000.0).reshape(400, 500)),
    np.arange(200_000.0).reshape(400, 500)[::2, 3:],
    np.array([1, 2, 3], ">u2"),
    np.array([True, False]),
    np.array([1 + 2j], np.complex64),
    np.array([np.nan, np.inf], np.float16),
    np.array(["2024-02-29", "NaT"], "datetime64[D]"),
    np.array(["text", "é"]),
    np.array([(1, 2.5)], [("a", "u1"), ("b", "f8")]),
    np.array([{"any": "object"}, None]),
    np.broadcast_to(np.uint8(3), (100, 100)),
    np.random.default_rng(0).integers(0, 255, 20_000_000, np.uint8),
]


def sent(values: list[Any], cluster: Cluster, workers: int, tmp_path: pathlib.Path) -> list[fm.DataChunk]:
    """The chunks that arrive when the values are returned by a source, two hops further."""
    graph = chain(Items(name="items", items=values), Relay(name="relay"), Collect(name="sink", path=tmp_path / "got"))
    cluster.run(graph, workers)
    chunks = collected(tmp_path / "got")
    assert [chunk.number for chunk in chunks] == list(range(1, len(values) + 1))
    return chunks


@pytest.mark.parametrize(
    "values", [FALSY, PLAIN, PICKLED, INTEGERS, LARGE], ids=["falsy", "plain", "pickled", "integers", "large"]
)
def test_values_keep_type_and_content(
    values: list[Any], cluster: Cluster, workers: int, tmp_path: pathlib.Path
) -> None:
    arrived = [default(chunk) for chunk in sent(values, cluster, workers, tmp_path)]
    assert [type(value) for value in arrived] == [type(value) for value in values]
    assert all(same(a, b) for a, b in zip(arrived, values, strict=True))


def test_bare_arrays_keep_dtype_shape_and_content(cluster: Cluster, workers: int, tmp_path: pathlib.Path) -> None:
    arrived = [default(chunk) for chunk in sent(ARRAYS, cluster, workers, tmp_path)]
    for value, array in zip(arrived, ARRAYS, strict=True):
        assert isinstance(array, np.ndarray)
        assert (type(value), value.dtype, value.shape) == (np.ndarray, array.dtype, array.shape)
        assert same(value, array)


def test_chunks_keep_every_record(cluster: Cluster, workers: int, tmp_path: pathlib.Path) -> None:
    chunk = fm.DataChunk()
    noise = np.random.default_rng(1)
    for name, shape in {"grey": (9, 7), "one": (9, 7, 1), "bgr": (90, 70, 3), "rgba": (480, 640, 4)}.items():
        chunk.add(name, noise.integers(0, 255, shape, np.uint8), "image")
    chunk.add("depth", noise.integers(0, 65535, (48, 64), np.uint16), "image")
    chunk.add("images", [np.zeros((4, 4), np.uint8), np.ones((300, 300, 3), np.float32)], "images")
    chunk.add("array", np.arange(5)[::-1], "array")
    chunk.add("text", "über", "text")
    chunk.add("bytes", b"\x00" * 10_000, "bytes")
    chunk.add("none", None)
    chunk.add("boxes", [(1, 2, 3, 4), {"label": "person"}])
    other = fm.DataChunk()
    other.add("alone", 0)
    empty = fm.DataChunk()
    assert sent([chunk, other, empty, chunk], cluster, workers, tmp_path) == [chunk, other, empty, chunk]


def test_frames_that_grow_and_shrink(cluster: Cluster, workers: int, tmp_path: pathlib.Path) -> None:
    sizes = [10, 5_000, 70_000, 100, 300_000, 80_000, 1_500_000, 6_000_000, 20, 6_000_000, 70_000] * 3
    frames = [np.full(size, place, np.uint8) for place, size in enumerate(sizes)]
    arrived = [default(chunk) for chunk in sent(frames, cluster, workers, tmp_path)]
    assert all(same(a, b) for a, b in zip(arrived, frames, strict=True))


class Draws(fm.Node):
    """Says whether what it received was read-only, and draws on a copy of its own."""

    def step(self, data: dict[str, fm.DataChunk]) -> list[Any]:
        chunk = data["items"]
        fixed = not default(chunk).flags.writeable
        drawn = chunk.writable("default")
        drawn[:] = 9
        return [fixed, bool((default(chunk) == 9).all())]


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["in-packet", "in-slot"])
def test_received_arrays_are_read_only_and_writable_gives_a_copy(
    size: int, cluster: Cluster, tmp_path: pathlib.Path
) -> None:
    items = Items(name="items", items=[np.zeros(size, np.uint8)])
    graph = chain(items, Draws(name="draws"), Collect(name="sink", path=tmp_path / "got"))
    untouched = Collect(name="untouched", path=tmp_path / "untouched")
    graph.add_edge(items, untouched)
    cluster.run(graph)
    assert [default(chunk) for chunk in collected(tmp_path / "got")] == [[True, True]]
    assert not default(collected(tmp_path / "untouched")[0]).any()


SCRIPT_TYPES = """
import enum, dataclasses, typing
import flowmesh as fm

class Colour(enum.Enum):
    RED = "red"
class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2
@dataclasses.dataclass(frozen=True)
class Box:
    x: int
    colour: Colour
class Pair(typing.NamedTuple):
    first: Box
    second: object
class Trouble(Exception):
    pass

class Source(fm.Node):
    def setup(self):
        self.left = [Colour.RED, Level.LOW | Level.HIGH, Box(1, Colour.RED), Pair(Box(2, Colour.RED), {Colour.RED: {3}}),
                     Trouble("x"), Box, [Colour.RED] * 3]
    def step(self):
        if not self.left:
            raise fm.EndOfStream
        return self.left.pop(0)

class Mid(fm.Node):
    def step(self, data):
        return data["source"].get("default")["value"]

class Sink(fm.Node):
    def setup(self):
        self.got = []
    def step(self, data):
        self.got.append(data["mid"].get("default")["value"])
    def teardown(self):
        red, level, box, pair, trouble, kind, reds = self.got
        print(red is Colour.RED, level == Level.LOW | Level.HIGH, type(level) is Level)
        print(isinstance(box, Box), box == Box(1, Colour.RED), box.colour is Colour.RED, hash(box) == hash(Box(1, Colour.RED)))
        print(type(pair) is Pair, pair.second[Colour.RED] == {3}, isinstance(trouble, Trouble), kind is Box)
        print(all(colour is Colour.RED for colour in reds), flush=True)

graph = fm.Graph()
graph.add_edge(source := Source(name="source"), mid := Mid(name="mid"))
graph.add_edge(mid, Sink(name="sink"))
if __name__ == "__main__":
    fm.run(graph, workers=WORKERS)
"""


def test_enums_and_dataclasses_of_the_script_stay_themselves(lines: Lines, workers: int) -> None:
    said = lines(SCRIPT_TYPES.replace("WORKERS", str(workers)))
    assert " ".join(said).split() == ["True"] * 12
