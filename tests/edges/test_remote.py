"""Edges to and from a link's process, which dies and is replaced: what is sent again, what is skipped, what is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flowmesh.channel.counters import REASON_CELL, CounterPage
from flowmesh.channel.packet_socket import PacketSocket, pair
from flowmesh.edges.input_edge import LeaseHolder
from flowmesh.edges.output_edge import SlotOwner
from flowmesh.edges.remote_input import RemoteInputEdge
from flowmesh.edges.remote_output import LossyRemoteOutputEdge, RemoteOutputEdge
from flowmesh.wire import packets
from flowmesh.wire.messages import EdgeEnd
from flowmesh.wire.packets import DONE, END, PAUSE, Marker, ResumeAfter

DEPTH = 8


class Slots:
    """A lender whose slots nobody reads; it notes what was given back."""

    ident, slots, slot_size = 7 << 20 | 1, 4, 4096

    def __init__(self) -> None:
        self.descriptor = self.bell = self.door = os.memfd_create("nothing")
        self.back: list[int] = []

    def memory(self, slot: int) -> memoryview:
        raise AssertionError("nobody reads it here")

    def give_back(self, slot: int) -> None:
        self.back.append(slot)


def chunk(number: int, arena: int = 0) -> bytes:
    return packets.encode(
        packets.Chunk(1, 1, number, -1, number, 0, True, 0, 0, 0, {}, [("default", 0, 0, None)], arena, 0, arena and 1)
    )


def mark(kind: int, number: int = 0) -> bytes:
    return packets.encode(Marker(1, 1, kind, number, {}))


def spec(policy: str = "lossless", depth: int = DEPTH, again: bool = False) -> EdgeEnd:
    return EdgeEnd(0, "film", policy, depth, 4, True, linked=True, restarted=again)


def names(received: list[packets.Packet]) -> list[str]:
    """What came, short: chunks as their numbers, "end", "pause 1", "behind 3"."""
    kinds = {DONE: "done", PAUSE: "pause", END: "end"}
    said = []
    for packet in received:
        match packet:
            case Marker(kind=kind, number=number):
                said.append(f"{kinds[kind]} {number}" if number else kinds[kind])
            case ResumeAfter(arrived=arrived):
                said.append(f"behind {arrived}")
            case packets.Chunk(number=number):
                said.append(str(number))
    return said


class FakeLink:
    """The link's end of a producer's channel."""

    def __init__(self, lossy: bool = False) -> None:
        theirs, ours = pair()
        self.end = PacketSocket(ours)
        self.given = [PacketSocket(theirs), *([PacketSocket(os.dup(ours))] if lossy else [])]

    def read(self) -> list[str]:
        read = []
        while (received := self.end.receive_with_descriptors()) is not None:
            for descriptor in received[1]:
                os.close(descriptor)
            read.append(packets.decode(received[0]))
        return names(read)

    def credit(self, taken: int) -> None:
        self.end.send(packets.encode(packets.Credit(0, 0, taken, taken)))

    def ask(self, arrived: int) -> None:
        self.end.send(packets.encode(ResumeAfter(arrived)))

    def die(self) -> None:
        self.end.close()


@pytest.fixture(autouse=True)
def _kind_of_channel() -> None:
    """Edges to a link are always sockets: once is enough."""


@pytest.fixture
def page() -> Iterator[CounterPage]:
    page = CounterPage.make(1, 1)
    yield page
    page.cells.release()  # its memory, which the test's arguments would hold
    page.close()


@pytest.fixture
def ends() -> Iterator[list[PacketSocket]]:
    """Closed when the test has ended."""
    ends: list[PacketSocket] = []
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def link(ends: list[PacketSocket]) -> FakeLink:
    link = FakeLink()
    ends += [link.end, *link.given]
    return link


@pytest.fixture
def edge(link: FakeLink, page: CounterPage) -> RemoteOutputEdge:
    return RemoteOutputEdge(spec(), link.given[0], None, page, page.output(0))


@pytest.fixture
def slots() -> Iterator[Slots]:
    slots = Slots()
    yield slots
    os.close(slots.descriptor)


def send(edge: RemoteOutputEdge | LossyRemoteOutputEdge, *numbers: int, lender: SlotOwner | None = None) -> None:
    for number in numbers:
        packet = chunk(number, 0 if lender is None else lender.ident)
        edge.send_chunk(packet, number, None if lender is None else (lender, number), len(packet))


def replaced(edge: RemoteOutputEdge | LossyRemoteOutputEdge, ends: list[PacketSocket], lossy: bool = False) -> FakeLink:
    link = FakeLink(lossy)
    ends += [link.end, *link.given]
    edge.rewire(*link.given)
    return link


# --- a lossless edge out ---------------------------------------------------------------------------------------------


def test_a_link_that_asks_is_sent_again_what_is_behind(edge: RemoteOutputEdge, link: FakeLink) -> None:
    send(edge, 1, 2, 3, 4)
    assert link.read() == ["1", "2", "3", "4"]
    link.credit(1)
    link.ask(2)
    edge.collect()
    edge.flush()
    assert link.read() == ["behind 2", "3", "4"]
    send(edge, 5)
    assert link.read() == ["5"]


def test_what_was_taken_is_not_sent_again_whatever_is_asked(edge: RemoteOutputEdge, link: FakeLink) -> None:
    send(edge, 1, 2, 3)
    link.credit(2)
    link.ask(0)
    edge.collect()
    edge.flush()
    assert link.read() == ["1", "2", "3", "behind 2", "3"]


def test_a_link_that_has_lost_it_all_twice_is_sent_all_twice(edge: RemoteOutputEdge, link: FakeLink) -> None:
    send(edge, 1, 2, 3)
    for _ in range(2):
        link.read()
        link.ask(0)
        edge.collect()
        edge.flush()
        assert link.read() == ["behind 0", "1", "2", "3"]


def test_a_new_link_is_sent_all_that_was_not_taken(
    edge: RemoteOutputEdge, link: FakeLink, ends: list[PacketSocket]
) -> None:
    send(edge, 1, 2, 3)
    link.credit(1)
    link.die()
    edge.collect()
    assert edge.gone
    send(edge, 4)
    edge.send_marker(mark(PAUSE, 1), done=False)
    assert edge.backlog  # so that an emission waits
    new = replaced(edge, ends)
    assert not edge.gone
    assert new.read() == ["behind 1", "2", "3", "4", "pause 1"]
    assert not edge.backlog
    new.credit(4)
    edge.collect()
    assert edge.window.taken == 4


def test_the_death_of_a_link_may_be_noticed_after_its_successor_is_there(
    edge: RemoteOutputEdge, link: FakeLink, ends: list[PacketSocket]
) -> None:
    send(edge, 1, 2)
    link.credit(1)
    link.die()
    assert replaced(edge, ends).read() == ["behind 1", "2"]


def test_marks_are_said_again_in_their_places_as_long_as_nothing_behind_them_was_taken(
    edge: RemoteOutputEdge, link: FakeLink, ends: list[PacketSocket]
) -> None:
    send(edge, 1)
    edge.send_marker(mark(DONE, 1), done=True)
    edge.send_marker(mark(DONE, 2), done=True)
    send(edge, 2)
    edge.send_marker(mark(PAUSE, 1), done=False)
    send(edge, 3)
    edge.send_marker(mark(END), done=False)
    assert link.read() == ["1", "done 1", "done 2", "2", "pause 1", "3", "end"]
    link.die()
    new = replaced(edge, ends)
    assert new.read() == ["behind 0", "1", "done 2", "2", "pause 1", "3", "end"]
    new.credit(2)
    edge.collect()
    new.die()
    assert replaced(edge, ends).read() == ["behind 2", "pause 1", "3", "end"]


def test_of_the_marks_that_come_while_there_is_no_link_the_newest_of_progress_is_kept(
    edge: RemoteOutputEdge, link: FakeLink, ends: list[PacketSocket]
) -> None:
    link.die()
    edge.collect()
    for number in (1, 2):
        edge.send_marker(mark(DONE, number), done=True)
    edge.send_marker(mark(END), done=False)
    assert replaced(edge, ends).read() == ["behind 0", "done 2", "end"]


def test_slots_stay_lent_until_the_far_consumers_have_taken_them(
    edge: RemoteOutputEdge, link: FakeLink, ends: list[PacketSocket], slots: Slots
) -> None:
    send(edge, 1, 2, lender=slots)
    link.die()
    edge.collect()
    assert slots.back == []
    new = replaced(edge, ends)
    assert new.read() == ["behind 0", "1", "2"]
    send(edge, 3, 4, 5, lender=slots)
    assert new.read() == ["3", "4"]  # its window has four slots
    new.credit(2)
    edge.collect()
    edge.flush()
    assert slots.back == [1, 2]
    assert new.read() == ["5"]


def test_the_window_holds_for_what_is_sent_again(
    edge: RemoteOutputEdge, link: FakeLink, ends: list[PacketSocket]
) -> None:
    send(edge, *range(1, DEPTH + 3))
    assert link.read() == [str(number) for number in range(1, DEPTH + 1)]
    link.die()
    new = replaced(edge, ends)
    assert new.read() == ["behind 0", *(str(number) for number in range(1, DEPTH + 1))]
    new.credit(2)
    edge.collect()
    edge.flush()
    assert new.read() == [str(DEPTH + 1), str(DEPTH + 2)]


def test_a_request_that_comes_while_the_window_is_full_is_answered_in_the_same_flush(
    edge: RemoteOutputEdge, link: FakeLink
) -> None:
    send(edge, *range(1, DEPTH + 1))
    link.read()
    link.credit(1)
    link.ask(DEPTH - 1)
    send(edge, DEPTH + 1)  # reads the credit, and the request behind it
    assert link.read() == [str(DEPTH + 1), f"behind {DEPTH - 1}", str(DEPTH), str(DEPTH + 1)]


def test_a_second_request_replaces_a_first_that_was_not_answered(edge: RemoteOutputEdge, link: FakeLink) -> None:
    send(edge, 1, 2, 3)
    link.read()
    while edge.end.send(mark(DONE)):
        pass  # the kernel has no room any more
    for arrived in (2, 1):
        link.ask(arrived)
        edge.collect()
        edge.flush()
    assert edge.wants_room
    link.read()
    edge.flush()
    assert link.read() == ["behind 1", "2", "3"]


def test_when_nobody_takes_anything_what_waits_is_dropped_and_counted(
    edge: RemoteOutputEdge, link: FakeLink, page: CounterPage
) -> None:
    link.end.send(packets.encode(packets.CloseEdge()))
    edge.collect()
    link.die()
    edge.collect()
    send(edge, 1, 2)
    assert not edge.backlog
    assert page.dropped(page.output(0)) == {"after_end": 2}


# --- a lossy edge out ------------------------------------------------------------------------------------------------


@pytest.fixture
def lossy_link(ends: list[PacketSocket]) -> FakeLink:
    link = FakeLink(lossy=True)
    ends += [link.end, *link.given]
    return link


@pytest.fixture
def lossy(lossy_link: FakeLink, page: CounterPage) -> LossyRemoteOutputEdge:
    return LossyRemoteOutputEdge(spec("drop_oldest", 2), *lossy_link.given, page, page.output(0))


def test_what_a_dead_link_had_not_taken_goes_to_the_next_one(
    lossy: LossyRemoteOutputEdge, lossy_link: FakeLink, ends: list[PacketSocket]
) -> None:
    send(lossy, 1, 2)
    lossy_link.die()
    send(lossy, 3)
    new = replaced(lossy, ends, lossy=True)
    assert new.read() == ["2", "3"]
    send(lossy, 4, 5, 6)
    assert new.read() == ["5", "6"]


def test_what_a_dead_link_had_taken_is_counted_and_its_slots_are_free(
    lossy: LossyRemoteOutputEdge, lossy_link: FakeLink, ends: list[PacketSocket], page: CounterPage, slots: Slots
) -> None:
    send(lossy, 1)
    assert lossy_link.read() == ["1"]
    lossy_link.credit(1)
    send(lossy, 2)
    send(lossy, 3, lender=slots)
    assert lossy_link.read() == ["2", "3"]
    send(lossy, 4, 5, 6, lender=slots)
    lossy_link.die()
    assert slots.back == [4]
    new = replaced(lossy, ends, lossy=True)
    assert new.read() == ["5", "6"]
    assert slots.back == [4, 3]
    assert page.dropped(page.output(0)) == {"oldest": 1, "died": 2}


def test_credit_may_overtake_a_chunk_that_was_taken_back_and_sent_again(
    lossy: LossyRemoteOutputEdge, lossy_link: FakeLink, page: CounterPage
) -> None:
    send(lossy, 1)
    assert lossy_link.read() == ["1"]
    send(lossy, 2, 3)
    lossy_link.credit(3)  # the link got 3 while 2 was being taken back
    lossy.collect()
    send(lossy, 4, 5)
    assert lossy_link.read() == ["4", "5"]
    assert page.dropped(page.output(0)) == {"oldest": 2}


def test_the_newest_marks_are_said_to_each_new_link(
    lossy: LossyRemoteOutputEdge, lossy_link: FakeLink, ends: list[PacketSocket]
) -> None:
    lossy.send_marker(mark(DONE, 1), done=True)
    send(lossy, 1)
    lossy.send_marker(mark(PAUSE, 1), done=False)
    lossy.send_marker(mark(DONE, 2), done=True)
    lossy.send_marker(mark(END), done=False)
    assert lossy_link.read() == ["done 1", "1", "pause 1", "done 2", "end"]
    lossy_link.die()
    assert replaced(lossy, ends, lossy=True).read() == ["done 2", "end"]


# --- an edge in ------------------------------------------------------------------------------------------------------


class FakeDelivery:
    """The link's end of a consumer's channel."""

    def __init__(self) -> None:
        self.given, ours = pair()
        self.end = PacketSocket(ours)

    def send(self, *encoded: bytes) -> None:
        for packet in encoded:
            assert self.end.send(packet)

    def read(self) -> list[packets.Packet]:
        read = []
        while (packet := self.end.receive()) is not None:
            read.append(packets.decode(packet))
        return read


def in_edge(
    page: CounterPage, delivery: FakeDelivery, policy: str = "lossless", again: bool = False
) -> RemoteInputEdge:
    holder = LeaseHolder(1, 4, pytest.fail)
    edge = spec(policy, 1 if policy == "latest" else DEPTH, again)
    return RemoteInputEdge(edge, ("film", "show"), holder, PacketSocket(delivery.given), page, page.input(0))


def arrive(edge: RemoteInputEdge) -> list[str]:
    """Read what has come, as the node's inputs do."""
    received = edge.receive()
    for packet in received:
        if isinstance(packet, packets.CHUNKS):
            edge.arrived(packet)
    return names(received)


@pytest.fixture
def delivery(ends: list[PacketSocket]) -> FakeDelivery:
    delivery = FakeDelivery()
    ends.append(delivery.end)
    return delivery


@pytest.fixture
def source(page: CounterPage, delivery: FakeDelivery, ends: list[PacketSocket]) -> Iterator[RemoteInputEdge]:
    edge = in_edge(page, delivery)
    yield edge
    edge.end.close()


def rewired(edge: RemoteInputEdge, ends: list[PacketSocket]) -> FakeDelivery:
    new = FakeDelivery()
    ends.append(new.end)
    edge.rewire(PacketSocket(new.given))
    return new


def test_the_end_of_the_file_is_no_end_of_the_stream(
    source: RemoteInputEdge, delivery: FakeDelivery, ends: list[PacketSocket]
) -> None:
    delivery.send(chunk(1))
    delivery.end.close()
    assert arrive(source) == ["1"]
    assert arrive(source) == []
    assert source.gone
    new = rewired(source, ends)
    assert not source.gone
    assert new.read() == [ResumeAfter(1)]
    new.send(chunk(2), mark(END))
    assert arrive(source) == ["2", "end"]


def test_what_the_old_link_had_sent_is_read_before_the_new_one_is_told(
    source: RemoteInputEdge, delivery: FakeDelivery, ends: list[PacketSocket]
) -> None:
    delivery.send(*(chunk(number) for number in range(1, DEPTH + 1)))
    delivery.end.close()
    new = rewired(source, ends)
    assert new.read() == [ResumeAfter(DEPTH)]
    new.send(chunk(DEPTH + 1))
    assert arrive(source) == [str(number) for number in range(1, DEPTH + 1)]
    assert arrive(source) == [str(DEPTH + 1)]


def test_what_comes_twice_is_skipped_and_given_credit_for(
    source: RemoteInputEdge, delivery: FakeDelivery, ends: list[PacketSocket]
) -> None:
    delivery.send(chunk(1), chunk(2))
    assert arrive(source) == ["1", "2"]
    source.taken(1, False)
    delivery.end.close()
    new = rewired(source, ends)
    new.send(chunk(1), mark(PAUSE, 1), chunk(2), chunk(3))
    assert arrive(source) == ["pause 1", "3"]
    assert new.read() == [ResumeAfter(2), *[packets.Credit(0, 0, 1, 1)] * 2]


def test_an_edge_that_was_closed_is_closed_on_the_new_channel_too(
    source: RemoteInputEdge, delivery: FakeDelivery, ends: list[PacketSocket]
) -> None:
    source.close()
    assert delivery.read() == [packets.CloseEdge()]
    delivery.end.close()
    assert arrive(source) == []
    assert rewired(source, ends).read() == [ResumeAfter(0), packets.CloseEdge()]


def test_a_node_that_is_set_up_after_its_link_has_died_says_so_at_once(
    page: CounterPage, delivery: FakeDelivery, ends: list[PacketSocket]
) -> None:
    edge = in_edge(page, delivery, again=True)
    ends.append(edge.end)
    assert edge.wants_room
    edge.retry()
    assert not edge.wants_room
    assert delivery.read() == [ResumeAfter(0)]


def test_on_a_lossy_edge_numbers_may_have_gaps(
    page: CounterPage, delivery: FakeDelivery, ends: list[PacketSocket]
) -> None:
    edge = in_edge(page, delivery, "latest")
    delivery.send(chunk(3))
    assert arrive(edge) == ["3"]
    delivery.end.close()
    new = rewired(edge, ends)
    ends.append(edge.end)
    assert new.read() == [ResumeAfter(3)]
    new.send(chunk(7))
    assert arrive(edge) == ["7"]
    assert page.cells[page.input(0) + REASON_CELL["superseded"]] == 0
