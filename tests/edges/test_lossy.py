"""Lossy edges under pressure: the producer takes back what the consumer is about to read."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from flowmesh.channel.packet_socket import PacketSocket
from flowmesh.chunk import DataChunk

from ..channel.fakes import Send, peer
from ..isolated import alone
from .fakes import Rig, Wire
from .frames import never, numbered, verified


class Raced(PacketSocket):
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
            a.outputs.send_marker(1, number, {})
        consume(0.3)
        assert rig.in_flight(lossy) in range(depth + 2)
    a.end()
    Raced.hook = lambda self=None: None  # type: ignore[assignment]
    while not b.ended:
        a.outputs.flush()
        consume(1.0)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 2000
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
