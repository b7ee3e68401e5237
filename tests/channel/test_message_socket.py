"""The pipe between a worker and a child: whole messages of any size with their descriptors, in order, without blocking."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from flowmesh.channel.message_socket import MessageSocket, close_all, memory_file, read_memory_file
from flowmesh.channel.packet_socket import PeerGone, pair

from .fakes import WITHIN, Send, descriptors, forever, peer, wait_for

Pipes = tuple[MessageSocket, MessageSocket]
INLINE = 64 * 1024


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    both = [MessageSocket(descriptor) for descriptor in pair()]
    yield both[0], both[1]
    for pipe in both:
        pipe.close()


def message(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def receive(pipe: MessageSocket) -> tuple[bytes, list[int]]:
    """The next message, waited for."""
    while (received := pipe.receive()) is None:
        wait_for(pipe.fileno())
    return received


@pytest.mark.parametrize("size", [0, 1, INLINE - 1, INLINE, INLINE + 1, 10**6, 50 * 10**6])
@pytest.mark.parametrize("files", [0, 3])
def test_a_message_of_any_size_arrives_whole_with_its_descriptors(pipes: Pipes, size: int, files: int) -> None:
    one, other = pipes
    given = [memory_file(f"file {number}".encode()) for number in range(files)]
    one.send(message(size), given)
    assert [os.fstat(descriptor).st_size for descriptor in given] == [6] * files  # still the caller's
    close_all(given)
    data, taken = receive(other)
    assert data == message(size)
    assert not any(map(os.get_inheritable, taken))
    assert [read_memory_file(descriptor) for descriptor in taken] == [b"file 0", b"file 1", b"file 2"][:files]
    assert other.receive() is None


def test_a_message_with_many_descriptors_arrives_with_all(pipes: Pipes) -> None:
    one, other = pipes
    file = memory_file(b"")
    one.send(message(10**5), [file] * 199)
    data, taken = receive(other)
    assert (len(data), len(taken)) == (10**5, 199)
    assert all(os.path.sameopenfile(file, descriptor) for descriptor in taken)
    close_all([*taken, file])


def test_what_the_kernel_has_no_room_for_waits_in_order(pipes: Pipes) -> None:
    one, other = pipes
    sizes = [(number * 7919) % 90_000 for number in range(100)]
    for number, size in enumerate(sizes):
        one.send(bytes([number]) + message(size))
    assert not one.flush()
    received: list[bytes] = []
    while len(received) < len(sizes):
        received.append(receive(other)[0])
        one.flush()
    assert received == [bytes([number]) + message(size) for number, size in enumerate(sizes)]
    assert one.flush()


def test_flush_gives_up_after_its_time_and_ends_when_the_peer_reads() -> None:
    ours, theirs = pair()
    go_read, go_write = os.pipe()

    def work(say: Send) -> None:
        os.read(go_read, 1)
        pipe = MessageSocket(theirs)
        got = [receive(pipe)[0] for _ in range(20)]
        say(b"all" if got == [message(60_000)] * 20 else b"not all")

    with peer(work, ours) as other:
        os.close(theirs)
        pipe = MessageSocket(ours)
        for _ in range(20):
            pipe.send(message(60_000))
        assert not pipe.flush(within=0.05)
        os.write(go_write, b"!")
        assert pipe.flush(within=WITHIN)
        assert other.heard() == b"all"
        other.end()
        pipe.close()
    os.close(go_read)
    os.close(go_write)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """The right to have more than the usual 1024 of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_flush_waits_with_a_descriptor_of_any_number(pipes: Pipes) -> None:
    spare = [os.dup(0) for _ in range(1100)]
    high = MessageSocket(os.dup(pipes[0].fileno()))
    close_all(spare)
    assert high.fileno() > 1024
    for _ in range(20):
        high.send(message(60_000))
    assert not high.flush(within=0.01)
    high.close()


def test_what_was_sent_before_the_peer_was_killed_is_read_and_then_it_is_gone() -> None:
    ours, theirs = pair()

    def work(say: Send) -> None:
        pipe = MessageSocket(theirs)
        pipe.send(b"small")
        pipe.send(message(10**6), [0])
        say(b"sent")
        forever()

    with peer(work, ours) as other:
        os.close(theirs)
        pipe = MessageSocket(ours)
        assert other.heard() == b"sent"
        pipe.send(b"never read")
        other.kill()
        assert receive(pipe) == (b"small", [])
        data, taken = receive(pipe)
        assert (data, len(taken)) == (message(10**6), 1)
        close_all(taken)
        for _ in range(2):
            with pytest.raises(PeerGone):
                pipe.receive()
        pipe.close()


def test_a_peer_that_has_gone_gets_nothing_and_nothing_is_kept_for_it(pipes: Pipes) -> None:
    one, other = pipes
    before = descriptors()
    for _ in range(20):
        one.send(message(60_000), [one.fileno()])
    assert not one.flush()
    assert descriptors() > before
    other.close()
    assert one.flush()
    one.send(message(10**6), [one.fileno()])
    assert descriptors() == before - 1


def test_closing_leaves_no_descriptor_of_what_waited() -> None:
    before = descriptors()
    both = [MessageSocket(descriptor) for descriptor in pair()]
    for _ in range(20):
        both[0].send(message(60_000), [0])
        both[0].send(message(70_000), [0])
    for pipe in (*both, *both):
        pipe.close()
    assert descriptors() == before


def test_a_memory_file_is_read_from_its_start_wherever_its_position_is() -> None:
    descriptor = memory_file(b"content", "flowmesh-test")
    os.lseek(descriptor, 3, os.SEEK_SET)
    before = descriptors()
    assert read_memory_file(descriptor) == b"content"
    assert descriptors() == before - 1
