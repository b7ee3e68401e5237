"""Connections that are lost, and links that die: nothing is lost on a lossless edge, and nothing comes twice."""

from __future__ import annotations

import random
import time

import msgspec
import numpy as np
import pytest

from flowmesh.wire import packets
from flowmesh.wire.messages import PeerGateways

from ..conftest import SCALE
from ..isolated import alone
from .fakes import Consumer, Producer, frame
from .gateways import Host, transfer
from .harness import Site
from .proxy import Proxy

SHAPE = (400, 500)


def content(number: int) -> object:
    """Small chunks and frames in turn."""
    return frame(number, SHAPE) if number % 3 == 0 else number


def goes_on(producer: Producer, consumer: Consumer, numbers: range, ahead: int = 1) -> None:
    """So many chunks come, each once and as it was sent, `ahead` of them under way."""
    for number in numbers:
        producer.emit(content(number), "array" if number % 3 == 0 else "other")
        if number - numbers.start >= ahead - 1:
            comes(producer, consumer, number - ahead + 1)


def comes(producer: Producer, consumer: Consumer, number: int) -> None:
    """The chunk of that number is the next; the producer sends again what it is asked for."""
    begun = time.monotonic()
    while not consumer.waiting:
        assert time.monotonic() < begun + 30 * SCALE, f"chunk {number} did not come"
        producer.wait(0.01)
        consumer.receive()
    chunk = consumer.take()
    assert chunk.number == number
    value = chunk.get("default")["value"]
    assert np.array_equal(value, content(number))


@pytest.mark.parametrize("which", ["a", "b"])
@alone
def test_a_link_that_is_killed_is_missed_and_lossless_edges_go_on(which: str) -> None:
    site = Site(transfer("a", "b", depth=32))
    producer, consumer = site.producers[0], site.consumers[0][0]
    a, b = site.hosts["a"], site.hosts["b"]
    dead, other = (a, b) if which == "a" else (b, a)
    last = 0
    for round in (1, 2):
        goes_on(producer, consumer, range(last + 1, last + 21), ahead=4)
        last += 20
        dead.kill()
        begun = time.monotonic()
        other.has_lost(dead, within=2)
        assert time.monotonic() - begun < 2 * SCALE
        producer.mark(packets.PAUSE, last)
        dead.start()
        if which == "a":
            producer.rewire()
            site.source_begins(0)
        else:
            consumer.connect()
            site.target_begins(0, again=round)
        site.introduce()
        a.is_up_with(b)
        b.is_up_with(a)
        for number in range(last - 2, last + 1):
            comes(producer, consumer, number)
    goes_on(producer, consumer, range(last + 1, last + 40))
    assert (packets.PAUSE, 20) in consumer.marks
    assert (packets.PAUSE, 40) in consumer.marks


@alone
def test_a_lossy_edge_goes_on_with_the_newest() -> None:
    site = Site(transfer("a", "b", policy="latest", depth=1, slots=1))
    producer, consumer = site.producers[0], site.consumers[0][0]
    a, b = site.hosts["a"], site.hosts["b"]
    producer.emit(frame(1, SHAPE), "array")
    assert np.array_equal(consumer.value(), frame(1, SHAPE))
    b.kill()
    a.has_lost(b)
    for number in range(2, 9):
        producer.emit(frame(number, SHAPE), "array")
    b.start()
    consumer.connect()
    site.target_begins(0, again=1)
    site.introduce()
    while (chunk := consumer.take()).number < 8:
        pass
    assert np.array_equal(chunk.get("default")["value"], frame(8, SHAPE))


@alone
def test_what_a_worker_that_is_gone_for_ever_leaves() -> None:
    """Its producers' streams end; what goes to it is dropped, and holds nobody back."""
    site = Site(
        transfer("a", "b", index=0, depth=8),
        transfer("b", "a", index=1, producer="edges", output=1, depth=8),
    )
    here, there = site.producers
    consumer = site.consumers[1][0]
    there.emit("the last words")
    assert consumer.value() == "the last words"
    site.hosts["b"].kill()
    site.hosts["a"].has_lost(site.hosts["b"])
    site.hosts["a"].knows()
    consumer.wait_for(lambda: consumer.edge.gone)
    assert consumer.marks == [(packets.END, 1)]
    for number in range(40):
        here.emit(number)
    while not here.edge.closed:
        here.wait()


@alone
def test_credit_that_was_given_while_there_was_no_link_comes_through() -> None:
    """The window was full when the link died, and everything taken before there was another one."""
    site = Site(transfer("a", "b", depth=8))
    producer, consumer = site.producers[0], site.consumers[0][0]
    a, b = site.hosts["a"], site.hosts["b"]
    for number in range(1, 9):
        producer.start(number)
    for number in range(1, 9):
        chunk = consumer.take()
        assert chunk.number == number
        if number == 1:
            a.kill()
            b.has_lost(a)
    a.start()
    producer.rewire()
    site.source_begins(0)
    site.introduce()
    a.is_up_with(b)
    goes_on(producer, consumer, range(9, 40))


@pytest.mark.parametrize("seed", range(2))
@alone
def test_a_connection_that_is_cut_at_any_moment_loses_nothing(seed: int) -> None:
    """Both links live on; chunks, frames and marks are under way in plenty when it happens."""
    choose = random.Random(seed)
    a, b = Host("a"), Host("b")
    one = transfer("a", "b", depth=16, slots=4, codec="raw")
    producer, consumer = Producer(one), Consumer(one)
    proxy = Proxy(b.link.port)
    a.sends(one, producer.page.descriptor, producer.theirs)
    b.receives(one, producer.page.descriptor, consumer.theirs)
    a.tell(PeerGateways("g", {"b": msgspec.structs.replace(b.link, port=proxy.port)}))
    b.knows(a)
    a.is_up_with(b)
    taken, cut_at = 0, 20_000
    for number in range(1, 301):
        producer.start(content(number), "array" if number % 3 == 0 else "other")
        while producer.edge.backlog and taken < number - 1:
            taken += 1
            comes(producer, consumer, taken)
            if proxy.forwarded > cut_at:
                proxy.cut()
                cut_at = proxy.forwarded + choose.randrange(4_000_000)
    while taken < 300:
        taken += 1
        comes(producer, consumer, taken)
    assert proxy.connections > 2
