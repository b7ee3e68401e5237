"""Ends of a socket channel: order, a full buffer, the peer's death, descriptors."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flowmesh.channel.packet_socket import LARGEST, PacketSocket, PeerGone, pair

from .fakes import Send, descriptors, forever, peer, wait_for

Ends = tuple[PacketSocket, PacketSocket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = [PacketSocket(descriptor) for descriptor in pair()]
    yield both[0], both[1]
    for end in both:
        end.close()


@pytest.fixture
def file() -> Iterator[int]:
    """A memfd that holds "file"."""
    descriptor = os.memfd_create("flowmesh-test", os.MFD_CLOEXEC)
    os.write(descriptor, b"file")
    yield descriptor
    os.close(descriptor)


def fill(end: PacketSocket, size: int = 4096) -> int:
    """Send numbered packets until there is no room; how many were sent."""
    number = 0
    while end.send(number.to_bytes(4, "big") + bytes(size - 4)):
        number += 1
    return number


def read_numbers(end: PacketSocket) -> list[int]:
    """The numbers of all packets that wait."""
    return [int.from_bytes(packet[:4], "big") for packet in iter(end.receive, None)]


def test_packets_keep_their_borders_and_their_order_both_ways(ends: Ends) -> None:
    one, other = ends
    packets = [b"a", b"bc", b"\0", bytes(LARGEST)]
    assert all(one.send(packet) for packet in packets)
    assert other.send(b"back")
    assert [other.receive() for _ in packets] == packets
    assert other.receive() is None
    assert one.receive() == b"back"
    assert one.receive() is None


def test_when_the_buffer_is_full_send_says_so_and_goes_on_after_a_read(ends: Ends) -> None:
    one, other = ends
    sent = fill(one)
    assert sent > 10
    assert not one.send(b"more")
    assert read_numbers(other) == list(range(sent))
    assert one.send(b"more")
    assert other.receive() == b"more"


def test_what_was_sent_before_the_peer_was_killed_is_read_and_then_it_is_gone() -> None:
    ours, theirs = pair()

    def work(say: Send) -> None:
        end = PacketSocket(theirs)
        for number in range(20):
            end.send(number.to_bytes(4, "big"))
        say(b"sent")
        forever()

    with peer(work, ours) as other:
        os.close(theirs)
        end = PacketSocket(ours)
        assert other.heard() == b"sent"
        other.kill()
        assert [end.receive() for _ in range(20)] == [number.to_bytes(4, "big") for number in range(20)]
        for _ in range(2):
            with pytest.raises(PeerGone):
                end.receive()
            with pytest.raises(PeerGone):
                end.receive_with_descriptors()
        with pytest.raises(PeerGone):
            end.send(b"anyone?")
        with pytest.raises(PeerGone):
            end.send(b"anyone?", [0])
        end.close()


def test_a_process_that_waits_is_woken_by_the_death_of_its_peer() -> None:
    ours, theirs = pair()
    with peer(lambda say: forever(), ours) as other:
        os.close(theirs)
        end = PacketSocket(ours)
        assert end.receive() is None
        other.kill()
        wait_for(end.fileno())
        with pytest.raises(PeerGone):
            end.receive()
        end.close()


@pytest.mark.parametrize("with_descriptors", [False, True])
def test_a_peer_that_left_without_reading_is_no_reason_to_lose_what_it_sent(ends: Ends, with_descriptors: bool) -> None:
    one, other = ends
    one.send(b"never read")
    other.send(b"first")
    other.send(b"second")
    other.close()
    if with_descriptors:
        assert one.receive_with_descriptors() == (b"first", [])
    else:
        assert one.receive() == b"first"
    assert one.receive() == b"second"
    with pytest.raises(PeerGone):
        one.receive()


def test_sending_to_a_peer_that_left_without_reading_says_so_every_time(ends: Ends) -> None:
    one, other = ends
    one.send(b"never read")
    other.close()
    for _ in range(3):
        with pytest.raises(PeerGone):
            one.send(b"more")


@pytest.mark.parametrize("count", [1, 3])
def test_descriptors_travel_with_their_packet(ends: Ends, file: int, count: int) -> None:
    one, other = ends
    assert one.send(b"plain")
    assert one.send(b"with files", [file] * count)
    assert other.receive_with_descriptors() == (b"plain", [])
    packet, given = other.receive_with_descriptors() or (b"", [])
    assert (packet, len(given)) == (b"with files", count)
    for descriptor in given:
        assert not os.get_inheritable(descriptor)
        assert os.path.sameopenfile(descriptor, file)
        assert os.pread(descriptor, 10, 0) == b"file"
        os.close(descriptor)
    assert other.receive_with_descriptors() is None


def test_of_more_descriptors_than_anybody_sends_none_is_left_open(ends: Ends, file: int) -> None:
    one, other = ends
    before = descriptors()
    one.send(b"with files", [file] * 20)
    packet, given = other.receive_with_descriptors() or (b"", [])
    assert packet == b"with files"
    assert descriptors() == before + len(given)
    for descriptor in given:
        os.close(descriptor)


def test_a_descriptor_that_nobody_asked_for_is_closed_by_the_kernel(ends: Ends, file: int) -> None:
    one, other = ends
    before = descriptors()
    for _ in range(10):
        one.send(b"with a file", [file])
        assert other.receive() == b"with a file"
    assert descriptors() == before


def test_a_full_buffer_takes_no_descriptor_either(ends: Ends, file: int) -> None:
    one, other = ends
    sent = fill(one)
    before = descriptors()
    assert not one.send(b"with a file", [file])
    assert descriptors() == before
    assert read_numbers(other) == list(range(sent))


def test_closing_leaves_no_descriptor() -> None:
    before = descriptors()
    both = [PacketSocket(descriptor) for descriptor in pair()]
    assert descriptors() == before + 2
    for end in both:
        end.close()
        end.close()
    assert descriptors() == before
