"""What goes along edges: any value, whole and in order, to one or many, as fast as each edge's policy says."""

from __future__ import annotations

import random

import numpy as np
import pytest

from flowmesh.chunk import DataChunk, same
from flowmesh.edges.output_edge import OutputEdge

from ..isolated import alone
from .fakes import Actor, Rig, Wire, value
from .frames import arenas_mapped, never, numbered, two, verified

# --- what travels -----------------------------------------------------------------------------------------------------

DTYPES = [
    "?",
    "b",
    "B",
    "<i2",
    ">i2",
    "<u4",
    "<i8",
    ">u8",
    "<f2",
    "<f4",
    ">f8",
    "<c8",
    "<c16",
    "S7",
    "<U5",
    "<M8[ns]",
    "<m8[s]",
]
SHAPES = [(), (0,), (1,), (7,), (0, 3), (3, 0, 2), (5, 7), (64, 64), (129, 257), (1, 1, 1, 1, 9), (2, 3, 4, 5, 6, 7)]


@alone
def test_every_dtype_and_shape_in_both_orders() -> None:
    _, a, b = two(wait=never)
    random_bytes = np.random.default_rng(1).integers(0, 255, 2_000_000, np.uint8).tobytes()
    for dtype in map(np.dtype, DTYPES):
        for shape in SHAPES:
            size = int(np.prod(shape))
            if dtype.kind in "?fcU":
                array = np.arange(size).astype(dtype).reshape(shape)
            else:
                array = np.frombuffer(random_bytes, dtype, max(size, 1))[:size].reshape(shape)
            for sent in (array, np.asfortranarray(array), array[..., ::-1] if shape else array):
                a.emit(sent)
                (chunk,) = b.take_all()
                got = value(chunk)
                assert same(got, sent)
                assert got.dtype == sent.dtype
                assert got.shape == sent.shape
                assert not got.flags.writeable
                assert got.flags.fnc == sent.flags.fnc or not sent.flags.contiguous


@alone
def test_small_empty_long_and_huge_values_in_order() -> None:
    _, a, b = two(wait=never)
    values = [
        0, "", b"", [], {}, False, "x" * 300_000, b"y" * 300_000, np.zeros(0), {"deep": {"er": 1}},
        np.zeros(100_000), [np.ones(9000), "t" * 100_000, np.zeros((3, 0))], (1, 2), {1, 2}, 2**80, None, ["z" * 100_000] * 3,
    ]  # fmt: skip
    for sent in values * 3:
        a.emit(sent)
        (chunk,) = b.take_all()
        assert same(value(chunk), sent)


@alone
def test_a_hundred_megabytes_beside_nothing() -> None:
    rig, a, b = two(wait=never)
    huge = np.arange(25 * 2**20, dtype=np.uint32)
    for sent in (huge, np.zeros(0), huge[::-1], "", huge):
        a.emit(sent)
        (chunk,) = b.take_all()
        got = value(chunk)
        assert type(got) is type(sent)
        assert np.array_equal(got, sent)
    assert rig.in_flight(rig.wires[0]) == 0


@alone
def test_long_plain_values_beside_frames_when_all_slots_are_in_use() -> None:
    """The packet itself needs a slot beside the frame's, and a passed frame is copied into it."""
    rig = Rig("abc", Wire("a", "b"), Wire("b", "c"))
    a, b, c = rig.actor("a", never), rig.actor("b", never), rig.actor("c")
    kept: list[DataChunk] = []
    for number in range(60):
        chunk = numbered(number)
        chunk.add("text", str(number) * 100_000)
        a.emit(chunk)
        for got in b.take_all():
            b.emit(got)
            kept = [*kept, got][-4:]
        for got in c.take_all():
            assert verified(got) == number
            assert got.get("text")["value"] == str(number) * 100_000
            kept = [*kept, got][-8:]
        assert all(verified(one) is not None for one in kept)


# --- order, windows, waiting ------------------------------------------------------------------------------------------


@alone
def test_a_slow_reader_holds_the_producer_back_at_its_window() -> None:
    waits = []

    def wait(edges: list[OutputEdge], bell: int) -> bool:
        waits.append(bell)
        (data,) = [b.take()]
        assert data is not None
        got.append(verified(data["a"]))
        return True

    rig, a, b = two(wait=wait)
    got: list[int] = []
    for number in range(200):
        a.emit(numbered(number))
        assert rig.sent(rig.wires[0]) - len(got) <= 4
    got += map(verified, b.take_all())
    assert got == list(range(200))
    assert len(waits) == 196
    assert set(waits) == {-1}  # for the window, never for a slot


@pytest.mark.parametrize("depth", [1, 2, 256])
@alone
def test_small_chunks_and_frames_mixed_keep_their_order(depth: int) -> None:
    def wait(edges: list[OutputEdge], bell: int) -> bool:
        got.extend(b.take_all())
        return True

    _rig, a, b = two(Wire("a", "b", depth=depth, slots=min(depth, 4)), wait)
    got: list[DataChunk] = []
    choose = random.Random(depth)
    sent = [choose.choice([0, 1, 2, 3]) for _ in range(1000)]
    for number, kind in enumerate(sent):
        a.emit([number, numbered(number), np.full(5, number), [number, "l" * 70_000]][kind])
    got += b.take_all()
    assert [chunk.number for chunk in got] == list(range(1, 1001))
    assert [len(chunk) for chunk in got] == [2 if kind == 1 else 1 for kind in sent]


@pytest.mark.parametrize("readers", [1, 4, 16])
@alone
def test_a_fan_out_writes_a_frame_once_for_all(readers: int) -> None:
    names = ["a", *(f"b{index}" for index in range(readers))]
    rig = Rig(names, *(Wire("a", name) for name in names[1:]))
    a = rig.actor("a", lambda edges, bell: all(follow(one) for one in others))
    others = [rig.actor(name) for name in names[1:]]
    got: dict[str, list[int]] = {name: [] for name in names[1:]}

    def follow(one: Actor) -> bool:
        got[one.name] += map(verified, one.take_all())
        return True

    for number in range(150):
        a.emit(numbered(number))
        follow(others[number % readers])
    for one in others:
        follow(one)
    assert all(numbers == list(range(150)) for numbers in got.values())
    assert len(arenas_mapped()) == 1


@alone
def test_a_lossless_a_latest_and_a_drop_oldest_consumer_of_one_output() -> None:
    """Who never reads costs the others nothing; who reads now and then sees the newest; who is lossless sees all."""
    wires = [
        Wire("a", "b"),
        Wire("a", "c", "latest", 1, 1),
        Wire("a", "d", "drop_oldest", 3, 3),
        Wire("a", "e", "latest", 1, 1),
    ]
    rig = Rig("abcde", *wires)
    a = rig.actor("a", never)
    b, c, d, _ = (rig.actor(name) for name in "bcde")
    seen: dict[str, list[int]] = {"b": [], "c": [], "d": []}
    for number in range(300):
        a.emit(numbered(number) if number % 7 else number)
        seen["b"] += [chunk.number for chunk in b.take_all()]
        if number % 10 == 9:
            newest = c.take_all()
            assert [chunk.number for chunk in newest] == [number + 1]
            assert [chunk.number for chunk in d.take_all()] == [number - 1, number, number + 1]
            verified(newest[0]) if number % 7 else None
    assert seen["b"] == list(range(1, 301))
    assert [rig.dropped(wire) for wire in wires] == [{}, {"superseded": 270}, {"oldest": 210}, {"superseded": 299}]
    assert [rig.in_flight(wire) for wire in wires] == [0, 0, 0, 1]
