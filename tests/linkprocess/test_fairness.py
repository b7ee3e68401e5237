"""Large arrays do not hold up small chunks, and whoever can't be reached dials back."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from flowmesh.wire.messages import Peers

from ..alone import alone
from .actors import Consumer, Producer
from .hosts import Host, transfer
from .site import Site


@alone
def test_a_small_chunk_overtakes_large_ones_of_another_transfer() -> None:
    """It is sent behind 48 MB, and is there before the last of them."""
    site = Site(
        transfer("a", "b", index=0, slots=4, codec="raw"),
        transfer("a", "b", index=1, producer="edges", output=1, consumers=("sink2",)),
    )
    large, small = site.producers
    of_large, of_small = site.consumers[0][0], site.consumers[1][0]
    array = np.zeros(12_000_000, np.uint8)
    for number in range(5):
        for _ in range(4):
            large.emit(array, "array")
        small.emit(number)
        assert of_small.value() == number
        of_large.receive()
        assert len(of_large.waiting) < 4
        for _ in range(4):
            assert of_large.value().nbytes == array.nbytes


@alone
def test_who_can_not_be_reached_dials_back() -> None:
    """The source would dial, but the target's address leads nowhere."""
    a, b = Host("a"), Host("b")
    one = transfer("a", "b")
    producer, consumer = Producer(one), Consumer(one)
    a.sends(one, producer.page.descriptor, producer.theirs)
    b.receives(one, producer.page.descriptor, consumer.theirs)
    a.tell(Peers("g", {"b": replace(b.link, port=1)}))
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
