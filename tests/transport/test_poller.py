"""One wait for sockets and file descriptors: nothing that has come is slept over, and nothing else is told."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator

import pytest
import zmq

from flowmesh.transport.poller import Poller
from flowmesh.transport.sockets import Context, Socket

from .conftest import DEADLINE

Ends = tuple[Socket, Socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    context = Context()
    listener, dialler = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
    port = listener.bind_to_random_port("tcp://127.0.0.1")
    dialler.connect(f"tcp://127.0.0.1:{port}")
    yield listener, dialler
    context.destroy(linger=0)


def until_readable(readiness: Poller) -> None:
    """libzmq's descriptor may also tell of what is nobody's affair."""
    deadline = time.monotonic() + DEADLINE
    while not readiness.readable:
        left = deadline - time.monotonic()
        assert left > 0, "it came, and nobody was told"
        assert readiness.wait(left) == {}


def received(readiness: Poller, descriptor: int) -> list[bytes]:
    """Everything that waits at a socket, as its owner reads it."""
    found = []
    readiness.used(descriptor)
    while readiness.can_read(descriptor):
        found.append(readiness.readable[descriptor].recv(zmq.NOBLOCK))
    return found


def test_a_message_is_told_until_it_is_read(ends: Ends) -> None:
    listener, dialler = ends
    readiness = Poller()
    descriptor = readiness.add(listener)
    assert (readiness.wait(0.0), readiness.readable) == ({}, {})
    dialler.send(b"one")
    until_readable(readiness)
    readiness.wait(0.0)
    assert readiness.readable == {descriptor: listener}
    assert received(readiness, descriptor) == [b"one"]
    readiness.wait(0.0)
    assert readiness.readable == {}


def test_what_a_socket_noticed_while_it_was_used_is_not_slept_over(ends: Ends) -> None:
    """libzmq's descriptor says nothing of it any more: every send looks for what has come."""
    listener, dialler = ends
    readiness = Poller()
    descriptor = readiness.add(listener)
    answer = Poller()
    answering = answer.add(dialler)
    for number in range(500):
        dialler.send(b"%d" % number)
        listener.send(b"answer")
        readiness.used(descriptor)
        answer.used(answering)
        until_readable(readiness)
        assert received(readiness, descriptor) == [b"%d" % number]
        readiness.wait(0.0)
        until_readable(answer)
        assert received(answer, answering) == [b"answer"]
        answer.wait(0.0)


def test_file_descriptors_are_told_with_what_they_are_ready_for(ends: Ends) -> None:
    listener, dialler = ends
    readiness = Poller()
    readiness.add(listener)
    reading, writing = os.pipe()
    readiness.watch(reading, True, False)
    readiness.watch(writing, False, True)
    assert readiness.wait(DEADLINE) == {writing: select.POLLOUT}
    readiness.watch(writing, False, False)
    assert readiness.wait(0.01) == {}
    os.write(writing, b"x")
    assert readiness.wait(DEADLINE) == {reading: select.POLLIN}
    readiness.watch(reading, False, False)
    os.close(reading)
    os.close(writing)
    dialler.send(b"one")
    assert readiness.wait(DEADLINE) == {}


def test_a_socket_that_was_removed_is_not_waited_for(ends: Ends) -> None:
    listener, dialler = ends
    readiness = Poller()
    descriptor = readiness.add(listener)
    dialler.send(b"one")
    until_readable(readiness)
    readiness.remove(descriptor)
    assert readiness.readable == {}
    listener.close()
    assert readiness.wait(0.01) == {}


def test_a_socket_that_got_the_number_of_what_was_closed_is_waited_for(ends: Ends) -> None:
    """The link closes a channel first and says later that it watches it no more: a number may be a new socket's by then."""
    listener, dialler = ends
    readiness = Poller()
    taken = int(listener.getsockopt(zmq.FD))
    readiness.watch(taken, True, False)
    descriptor = readiness.add(listener)
    assert descriptor == taken
    readiness.watch(taken, False, False)
    readiness.wait(0.0)
    dialler.send(b"one")
    until_readable(readiness)
    assert received(readiness, descriptor) == [b"one"]
    readiness.remove(descriptor)
    readiness.watch(taken, False, False)
