"""Frames in slots: leases, what a node allocates or passes on, and that there are always slots enough."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.edges.output_edge import OutputEdge

from ..channel.fakes import Send, peer
from ..isolated import alone
from .fakes import Actor, Rig, Wire, value
from .frames import FRAME, arenas_mapped, frame, never, numbered, two, verified

# --- leases -----------------------------------------------------------------------------------------------------------


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
    assert len(b.warnings) == 1
    assert f"more than {hold} chunks of 'a'" in b.warnings[0]
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


# --- allocate ---------------------------------------------------------------------------------------------------------


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
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1  # what it is a view of is emitted too
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
    _rig, a, b = two(wait=never)
    small = a.allocate(4, 4)
    small[:] = 3
    a.emit(small)
    small[:] = 4
    assert np.array_equal(value(b.take_all()[0]), np.full((4, 4), 3))
    assert b.allocate(*FRAME).base is None
    assert arenas_mapped() == set()


# --- passing on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("keeping", [0, 3])
@alone
def test_frames_are_passed_on_in_place(hops: int, keeping: int) -> None:
    names = ["a", *(f"m{hop}" for hop in range(hops)), "z"]
    rig = Rig(names, *(Wire(one, other) for one, other in itertools.pairwise(names)))
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
def test_a_frame_that_is_passed_on_to_two_waits_for_the_slower() -> None:
    rig = Rig("abcd", Wire("a", "b"), Wire("b", "c"), Wire("b", "d"))
    a, b, c, d = (rig.actor(name, never) for name in "abcd")
    for number in range(100):
        a.emit(numbered(number))
        for chunk in b.take_all():
            b.emit(chunk)
        del chunk
        assert list(map(verified, c.take_all())) == [number]
        if number % 4 == 3:
            assert list(map(verified, d.take_all())) == list(range(number - 3, number + 1))
    assert len(arenas_mapped()) == 1


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


# --- enough slots -----------------------------------------------------------------------------------------------------


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

    def wait(edges: list[OutputEdge], bell: int) -> bool:
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
