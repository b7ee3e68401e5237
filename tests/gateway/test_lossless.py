"""Lossless transfers between two hosts."""

from __future__ import annotations

import numpy as np

from flowmesh.wire import packets
from flowmesh.wire.messages import CloseTransfers

from ..isolated import alone
from .fakes import frame
from .gateways import transfer
from .harness import Site


@alone
def test_small_chunks_come_in_order() -> None:
    site = Site(transfer("a", "b"))
    producer, consumer = site.producers[0], site.consumers[0][0]
    for number in range(100):
        producer.emit({"n": number})
    assert [consumer.value() for _ in range(100)] == [{"n": number} for number in range(100)]


@alone
def test_frames_are_exact_and_marks_keep_their_places() -> None:
    site = Site(transfer("a", "b"))
    producer, consumer = site.producers[0], site.consumers[0][0]
    for number in range(12):
        producer.emit(frame(number), "array")
        producer.emit(number)
        if number % 4 == 3:
            producer.mark(packets.PAUSE, number)
        assert np.array_equal(consumer.value(), frame(number))
        assert consumer.value() == number
    consumer.wait_for(lambda: len(consumer.marks) == 3)
    assert consumer.marks == [(packets.PAUSE, 8), (packets.PAUSE, 16), (packets.PAUSE, 24)]


@alone
def test_a_consumer_that_takes_nothing_holds_the_producer_back() -> None:
    """The window is end to end: what the link has does not count as taken."""
    site = Site(transfer("a", "b", depth=8))
    producer, consumer = site.producers[0], site.consumers[0][0]
    for number in range(8):
        producer.emit(number)
    consumer.wait_for(lambda: consumer.arrived == 8)
    producer.edge.send_chunk(b"never sent", 9, None, 1)
    producer.wait(within=0.2)
    assert len(producer.edge.backlog) == 1
    producer.edge.backlog.clear()
    for number in range(8):
        assert consumer.value() == number
    for number in range(8, 200):
        producer.emit(number)
        assert consumer.value() == number


@alone
def test_when_all_consumers_have_closed_the_producer_is_told() -> None:
    site = Site(transfer("a", "b", consumers=("sink1", "sink2"), depth=16))
    producer, (one, other) = site.producers[0], site.consumers[0]
    producer.emit("first")
    assert one.value() == other.value() == "first"
    one.edge.close()
    for number in range(64):
        producer.emit(number)
        assert other.value() == number
    other.edge.close()
    while not producer.edge.closed:
        producer.wait()
    one.receive()  # what was on its way to it
    page = site.pages[0]
    assert page.dropped(page.output(0)).get("after_end", 0) + one.arrived - 1 == 64


@alone
def test_the_end_of_a_producer_is_the_end_of_the_consumers_channel() -> None:
    site = Site(transfer("a", "b"))
    producer, consumer = site.producers[0], site.consumers[0][0]
    for number in range(20):
        producer.emit(frame(number, (300, 300)), "array")
        assert np.array_equal(consumer.value(), frame(number, (300, 300)))
    producer.close()
    consumer.wait_for(lambda: consumer.edge.gone)
    assert consumer.marks == [(packets.END, 20)]


@alone
def test_a_link_leaves_in_order_whatever_is_under_way() -> None:
    """The graph is forgotten, then the worker closes the pipe: the link's process ends by itself, with status 0."""
    site = Site(transfer("a", "b"), transfer("a", "b", index=1, policy="latest", depth=1, producer="edges", output=1))
    for producer in site.producers:
        for number in range(4):
            producer.start(frame(number), "image")
    for host in site.hosts.values():
        host.tell(CloseTransfers("g"))
        host.leave()
