"""Rings: order, going round, a full one, damage, and the bell that must not be missed."""

from __future__ import annotations

import os
import random
import select
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmesh.channel.leases import fence
from flowmesh.channel.packet_socket import PacketSocket, PeerGone, pair
from flowmesh.channel.ring import BELL, SIZE, TAIL, RingReader, RingWriter, make_ring
from flowmesh.errors import ChunkError

from .fakes import WITHIN

Sides = tuple[RingWriter, RingReader, PacketSocket, PacketSocket]


def make() -> Sides:
    ours, theirs = pair()
    ring = make_ring()
    end, other = PacketSocket(ours), PacketSocket(theirs)
    return RingWriter(os.dup(ring), end), RingReader(ring, other), end, other


def close(*made: RingWriter | RingReader | PacketSocket) -> None:
    for each in made:
        each.close()


@pytest.fixture
def sides() -> Iterator[Sides]:
    writer, reader, end, other = make()
    yield writer, reader, end, other
    close(writer, reader, end, other)


def test_packets_come_in_order_and_all_that_wait_at_once(sides: Sides) -> None:
    writer, reader, _, _ = sides
    assert reader.is_empty
    assert reader.take() == (0, b"")
    assert writer.put(b"one")
    assert writer.put(b"four")
    assert not reader.is_empty
    assert reader.take() == (2, b"onefour")
    assert reader.is_empty


def test_a_full_ring_says_so_and_has_room_again_when_it_was_read(sides: Sides) -> None:
    writer, reader, _, _ = sides
    packet = b"x" * 1000
    count = 0
    while writer.put(packet):
        count += 1
    assert count == SIZE // 1000
    assert not writer.has_moved
    assert reader.take() == (count, packet * count)
    assert writer.has_moved
    assert writer.put(packet)
    assert reader.take() == (1, packet)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 65_536))
def test_whatever_the_sizes_nothing_is_lost_split_or_repeated(seed: int, largest: int) -> None:
    choose = random.Random(seed)
    writer, reader, end, other = make()
    sent, received, waiting = bytearray(), bytearray(), 0
    for _ in range(200):
        packet = choose.randbytes(choose.randint(1, largest))
        if choose.random() < 0.7 and writer.put(packet):
            sent += packet
            waiting += 1
        elif choose.random() < 0.5:
            count, data = reader.take()
            assert count == waiting
            received += data
            waiting = 0
    received += reader.take()[1]
    assert received == sent
    close(writer, reader, end, other)


def test_credit_is_seen_by_the_writer(sides: Sides) -> None:
    writer, reader, _, _ = sides
    assert writer.taken == 0
    reader.give(2**60)
    assert writer.taken == 2**60


def test_the_bell_is_rung_once_and_only_for_a_side_that_sleeps(sides: Sides) -> None:
    writer, reader, end, other = sides
    writer.put(b"x")
    assert other.receive() is None
    reader.sleeps(True)
    writer.put(b"x")
    writer.put(b"x")
    assert [other.receive(), other.receive()] == [BELL, None]
    writer.sleeps(True)
    reader.take()
    reader.give(1)
    assert [end.receive(), end.receive()] == [BELL, None]
    writer.sleeps(True)
    writer.sleeps(False)
    reader.give(2)
    assert end.receive() is None


def test_a_peer_that_has_gone_is_rung_in_vain(sides: Sides) -> None:
    writer, reader, end, other = sides
    reader.sleeps(True)
    other.close()
    assert writer.put(b"x")
    with pytest.raises(PeerGone):
        end.receive()
    assert reader.take() == (1, b"x")


@pytest.mark.parametrize("tail", [1 << 32, 5, 2**64 - 1, 3 << 32 | 2, SIZE + 1, 1 << 40 | 7])
def test_a_damaged_tail_is_refused_or_gives_no_more_than_there_is(sides: Sides, tail: int) -> None:
    writer, reader, _, _ = sides
    writer._cells[TAIL] = tail
    try:
        count, data = reader.take()
    except ChunkError:
        return
    assert 0 < count <= len(data) <= SIZE


def test_a_ring_can_not_be_cut_off_under_its_reader() -> None:
    ring = make_ring()
    for size in (0, 2**30):
        with pytest.raises(PermissionError):
            os.ftruncate(ring, size)
    os.close(ring)


def test_two_processes_that_sleep_and_wake_miss_no_bell() -> None:
    """Each side sleeps whenever it can, at times that the other can't know; a bell that is missed leaves both asleep."""
    count, window = 100_000, 16
    writer, reader, end, other = make()
    with warnings.catch_warnings():  # of threads, as numpy's: the child uses none of them
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        end.close()
        seen = 0
        while seen < count:
            reader.sleeps(True)
            fence()
            if reader.is_empty and not select.select([other], [], [], WITHIN)[0]:
                os._exit(1)
            reader.sleeps(False)
            while other.receive() is not None:
                pass
            arrived, data = reader.take()
            for number in range(arrived):
                if data[number * 8 : number * 8 + 8] != (seen + number).to_bytes(8, "big"):
                    os._exit(2)
            seen += arrived
            reader.give(seen)
        os._exit(0)
    other.close()
    for number in range(count):
        while number - writer.taken >= window:
            writer.sleeps(True)
            fence()
            if number - writer.taken >= window:
                assert select.select([end], [], [], WITHIN)[0], "a bell was missed"
            writer.sleeps(False)
            try:
                while end.receive() is not None:
                    pass
            except PeerGone:
                break
        assert writer.put(number.to_bytes(8, "big"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    close(writer, reader, end)
