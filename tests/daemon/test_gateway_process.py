"""The link's place on a worker: which channels are made for it, what its process is told, when it is ended for good."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from flowmesh.channel.counters import BUSY, REASON_CELL, CounterPage
from flowmesh.channel.message_socket import MessageSocket
from flowmesh.channel.packet_socket import PacketSocket, PeerGone
from flowmesh.control.worker.effects import ConnectConsumers, ConnectProducer, EndGateway, SendToGateway, StartGateway
from flowmesh.daemon.endpoints import Endpoints
from flowmesh.daemon.gateway_process import MODULE, GatewayProcess
from flowmesh.errors import LinkError
from flowmesh.planning.placement import place_edges, transfers
from flowmesh.wire.messages import (
    CloseTransfers,
    LogLine,
    Message,
    OpenGateway,
    OpenIncoming,
    OpenOutgoing,
    PeerGateways,
    decode,
    encode,
)
from flowmesh.wire.plan_specs import Code, EdgeSpec, Host, NodeSpec, Plan

NAMES = ("film", "edges", "show", "look")
WORKERS = {"film": "here", "edges": "there", "show": "here", "look": "here"}
HOSTS = {"here": Host("boot", 1, 0, "@here"), "there": Host("boot", 2, 0, "@there")}
EDGES = (
    EdgeSpec(0, "film", "edges"),
    EdgeSpec(1, "edges", "show", policy="latest", depth=1, slots=1),
    EdgeSpec(2, "edges", "look", policy="latest", depth=1, slots=1),
)
PLACED = place_edges(EDGES, WORKERS, HOSTS, lambda: "")
PLAN = Plan(
    "graph.1",
    1,
    NAMES,
    tuple(NodeSpec(place, name, "step", b"", WORKERS[name]) for place, name in enumerate(NAMES)),
    PLACED,
    Code(b""),
    transfers(NAMES, PLACED, dict.fromkeys(NAMES, 4)),
)


class Process:
    """The link's process, as far as its worker sees of it."""

    def __init__(self, pipe: MessageSocket) -> None:
        self.pipe = pipe

    def told(self) -> tuple[Message, list[int]]:
        received = self.pipe.receive()
        assert received is not None
        return decode(received[0]), received[1]


class Worker:
    """What a daemon gives the seat."""

    def __init__(self) -> None:
        self.ends = Endpoints()
        self.processes: list[Process] = []
        self.way = True
        self.seat = GatewayProcess(self.ends, self._spawn, self._opening)

    def _spawn(self, module: str) -> tuple[int, MessageSocket]:
        assert module == MODULE
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.processes.append(Process(MessageSocket(theirs.detach())))
        return len(self.processes), MessageSocket(ours.detach())

    def _opening(self, address: str) -> OpenGateway:
        if not self.way:
            raise LinkError("no way leads there")
        return OpenGateway("here", address)

    def start(self) -> Process:
        """Start the link; its process has the pid 100, 101, ..."""
        assert self.seat.do(StartGateway("10.0.0.1"), PLAN, 0.0) == []
        process = self.processes[-1]
        assert process.told() == (OpenGateway("here", "10.0.0.1"), [])
        self.seat.pid = 99 + len(self.processes)
        return process

    def close(self) -> None:
        self.seat.close()
        self.ends.close()
        for process in self.processes:
            process.pipe.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def passes(one: PacketSocket, other: PacketSocket) -> bool:
    """Whether they are the two ends of one channel."""
    one.send(b"hello")
    return other.receive() == b"hello"


def close(*ends: PacketSocket) -> None:
    for end in ends:
        end.close()


def test_the_producer_has_one_channel_for_a_transfer(worker: Worker) -> None:
    process = worker.start()
    assert worker.seat.do(ConnectProducer(0), PLAN, 0.0) == [(0, "out")]
    message, (page, *files) = process.told()
    assert message == OpenOutgoing("graph.1", 1, PLAN.transfers[0], NAMES)
    os.close(page)
    ends = list(map(PacketSocket, [*worker.ends.take([], [0]), *files]))
    assert passes(*ends)
    close(*ends)


def test_each_consumer_has_a_channel_of_its_own_and_the_link_a_duplicate_of_a_lossy_ones_end(worker: Worker) -> None:
    process = worker.start()
    assert worker.seat.do(ConnectConsumers(1, restarts=3), PLAN, 0.0) == [(1, "in"), (2, "in")]
    message, (page, *files) = process.told()
    assert message == OpenIncoming("graph.1", 1, PLAN.transfers[1], NAMES, 3)
    os.close(page)
    ends = list(map(PacketSocket, files))
    for edge, (ours, duplicate) in ((1, ends[:2]), (2, ends[2:])):
        (consumers,) = map(PacketSocket, worker.ends.take([edge], []))
        assert passes(ours, consumers)
        assert passes(ours, duplicate)
        close(consumers)
    close(*ends)


def test_channels_that_nobody_has_taken_are_replaced_with_the_link(worker: Worker) -> None:
    worker.start()
    worker.seat.do(ConnectProducer(0), PLAN, 0.0)
    worker.seat.do(ConnectConsumers(1), PLAN, 0.0)
    assert worker.seat.exited(100)
    process = worker.start()
    worker.seat.do(ConnectProducer(0), PLAN, 0.0)
    message, (page, *files) = process.told()
    assert isinstance(message, OpenOutgoing)
    os.close(page)
    ends = list(map(PacketSocket, [*worker.ends.take([], [0]), *files]))
    assert passes(*ends)
    close(*ends)


def test_what_a_dead_link_has_counted_stays_and_its_successor_counts_on(worker: Worker) -> None:
    transfer = PLAN.transfers[1]
    assert worker.seat.leaving(PLAN.transfers[0]).dropped == {}
    assert [count.dropped for count in worker.seat.arriving(transfer)] == [{}, {}]
    for drops in (1, 2):
        process = worker.start()
        worker.seat.do(ConnectProducer(0), PLAN, 0.0)
        worker.seat.do(ConnectConsumers(1), PLAN, 0.0)
        out, into = (_page(process, blocks) for blocks in (1, 2))
        out.cells[out.output(0) + 1] += 1000
        out.cells[out.output(0) + REASON_CELL["died"]] += 1
        out.cells[BUSY] |= 1 << drops  # the codecs
        into.cells[into.output(1) + REASON_CELL["superseded"]] += 1
        for page in (out, into):
            page.close()
        leaving = worker.seat.leaving(PLAN.transfers[0])
        assert (leaving.encoded, leaving.dropped) == (1000 * drops, {"died": drops})
        assert [count.dropped for count in worker.seat.arriving(transfer)] == [{}, {"superseded": drops}]
        worker.seat.exited(worker.seat.pid)
    assert worker.seat.leaving(PLAN.transfers[0]).codecs == 0b110
    worker.seat.release()
    assert worker.seat.leaving(PLAN.transfers[0]).encoded == 0


def _page(process: Process, blocks: int) -> CounterPage:
    _, (page, *files) = process.told()
    for file in files:
        os.close(file)
    return CounterPage(page, blocks, 0)


def test_what_is_said_is_heard_and_its_end_only_ends_the_hearing(worker: Worker) -> None:
    process = worker.start()
    peers = PeerGateways("graph.1", {})
    worker.seat.do(SendToGateway(peers), PLAN, 0.0)
    assert process.told() == (peers, [])
    line = LogLine("", "here", 30, "text")
    process.pipe.send(encode(line))
    process.pipe.close()
    assert worker.seat.heard() == [line]
    assert worker.seat.heard() == []
    assert worker.seat.pipe is None
    assert worker.seat.exited(100)


def test_only_the_process_in_use_is_missed(worker: Worker) -> None:
    assert not worker.seat.exited(0)
    assert not worker.seat.is_awaited
    worker.start()
    worker.seat.pid = 0
    assert worker.seat.is_awaited
    worker.seat.pid = 100
    assert not worker.seat.is_awaited
    assert not worker.seat.exited(4711)
    assert worker.seat.exited(100)
    assert not worker.seat.exited(100)


def test_a_link_that_is_not_needed_leaves_and_is_killed_if_it_does_not(worker: Worker) -> None:
    process = worker.start()
    worker.seat.do(EndGateway(), PLAN, 10.0)
    assert process.told() == (CloseTransfers("graph.1"), [])
    with pytest.raises(PeerGone):
        process.pipe.receive()
    assert worker.seat.overdue(11.0) == []
    assert worker.seat.overdue(12.0) == [100]
    assert worker.seat.overdue(13.0) == []
    assert not worker.seat.exited(100)


def test_one_that_leaves_in_time_is_not_killed(worker: Worker) -> None:
    worker.start()
    worker.seat.do(EndGateway(), PLAN, 10.0)
    worker.seat.exited(100)
    assert worker.seat.overdue(99.0) == []


def test_one_that_is_still_leaving_makes_way_for_the_next(worker: Worker) -> None:
    worker.start()
    worker.seat.do(EndGateway(), PLAN, 10.0)
    worker.start()
    assert worker.seat.overdue(10.0) == [100]


def test_a_link_that_can_not_be_started_hurts_nobody(worker: Worker) -> None:
    worker.way = False
    assert worker.seat.do(StartGateway("10.0.0.1"), PLAN, 0.0) == []
    assert worker.seat.failure == "no way leads there"
    assert worker.seat.do(ConnectProducer(0), PLAN, 0.0) == [(0, "out")]
    worker.seat.do(EndGateway(), PLAN, 0.0)
    assert worker.seat.failure == ""
