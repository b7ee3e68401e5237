"""Windows in bytes: what is on the way is no larger, a single chunk always goes, and nobody is ever stuck."""

from __future__ import annotations

import random

import pytest

from ..isolated import alone
from .fakes import Actor, OutputEdge, Rig, Wire, value


def pair(wire: Wire) -> tuple[Rig, Actor, Actor, list[bytes]]:
    """A producer whose emissions wait for a consumer that takes one chunk at a time; what it has taken."""

    def wait(edges: list[OutputEdge], bell: int) -> bool:
        data = b.take()
        assert data is not None, "the producer waits although nothing is on the way"
        taken.append(value(data["a"]))
        return True

    rig = Rig("ab", wire)
    taken: list[bytes] = []
    a, b = rig.actor("a", wait), rig.actor("b")
    return rig, a, b, taken


@alone
def test_a_lossless_producer_waits_when_the_next_chunk_does_not_fit() -> None:
    rig, a, b, taken = pair(Wire("a", "b", bytes=10_000))
    for number in range(3):
        a.emit(bytes([number]) * 3000)
    assert taken == []
    a.emit(bytes([3]) * 3000)
    assert len(taken) == 1
    taken += map(value, b.take_all())
    assert taken == [bytes([number]) * 3000 for number in range(4)]
    assert rig.in_flight(rig.wires[0]) == 0


@alone
def test_a_chunk_larger_than_the_window_goes_alone() -> None:
    _, a, b, taken = pair(Wire("a", "b", bytes=10_000))
    a.emit(b"x" * 100)
    a.emit(b"y" * 100_000)
    assert taken == [b"x" * 100]
    a.emit(b"z" * 100)
    assert taken == [b"x" * 100, b"y" * 100_000]
    assert list(map(value, b.take_all())) == [b"z" * 100]


@pytest.mark.parametrize("seed", range(5))
@alone
def test_chunks_of_any_size_keep_to_the_window(seed: int) -> None:
    choose = random.Random(seed)
    rig, a, b, taken = pair(Wire("a", "b", depth=choose.choice([1, 2, 256]), bytes=20_000))
    sent = [choose.randbytes(choose.choice([10, 1000, 5000, 9000, 30_000])) for _ in range(100)]
    for number, content in enumerate(sent):
        a.emit(content)
        on_the_way = sent[len(taken) : number + 1]
        assert len(on_the_way) == 1 or sum(map(len, on_the_way)) <= 20_000
    taken += map(value, b.take_all())
    assert taken == sent
    assert rig.sent(rig.wires[0]) == 100


@alone
def test_drop_oldest_drops_what_the_newest_needs() -> None:
    rig = Rig("ab", Wire("a", "b", "drop_oldest", depth=8, slots=8, bytes=10_000))
    a, b = rig.actor("a"), rig.actor("b")
    for number in range(6):
        a.emit(bytes([number]) * 3000)
    assert list(map(value, b.take_all())) == [bytes([number]) * 3000 for number in (3, 4, 5)]
    assert rig.dropped(rig.wires[0]) == {"oldest": 3}
    a.emit(b"x" * 3000)
    a.emit(b"y" * 50_000)
    assert list(map(value, b.take_all())) == [b"y" * 50_000]
    assert rig.in_flight(rig.wires[0]) == 0
