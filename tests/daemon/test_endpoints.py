"""What strangers of the same user say at a worker's address: it is closed, and stops nothing."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from flowmesh.channel.message_socket import MessageSocket, memory_file
from flowmesh.channel.packet_socket import PeerGone
from flowmesh.daemon.endpoints import Endpoints

from ..conftest import SCALE


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    made = Endpoints()
    yield made
    made.close()


def call(endpoints: Endpoints) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller.connect("\0" + endpoints.address)
    return caller


@pytest.mark.parametrize("packet", [b"\1", b"\3", b"\xff" * 100, b"\1" + bytes(50)])
def test_an_odd_packet_is_closed_and_the_next_caller_is_served(endpoints: Endpoints, packet: bytes) -> None:
    endpoints.expect(7, "a nonce")
    with call(endpoints) as odd:
        odd.send(packet)
        assert endpoints.arrivals() == []
        assert odd.recv(1) == b""  # it was closed
    file = memory_file(b"")
    good = MessageSocket(call(endpoints).detach())
    good.send(b"a nonce", [file])
    assert endpoints.arrivals() == [7]
    good.close()
    os.close(file)


def test_those_who_say_nothing_are_bounded(endpoints: Endpoints) -> None:
    callers = []
    for _ in range(400):
        callers.append(call(endpoints))
        endpoints.arrivals()
    assert len(endpoints.descriptors()) == 1 + 256
    poll = select.poll()
    poll.register(callers[-1], select.POLLIN)
    assert poll.poll(5000 * SCALE)
    assert callers[-1].recv(1) == b""
    for caller in callers:
        caller.close()


def test_a_message_socket_takes_what_is_no_message_for_the_end(endpoints: Endpoints) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader = MessageSocket(ours.detach())
    with theirs:
        theirs.send(b"\1")
        with pytest.raises(PeerGone):
            reader.receive()
    reader.close()
