"""Large arrays do not hold up small chunks, and whoever can't be reached dials back."""

from __future__ import annotations

import select

import numpy as np
from msgspec.structs import replace

from flowmesh.channel.counters import CounterPage
from flowmesh.wire.messages import PeerGateways
from flowmesh.wire.plan_specs import Transfer

from ..isolated import alone
from .fakes import Consumer, Producer
from .gateways import Host, transfer
from .harness import Site
from .proxy import Proxy

BEFORE_IT = 20_000_000  # bytes that may go by before a small chunk that waits behind 48 MB; at most 0.3 did


@alone
def test_a_small_chunk_overtakes_large_ones_of_another_transfer() -> None:
    """It is sent behind 48 MB, and goes by before most of them: the way is opened by and by until it has come."""
    one = transfer("a", "b", index=0, slots=4, codec="raw")
    other = transfer("a", "b", index=1, producer="edges", output=1, consumers=("sink2",))
    way = Way(one, other)
    (large, of_large), (small, of_small) = way.ends
    proxy = way.proxy
    array = np.zeros(12_000_000, np.uint8)
    for number in range(5):
        proxy.allowed = begun = proxy.sent
        for _ in range(4):
            large.emit(array, "array")
        small.emit(number)
        while not of_small.waiting:
            proxy.allowed += 100_000
            assert proxy.allowed <= begun + BEFORE_IT
            select.select([of_small.end], [], [], 0.05)
            of_small.receive()
        assert of_small.value() == number
        of_large.receive()
        assert len(of_large.waiting) < 4
        proxy.allowed = None
        for _ in range(4):
            assert of_large.value().nbytes == array.nbytes


class Way:
    """Two hosts, "a" and "b", the ends of transfers from the one to the other, and what these go through."""

    def __init__(self, *transfers: Transfer) -> None:
        self.a, self.b = Host("a"), Host("b")
        self.ends = [(Producer(each), Consumer(each)) for each in transfers]
        for each, (producer, consumer) in zip(transfers, self.ends, strict=True):
            self.a.sends(each, producer.page.descriptor, producer.theirs)
            self.b.receives(each, CounterPage.make(1, 0).descriptor, consumer.theirs)
        self.proxy = Proxy(self.b.link.port)
        self.a.tell(PeerGateways("g", {"b": replace(self.b.link, port=self.proxy.port)}))
        self.b.knows(self.a)
        self.a.is_up_with(self.b)
        self.b.is_up_with(self.a)


@alone
def test_who_can_not_be_reached_dials_back() -> None:
    """The source would dial, but the target's address leads nowhere."""
    a, b = Host("a"), Host("b")
    one = transfer("a", "b")
    producer, consumer = Producer(one), Consumer(one)
    a.sends(one, producer.page.descriptor, producer.theirs)
    b.receives(one, producer.page.descriptor, consumer.theirs)
    a.tell(PeerGateways("g", {"b": replace(b.link, port=1)}))
    b.knows(a)
    a.is_up_with(b)
    b.is_up_with(a)
    producer.emit("hello")
    assert consumer.value() == "hello"


@alone
def test_links_that_have_nothing_to_do_use_no_processor() -> None:
    site = Site(transfer("a", "b"), transfer("b", "a", index=1, producer="edges", output=1))
    site.producers[0].emit("hello")
    assert site.consumers[0][0].value() == "hello"
    used = []
    for _ in range(5):  # at first they load the codecs
        before = [host.cpu for host in site.hosts.values()]
        site.producers[0].wait(2.0)
        used.append(max(host.cpu - was for host, was in zip(site.hosts.values(), before, strict=True)))
        if used[-1] <= 0.03:
            return
    raise AssertionError(f"in 2 s each they used {used} s of processor time")
