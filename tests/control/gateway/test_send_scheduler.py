"""What goes next: turns by bytes, and no more under way than is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.control.gateway.send_scheduler import Segment, SendScheduler
from flowmesh.errors import LinkError


def piece(size: int, name: bytes = b"") -> Segment:
    return Segment(name, bytes(size - len(name)))


def test_a_transfer_goes_in_order() -> None:
    sending = SendScheduler()
    sending.enqueue_segments(3, [piece(100, b"a"), piece(200, b"b")])
    sending.enqueue_segments(3, [piece(50, b"c")])
    assert sending.waiting_bytes(3) == 350
    assert [going.head for going in iter(sending.next_segment, None)] == [b"a", b"b", b"c"]
    assert (sending.sent, sending.waiting_bytes(3)) == (350, 0)


def test_no_more_is_under_way_than_allowed_and_confirming_lets_more_go() -> None:
    sending = SendScheduler(ahead=250, quantum=100)
    sending.enqueue_segments(1, [piece(100) for _ in range(4)])
    assert [sending.next_segment() is not None for _ in range(3)] == [True, True, False]
    sending.acknowledge(50)
    assert sending.next_segment() is not None
    assert sending.next_segment() is None
    sending.acknowledge(300)
    assert sending.next_segment() is not None
    assert sending.next_segment() is None


def test_what_is_larger_than_allowed_goes_alone() -> None:
    sending = SendScheduler(ahead=250, quantum=100)
    sending.enqueue_segments(1, [piece(10), piece(1000)])
    assert sending.next_segment() == piece(10)
    assert sending.next_segment() is None
    sending.acknowledge(10)
    assert sending.next_segment() == piece(1000)


@pytest.mark.parametrize("received", [9, 21])
def test_what_can_not_have_been_received_is_refused(received: int) -> None:
    sending = SendScheduler()
    sending.enqueue_segments(1, [piece(20)])
    sending.next_segment()
    sending.acknowledge(10)
    with pytest.raises(LinkError, match="confirmed"):
        sending.acknowledge(received)


def test_a_transfer_is_open_until_its_last_byte_is_confirmed() -> None:
    sending = SendScheduler()
    assert not sending.is_unsettled(1)
    sending.enqueue_segments(1, [piece(10)])
    sending.enqueue_segments(2, [piece(10)])
    assert sending.is_unsettled(1)
    while sending.next_segment() is not None:
        pass
    sending.acknowledge(9)
    assert sending.is_unsettled(1)
    sending.acknowledge(10)
    assert not sending.is_unsettled(1)
    assert sending.is_unsettled(2)


Sizes = st.lists(st.integers(1, 130), min_size=1, max_size=60)


@given(st.dictionaries(st.integers(0, 5), Sizes, min_size=1), st.integers(1, 200), st.integers(1, 400), st.data())
def test_all_goes_in_order_and_no_transfer_is_behind(
    queues: dict[int, list[int]], quantum: int, ahead: int, data: st.DataObject
) -> None:
    """As long as two have something to send, neither has sent more than the other by more than a turn and a piece."""
    sending = SendScheduler(ahead, quantum)
    for transfer, sizes in queues.items():
        sending.enqueue_segments(
            transfer, [piece(max(size, 8), f"{transfer}:{index}".encode()) for index, size in enumerate(sizes)]
        )
    sent = dict.fromkeys(queues, 0)
    places = dict.fromkeys(queues, 0)
    while any(sending.waiting_bytes(transfer) for transfer in queues):
        going = sending.next_segment()
        if going is None:
            assert sending.sent > sending.acknowledged
            sending.acknowledge(data.draw(st.integers(sending.acknowledged + 1, sending.sent)))
            continue
        under_way = sending.sent - sending.acknowledged
        assert under_way <= ahead or under_way == going.size
        transfer, index = map(int, going.head.split(b":"))
        assert index == places[transfer]
        places[transfer] += 1
        sent[transfer] += going.size
        busy = [sent[other] for other in queues if sending.waiting_bytes(other)]
        if busy and sending.waiting_bytes(transfer):
            assert max(busy) - min(busy) <= 2 * (quantum + 130)
    assert places == {transfer: len(sizes) for transfer, sizes in queues.items()}
