"""Sessions: each message once and in order, whatever the link does."""

from __future__ import annotations

import pytest

from flowmesh.control.jobs import session as sessions
from flowmesh.control.jobs.session import Session
from flowmesh.errors import LinkError
from flowmesh.wire.job_messages import CancelTask
from flowmesh.wire.messages import TaskPacket


def filled(count: int) -> Session:
    session = Session()
    for number in range(count):
        session.put(CancelTask(number))
    return session


def test_messages_go_in_batches_within_a_window() -> None:
    packets = filled(5000).packets(0.0)
    assert [packet.number for packet in packets] == list(range(1, sessions.WINDOW + 1))
    there = Session()
    heard = [message for packet in packets for message in there.received(packet, 0.0)]
    assert heard == [CancelTask(number) for number in range(sessions.WINDOW * sessions.MOST_MESSAGES)]


def test_an_acknowledgement_goes_with_an_answer_or_after_a_moment() -> None:
    here, there = filled(1), Session()
    (packet,) = here.packets(0.0)
    there.received(packet, 0.0)
    assert there.packets(0.0) == []
    assert there.due == sessions.ACKNOWLEDGE_AFTER
    (acknowledgement,) = there.packets(there.due)
    assert (acknowledgement.number, acknowledgement.acknowledged) == (0, 1)
    assert here.received(acknowledgement, 0.1) == []
    assert here.is_idle
    there.received(filled(2).packets(0.0)[0], 0.2)  # a packet that it has had: its peer missed the acknowledgement
    assert [packet.acknowledged for packet in there.packets(0.2)] == [1]


def test_what_was_not_acknowledged_is_sent_again_and_taken_once() -> None:
    here, there = filled(1), Session()
    (first,) = here.packets(0.0)
    assert here.packets(0.5) == []
    (again,) = here.packets(here.due)
    assert again == first
    assert len(there.received(first, 2.0)) == 1
    assert there.received(again, 2.0) == []


def test_a_gap_is_not_taken() -> None:
    here = filled(300)
    first, second, third = here.packets(0.0)
    there = Session()
    assert there.received(second, 0.0) == []
    assert len(there.received(first, 0.0)) == 100
    assert len(there.received(second, 0.0)) == 100
    assert len(there.received(third, 0.0)) == 100


def test_a_packet_of_another_epoch_is_dropped() -> None:
    (packet,) = filled(1).packets(0.0)
    assert Session(2).received(packet, 0.0) == []


def test_nonsense_is_refused_and_stays_unacknowledged() -> None:
    session = Session()
    with pytest.raises(LinkError, match="only 0 were sent"):
        session.received(TaskPacket(1, 0, 7), 0.0)
    with pytest.raises(LinkError, match="can't be read"):
        session.received(TaskPacket(1, 1, 0, b"\xc1"), 0.0)
    with pytest.raises(LinkError, match="can't be read"):
        session.received(TaskPacket(1, 1, 0, b"\x91\x01"), 0.0)
    assert len(session.received(filled(1).packets(0.0)[0], 0.0)) == 1


def test_a_message_larger_than_a_packet_goes_alone() -> None:
    from flowmesh.wire.job_messages import ShipCode

    session = Session()
    session.put(CancelTask(1))
    session.put(ShipCode(1, b"x" * (sessions.MOST_BYTES + 1)))
    session.put(CancelTask(2))
    assert [len(Session().received(TaskPacket(1, 1, 0, each.body), 0.0)) for each in session.packets(0.0)] == [1, 1, 1]
    assert session.backlog == 0
