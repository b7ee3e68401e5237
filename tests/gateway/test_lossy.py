"""Lossy transfers: the newest wins, everywhere on the way."""

from __future__ import annotations

import numpy as np
import pytest

from flowmesh.wire import packets

from ..integration.failures.deadlines import until
from ..isolated import alone
from .fakes import frame
from .gateways import transfer
from .harness import Site


@pytest.mark.parametrize("policy", ["latest", "drop_oldest"])
@alone
def test_frames_are_whole_and_in_order_and_their_number_adds_up(policy: str) -> None:
    """The producer sends as fast as it can; what can't be sent in time is dropped before it is encoded."""
    depth = 1 if policy == "latest" else 3
    site = Site(transfer("a", "b", policy=policy, depth=depth, slots=depth))
    producer, consumer = site.producers[0], site.consumers[0][0]
    for number in range(1, 601):
        producer.emit(number if number % 7 == 0 else np.full((300 + number, 400), number, np.uint16), "array")
    producer.mark(packets.END, 600)
    numbers = []
    while not consumer.marks:
        consumer.receive()
        producer.edge.flush()
        while consumer.waiting:
            chunk = consumer.take()
            value = chunk.get("default")["value"]
            assert value == chunk.number if isinstance(value, int) else (value == chunk.number).all()
            numbers.append(chunk.number)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 600
    there = site.pages[0]
    behind = (*there.dropped(there.output(0)).values(), *consumer.page.dropped(consumer.page.input(0)).values())
    assert len(numbers) + producer.dropped + sum(behind) == 600
    assert producer.sent[0] == there.cells[there.output(0)] <= 600 - producer.dropped


@alone
def test_a_consumer_that_is_slow_gets_the_newest() -> None:
    """It holds nobody back: neither the producer nor the link."""
    site = Site(transfer("a", "b", policy="latest", depth=1, slots=1))
    producer, consumer = site.producers[0], site.consumers[0][0]
    for number in range(50):
        seen = producer.sent[0]
        producer.emit(frame(number, (200, 200)), "array")
        while producer.sent[0] == seen and number < 40:
            producer.wait(0.01)
    there = site.pages[0]
    while producer.edge.window.taken < 50:
        producer.wait()
    until(lambda: producer.sent[0] + producer.dropped == 50, 10)
    until(lambda: there.cells[there.output(0)] == producer.sent[0], 10)
    assert np.array_equal(consumer.value(), frame(49, (200, 200)))
