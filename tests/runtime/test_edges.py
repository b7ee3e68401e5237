"""What goes along edges: chunks over real sockets, in slots under leases. One contract for every policy and shape of graph.

Here nodes are moved by the test, in one process where the order of acts matters, in several where death does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flowmesh.channel.packets import End
from flowmesh.chunk import DataChunk, same
from flowmesh.runtime.outedge import OutEdge

from ..alone import alone
from ..channel.peers import Peer, Send, forever, peer
from .actors import Actor, Rig, Stuck, Wire, value, wait_for_the_kernel

FRAME = (128, 256)  # 32 kB: in a slot


def frame(number: int, shape: tuple[int, ...] = FRAME) -> np.ndarray:
    """No two alike, and a torn one is none of them."""
    return np.full(shape, number % 251, np.uint8) + np.arange(shape[-1], dtype=np.uint8) * np.uint8(number // 251 + 1)


def numbered(number: int, shape: tuple[int, ...] = FRAME) -> DataChunk:
    chunk = DataChunk()
    chunk.add("frame", frame(number, shape))
    chunk.add("number", number)
    return chunk


def verified(chunk: DataChunk) -> int:
    """The number of a chunk made by `numbered`; fails if its frame is not that of the number."""
    number: int = chunk.get("number")["value"]
    array = chunk.get("frame")["value"]
    assert np.array_equal(array, frame(number, array.shape)), f"frame {number} is damaged"
    return number


def never(edges: list[OutEdge], bell: int) -> bool:
    raise Stuck("an emission waits, which it must not")


def two(wire: Wire | None = None, wait: Any = None, **options: Any) -> tuple[Rig, Actor, Actor]:
    rig = Rig("ab", wire or Wire("a", "b"), **options)
    return rig, rig.actor("a", wait), rig.actor("b")


# --- what travels ----------------------------------------------------------------------------------------------------

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
                assert same(got, sent) and got.dtype == sent.dtype and got.shape == sent.shape
                assert not got.flags.writeable
                assert got.flags.fnc == sent.flags.fnc or not sent.flags.contiguous


@alone
def test_small_empty_long_and_huge_values_in_order() -> None:
    _, a, b = two(wait=never)
    values = [
        0, "", b"", [], {}, None and 1, False, "x" * 300_000, b"y" * 300_000, ["z" * 100_000] * 3, np.zeros(0), {"deep": {"er": 1}},
        np.zeros(100_000), [np.ones(9000), "t" * 100_000, np.zeros((3, 0))], (1, 2), {1, 2}, 2**80,
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
        assert type(got) is type(sent) and np.array_equal(got, sent)
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


# --- order, windows, waiting -----------------------------------------------------------------------------------------


@alone
def test_a_slow_reader_holds_the_producer_back_at_its_window() -> None:
    waits = []

    def wait(edges: list[OutEdge], bell: int) -> bool:
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
    def wait(edges: list[OutEdge], bell: int) -> bool:
        got.extend(b.take_all())
        return True

    rig, a, b = two(Wire("a", "b", depth=depth, slots=min(depth, 4)), wait)
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
    names = ["a", *(f"b{place}" for place in range(readers))]
    rig = Rig(names, *(Wire("a", name) for name in names[1:]))
    a = rig.actor("a", lambda edges, bell: any([follow(one) for one in others]))
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


def arenas_mapped() -> set[str]:
    with open("/proc/self/maps") as file:
        return {line.split()[4] for line in file if "memfd:flowmesh-arena" in line}


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


# --- leases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", [0, 1, 4])
@alone
def test_a_consumer_that_gathers_a_hundred_frames_copies_what_is_beyond_its_limit(hold: int) -> None:
    rig, a, b = two(wait=never, hold={"b": hold})
    kept: list[DataChunk] = []
    for number in range(100):
        a.emit(numbered(number))
        kept += b.take_all()
    assert list(map(verified, kept)) == list(range(100))
    assert rig.copied(rig.wires[0]) == 100 - hold
    assert len(b.warnings) == 1 and f"more than {hold} chunks of 'a'" in b.warnings[0]
    kept.clear()
    a.emit(numbered(100))
    assert rig.copied(rig.wires[0]) == 100 - hold
    assert list(map(verified, b.take_all())) == [100]
    assert rig.copied(rig.wires[0]) == 100 - hold + (hold == 0)


@alone
def test_frames_that_grow_and_shrink_while_old_ones_are_kept() -> None:
    """Arenas change under leases; those that are done with go, on both sides and further down."""
    rig = Rig("abc", Wire("a", "b"), Wire("b", "c"))
    a, b, c = rig.actor("a", never), rig.actor("b", never), rig.actor("c")
    choose, kept = random.Random(3), []
    for number in range(300):
        rows = 40 + 8 * number if number % 3 else choose.randrange(40, 400)
        a.emit(numbered(number, (rows, 256)))
        for chunk in b.take_all():
            b.emit(chunk)
        kept = [*kept, *c.take_all()][-5:]
        assert [verified(chunk) for chunk in kept] == list(range(max(0, number - 4), number + 1))
    a.outputs.flush()
    assert len(arenas_mapped()) <= 4  # of some thirty that there were


@alone
def test_a_skipped_chunks_lease_ends_with_its_exception() -> None:
    rig, a, b = two(wait=never, hold={"b": 1})
    for number in range(50):
        a.emit(numbered(number))
        try:
            (chunk,) = b.take_all()
            raise ValueError(chunk)
        except ValueError as error:
            del error, chunk
    assert rig.copied(rig.wires[0]) == 0


# --- allocate --------------------------------------------------------------------------------------------------------


@alone
def test_an_allocated_array_is_emitted_without_a_copy_and_then_read_only() -> None:
    _, a, b = two(wait=never)
    addresses = set()
    for number in range(50):
        array = a.allocate(*FRAME)
        array[:] = frame(number)
        addresses.add(array.__array_interface__["data"][0])
        a.emit(array)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        (chunk,) = b.take_all()
        assert np.array_equal(value(chunk), frame(number))
        del array, chunk
    assert len(addresses) <= 2  # the same slot, or the next, again and again


@alone
def test_an_allocated_array_may_be_emitted_twice_viewed_or_dropped() -> None:
    _, a, b = two(wait=never)
    for number in range(50):
        array = a.allocate(*FRAME)
        array[:] = frame(number)
        dropped = a.allocate(*FRAME)
        dropped[:] = 0
        a.emit(array[2:])
        a.emit(array)
        a.emit({"in": [array.T, array[::2]]})
        first, second, third = b.take_all()
        a.emit(array)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        del array, dropped
        (fourth,) = b.take_all()
        assert np.array_equal(value(first), frame(number)[2:])
        assert np.array_equal(value(second), value(fourth))
        assert np.array_equal(value(third)["in"][0], frame(number).T)
        del first, second, third, fourth


@alone
def test_a_producer_that_keeps_all_that_it_allocates_and_emits_never_waits() -> None:
    _, a, b = two(wait=never)
    kept, got = [], []
    for number in range(100):
        array = a.allocate(*FRAME)
        array[:] = frame(number)
        a.emit(array)
        kept.append(array)
        got = [*got, *b.take_all()][-4:]
        a.emit(frame(number))
        got = [*got, *b.take_all()][-4:]
    assert all(np.array_equal(array, frame(number)) for number, array in enumerate(kept))
    assert [np.array_equal(value(chunk), frame(99)) for chunk in got[-2:]] == [True, True]


@alone
def test_small_arrays_and_those_without_consumers_are_private() -> None:
    rig, a, b = two(wait=never)
    small = a.allocate(4, 4)
    small[:] = 3
    a.emit(small)
    small[:] = 4
    assert np.array_equal(value(b.take_all()[0]), np.full((4, 4), 3))
    assert b.allocate(*FRAME).base is None
    assert arenas_mapped() == set()


# --- passing on ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("keeping", [0, 3])
@alone
def test_frames_are_passed_on_in_place(hops: int, keeping: int) -> None:
    names = ["a", *(f"m{hop}" for hop in range(hops)), "z"]
    rig = Rig(names, *(Wire(one, other) for one, other in zip(names, names[1:], strict=False)))
    a, *middle, z = (rig.actor(name, never) for name in names)
    kept: dict[str, list[DataChunk]] = {name: [] for name in names}
    for number in range(80):
        a.emit(numbered(number))
        for one in middle:
            for chunk in one.take_all():
                assert verified(chunk) == number
                one.emit(chunk)
                kept[one.name] = [*kept[one.name], chunk][-keeping:] if keeping else []
            del chunk
        kept["z"] = [*kept["z"], *z.take_all()][-3:]
        assert [verified(chunk) for chunk in kept["z"]] == list(range(max(0, number - 2), number + 1))
        assert all(verified(chunk) >= number - 4 for chunks in kept.values() for chunk in chunks)
    assert len(arenas_mapped()) == 1  # the source's
    assert [rig.copied(wire) for wire in rig.wires] == [0] * len(rig.wires)


@alone
def test_crops_and_fortran_order_are_passed_on_in_place_too_and_others_copied() -> None:
    rig = Rig("abc", Wire("a", "b"), Wire("b", "c"))
    a, b, c = rig.actor("a", never), rig.actor("b", never), rig.actor("c")
    image = frame(9, (400, 256))
    for sent, cut, arenas in [
        (image, lambda x: x[100:], 1), (np.asfortranarray(image), lambda x: x, 1), (image, lambda x: x.reshape(-1), 1),
        (image, lambda x: x[:, 3:200], 2), (image, lambda x: x[100:].copy(), 2),
    ]:  # fmt: skip
        a.emit(sent)
        (chunk,) = b.take_all()
        b.emit(cut(value(chunk)))
        assert np.array_equal(value(c.take_all()[0]), cut(np.asarray(sent)))
        assert len(arenas_mapped()) == arenas
        del chunk


@alone
def test_a_frame_reaches_one_node_by_two_ways_and_twice_on_one() -> None:
    rig = Rig("abcd", Wire("a", "b"), Wire("a", "c"), Wire("b", "d"), Wire("c", "d"), Wire("a", "d"))
    a, b, c, d = (rig.actor(name, never) for name in "abcd")
    choose, kept = random.Random(5), []
    for number in range(200):
        a.emit(numbered(number))
        for one in choose.sample([b, c], 2):
            for chunk in one.take_all():
                one.emit(chunk)
                if one is b and number % 2:
                    d_first = d.take_all()
                    kept += d_first
                    one.emit(chunk)  # the same once more
        got = d.take_all()
        assert {verified(chunk) for chunk in got} <= {number}
        kept = [*kept, *got][-9:]
        assert all(verified(chunk) >= number - 9 for chunk in kept)
    assert len(arenas_mapped()) <= 3  # copies of what is beyond the limit go into the passers' own


@alone
def test_what_is_passed_on_does_not_count_until_it_has_arrived_however_often() -> None:
    rig = Rig("abc", Wire("a", "b"), Wire("b", "c"), hold={"b": 1, "c": 0})
    a, b, c = (rig.actor(name, never) for name in "abc")
    a.emit(numbered(1))
    (kept,) = b.take_all()
    b.emit(kept)
    b.emit(kept)
    a.emit(numbered(2))
    (second,) = b.take_all()  # in place: the first lies on the next edge
    assert rig.copied(rig.wires[0]) == 0
    del second
    c.take()
    b.outputs.flush()
    a.emit(numbered(3))
    (third,) = b.take_all()  # and still does, once
    assert rig.copied(rig.wires[0]) == 0
    del third
    c.take()
    b.outputs.flush()
    a.emit(numbered(4))
    assert verified(b.take_all()[0]) == 4
    assert rig.copied(rig.wires[0]) == 1
    assert verified(kept) == 1


@alone
def test_a_reader_is_known_to_the_owner_though_nobody_between_has_moved() -> None:
    """a → b → c → d: d leases, c lets go; b does nothing meanwhile. The slot may not be written again."""
    rig = Rig("abcd", Wire("a", "b"), Wire("b", "c"), Wire("c", "d"))
    a, b, c, d = (rig.actor(name, never) for name in "abcd")
    a.emit(numbered(0))
    for one in (b, c):
        for chunk in one.take_all():
            one.emit(chunk)
        del chunk
    (kept,) = d.take_all()
    c.outputs.flush()
    b.outputs.edges[0].collect()
    for number in range(1, 40):
        a.emit(numbered(number))
        b.take_all()
        assert verified(kept) == 0


# --- enough slots ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@alone
def test_the_manager_gives_slots_enough_when_everybody_holds_all_that_he_may(seed: int) -> None:
    """Nobody ever waits for a slot: only for his window, and that goes on when the consumer takes."""
    choose = random.Random(seed)
    wires = [
        Wire("a", "b"),
        Wire("b", "c"),
        Wire("a", "c"),
        Wire("c", "d"),
        Wire("b", "d", "drop_oldest", 3, 3),
        Wire("a", "v", "latest", 1, 1),
    ]
    rig = Rig("abcvd", *wires, hold={"b": choose.randrange(3), "c": 4, "d": 2})
    held: dict[str, list[DataChunk]] = {name: [] for name in rig.names}
    actors: dict[str, Actor] = {}
    own: list[np.ndarray] = []

    def wait(edges: list[OutEdge], bell: int) -> bool:
        assert bell == -1, "a producer waits for a slot"
        for edge in edges:
            move(actors[edge.spec.peer])
        return True

    def move(one: Actor) -> None:
        data = one.take()
        one.outputs.flush()
        for chunk in (data or {}).values():
            held[one.name].append(chunk)
            if one.outputs.edges:
                one.emit(choose.choice([chunk, chunk, frame(7), choose.choice(held[one.name])]))
        if len(held[one.name]) > 20:
            del held[one.name][choose.randrange(21)]

    actors.update({name: rig.actor(name, wait) for name in rig.names})
    for number in range(300):
        array = actors["a"].allocate(*FRAME)
        own = [*own, array][-choose.randrange(1, 6) :]
        chunk = numbered(number)
        if number % 9 == 0:
            chunk.add("long", "l" * 70_000)
        actors["a"].emit(choose.choice([chunk, array]))
        if choose.random() < 0.3:
            move(actors[choose.choice("bcvd")])


@alone
def test_an_emission_that_waits_for_a_slot_goes_on_when_a_lease_ends() -> None:
    """With fewer slots than are needed: the bell is rung from another process."""
    rig = Rig("ab", Wire("a", "b"), slots=2)

    def work(say: Send) -> None:
        rig.only("b")
        b = rig.actor("b")
        kept = []
        while (data := b.step()) is not None:
            kept = [*kept, data["a"]][-2:]
            if len(kept) == 2:
                kept.pop(0)
        say(b"ended")

    with peer(work) as other:
        rig.only("a")
        a = rig.actor("a")
        for number in range(2000):
            a.emit(numbered(number))
        a.end()
        assert other.heard() == b"ended"
    assert rig.received(rig.wires[0]) == 2000


# --- lossy edges under pressure --------------------------------------------------------------------------------------


class Raced(End):
    """The producer's end of what a lossy consumer reads: now and then the consumer is quicker than it."""

    hook: Callable[[], None]

    def receive(self) -> bytes | None:
        self.hook()
        return super().receive()


@pytest.mark.parametrize("policy", ["latest", "drop_oldest"])
@pytest.mark.parametrize("seed", range(4))
@alone
def test_lossy_edges_in_any_order_of_acts(policy: str, seed: int) -> None:
    """The consumer reads between any two packets that the producer takes back. Frames are whole and in order, their number
    adds up, the end comes last and no slot is lost."""
    choose = random.Random(f"{policy} {seed}")
    depth = 1 if policy == "latest" else choose.choice([2, 3, 5])
    rig = Rig("abl", Wire("a", "b", policy, depth, depth), Wire("a", "l"), hold={"b": choose.randrange(4)})
    a = rig.actor("a", never, Raced)
    b, lossless = rig.actor("b"), rig.actor("l")
    lossy = rig.wires[0]
    kept: list[DataChunk] = []
    numbers: list[int] = []

    def consume(chance: float) -> None:
        while choose.random() < chance and (data := b.take()) is not None:
            chunk = data["a"]
            numbers.append(chunk.number)
            if "frame" in chunk:
                kept.append(chunk)
                assert verified(chunk) == chunk.number
            while len(kept) > 3:
                kept.pop(choose.randrange(4))
            for one in kept:
                verified(one)

    eager = choose.choice([0.05, 0.4, 0.7])
    Raced.hook = lambda self=None: consume(eager)  # type: ignore[assignment]
    for number in range(1, 2001):
        rows = 128 if number % 50 else choose.choice([64, 200, 500])
        a.emit(choose.choice([numbered(number, (rows, 256)), number, [number, "l" * 66_000]]))
        lossless.take_all()
        if number % 20 == 0:
            a.outputs.mark(1, number, {})
        consume(0.3)
        assert rig.in_flight(lossy) in range(depth + 2)
    a.end()
    Raced.hook = lambda self=None: None  # type: ignore[assignment]
    while not b.ended:
        a.outputs.flush()
        consume(1.0)
    assert numbers == sorted(set(numbers)) and numbers[-1] == 2000
    assert (rig.in_flight(lossy), rig.received(lossy)) == (0, len(numbers))
    assert rig.received(rig.wires[1]) == 2000


@pytest.mark.parametrize("policy", ["latest", "drop_oldest"])
@alone
def test_lossy_edges_between_processes_as_fast_as_they_can(policy: str) -> None:
    wire = Wire("a", "b", policy, depth := 1 if policy == "latest" else 4, depth)
    rig = Rig("ab", wire)

    def work(say: Send) -> None:
        rig.only("b")
        b = rig.actor("b")
        last, kept = 0, []
        while (data := b.step()) is not None:
            chunk = data["a"]
            kept = [*kept, chunk][-3:]
            for one in kept:
                assert verified(one) == one.number
            assert chunk.number > last
            last = chunk.number
        say(str(last).encode())

    with peer(work) as other:
        rig.only("a")
        a = rig.actor("a", never)
        for number in range(1, 8001):
            a.emit(numbered(number, (128 + number // 100, 256)))
        a.end()
        assert other.heard() == b"8000"
    assert rig.in_flight(wire) == 0
    assert 1 <= rig.received(wire) <= 8000


# --- ends and deaths -------------------------------------------------------------------------------------------------


@alone
def test_a_consumer_that_closes_twice_is_sent_no_more_and_gives_all_slots_back() -> None:
    rig, a, b = two(wait=never)
    for number in range(4):
        a.emit(numbered(number))
    verified(b.take_all()[0])
    a.emit(numbered(4))
    b.inputs.close("after_end")
    b.inputs.close("failed")
    for number in range(5, 30):
        a.emit(numbered(number))
        b.inputs.receive()
    a.outputs.flush()
    assert a.outputs.all_closed
    a.end()
    b.inputs.receive()
    assert b.ended == {0}
    assert rig.in_flight(rig.wires[0]) == 0
    assert rig.dropped(rig.wires[0]) == {"after_end": 26}


@alone
def test_marks_get_through_to_a_consumer_that_closed_while_chunks_waited() -> None:
    def wait(edges: list[OutEdge], bell: int) -> bool:
        return False  # stopped

    rig, a, b = two(wait=wait)
    for number in range(20):
        a.emit(numbered(number))
    a.end()
    b.inputs.close("after_end")
    while not b.ended:
        b.inputs.receive()
        a.outputs.flush()
    assert rig.in_flight(rig.wires[0]) == 0


@alone
def test_a_mark_that_waits_for_a_consumer_which_closes_and_dies() -> None:
    rig = Rig("ab", Wire("a", "b"))

    def work(say: Send) -> None:
        rig.only("b")
        b = rig.actor("b")
        b.inputs.close("after_end")
        say(b"closed")

    with peer(work) as other:
        rig.only("a")
        a = rig.actor("a", lambda edges, bell: False)
        for number in range(20):
            a.emit(numbered(number))
        a.end()
        assert other.heard() == b"closed"
        other.end()
        a.outputs.flush()
        a.end()
        a.emit(numbered(21))
        assert a.outputs.edges[0].gone
        assert not a.outputs.edges[0].backlog


def relay(rig: Rig, name: str, keep: int) -> Callable[[Send], None]:
    """A node that passes on what it gets and keeps the last few."""

    def work(say: Send) -> None:
        rig.only(name)
        one = rig.actor(name)
        kept: list[DataChunk] = []
        say(b"there")
        while (data := one.step()) is not None:
            for chunk in data.values():
                one.emit(chunk)
                kept = [*kept, chunk][-keep:]
        one.end()
        one.drain()
        say(b"ended")

    return work


def sink(rig: Rig, name: str, keep: int) -> Callable[[Send], None]:
    """Verifies all that it gets, and what it keeps again and again, and tells how many there were."""

    def work(say: Send) -> None:
        rig.only(name)
        one = rig.actor(name)
        kept: list[DataChunk] = []
        seen = 0
        say(b"there")
        try:
            while (data := one.step()) is not None:
                for chunk in data.values():
                    kept = [*kept, chunk][-keep:]
                    for held in kept:
                        verified(held)
                    seen += 1
            say(f"whole {seen}".encode())
        except AssertionError as error:
            say(f"damaged: {error}".encode())

    return work


@pytest.mark.parametrize("killed", ["b", "c", "d"])
@alone
def test_a_peer_killed_at_any_point_damages_nothing_that_others_read(killed: str) -> None:
    """a → b → c → d, a → d; one is killed at some chunk: the others see whole frames only, and all come to an end."""
    choose = random.Random(killed)
    for _ in range(6):
        rig = Rig("abcd", Wire("a", "b"), Wire("b", "c"), Wire("c", "d"), Wire("a", "d"))
        others: dict[str, Peer] = {}
        for name, work in [("b", relay(rig, "b", 2)), ("c", relay(rig, "c", 3)), ("d", sink(rig, "d", 8))]:
            others[name] = Peer(work, ())
            assert others[name].heard() == b"there"
        rig.only("a")
        a = rig.actor("a", patient)
        at = choose.randrange(5, 150)
        for number in range(200):
            a.emit(numbered(number))
            if number == at:
                others[killed].kill()
        a.end()
        if killed != "d":
            told = others["d"].heard()
            assert told.startswith(b"whole"), told
        if killed != "b":
            assert others["b"].heard() == b"ended"
        if killed != "c":
            assert others["c"].heard() == b"ended"
        for other in others.values():
            other.end()


def patient(edges: list[OutEdge], bell: int) -> bool:
    """Waits for the window only: what the dead held is held for ever."""
    return bell < 0 and wait_for_the_kernel(edges, bell)


@alone
def test_three_processes_pass_frames_on_for_long() -> None:
    rig = Rig("abcd", Wire("a", "b"), Wire("b", "c"), Wire("c", "d"), hold={"d": 6})
    with peer(relay(rig, "b", 1)) as b, peer(relay(rig, "c", 4)) as c, peer(sink(rig, "d", 6)) as d:
        for other in (b, c, d):
            assert other.heard() == b"there"
        rig.only("a")
        a = rig.actor("a")
        for number in range(3000):
            a.emit(numbered(number))
        a.end()
        told = d.heard()
        assert told == b"whole 3000", told
    assert [rig.copied(wire) for wire in rig.wires] == [0, 0, 0]
