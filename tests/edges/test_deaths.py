"""How edges end: closed, closed twice, and by the death of whoever is at the other end."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from flowmesh.chunk import DataChunk
from flowmesh.edges.output_edge import OutputEdge

from ..channel.fakes import Peer, Send, peer
from ..isolated import alone
from .fakes import Rig, Wire, wait_for_the_kernel
from .frames import never, numbered, two, verified


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
    def wait(edges: list[OutputEdge], bell: int) -> bool:
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


def patient(edges: list[OutputEdge], bell: int) -> bool:
    """Waits for the window only: what the dead held is held for ever."""
    return bell < 0 and wait_for_the_kernel(edges, bell)


@alone
def test_three_processes_pass_frames_on_for_long() -> None:
    rig = Rig("abcd", Wire("a", "b"), Wire("b", "c"), Wire("c", "d"), hold={"d": 6})
    with peer(relay(rig, "b", 1)) as b, peer(relay(rig, "c", 2)) as c, peer(sink(rig, "d", 4)) as d:
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


@alone
def test_what_was_sent_before_a_death_can_be_read_also_the_first_frame_of_an_arena() -> None:
    _, a, b = two(wait=never)
    a.emit(numbered(0))
    for edge in a.outputs.edges:
        edge.end.close()  # as the kernel does when its process dies
    assert verified(b.take_all()[0]) == 0
    b.inputs.receive()
    assert b.ended == {0}
