"""Who is not heard, each beside somebody who is."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from flowmesh.channel.counters import ERRORS
from flowmesh.transport.data_link import DataLink
from flowmesh.wire import link_messages, packets
from flowmesh.wire.link_messages import (
    Ack,
    Activate,
    BlobHeader,
    EncodedChunk,
    Fragment,
    Hello,
    PacketBatch,
    ResumeTransfer,
)
from flowmesh.wire.messages import LinkNews, PeerGateways

from ..conftest import SCALE
from ..integration.failures.deadlines import until
from ..isolated import alone
from .fakes import Consumer
from .gateways import Host, transfer
from .harness import Site

CHUNK = packets.encode(packets.Chunk(1, 1, 1, -1, 1, 0, True, 1, 0, 0, {}, [("default", 0, 0, "not yours")]))
SKIPPING = packets.encode(packets.Chunk(1, 1, 5, -1, 1, 0, True, 1, 0, 0, {}, []))
IN_SLOT = packets.encode(packets.Chunk(1, 1, 1, -1, 1, 0, True, 1, 0, 0, {}, [], 7, 0, 10_000))


class Peer:
    """A link that the test speaks for."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self._data = DataLink("127.0.0.1", 0)
        self._host = host
        self._connection = 0
        self.link = self._data.own_address

    def dial(self) -> None:
        """And say Hello."""
        self._data.hang_up(self._connection)
        self._connection += 1
        self._data.dial(self._connection, self._host.link)
        self.say(link_messages.encode(Hello()))

    def say(self, *frames: bytes) -> None:
        assert self._data.send(self._connection, frames)

    def hears(self, kind: type[link_messages.LinkMessage], within: float = 5.0) -> bool:
        """Whether that is said to it in time."""
        deadline = time.monotonic() + within * SCALE
        while (left := deadline - time.monotonic()) > 0:
            self._data.wait(left)
            for heard in self._data.receive():
                if isinstance(link_messages.decode(heard.frames)[0], kind):
                    return True
        return False


def joins(name: str, site: Site) -> Peer:
    """A further worker's link, allowed by b and connected with it."""
    b = site.hosts["b"]
    peer = Peer(name, b)
    b.tell(PeerGateways("g", {"a": site.hosts["a"].link, name: peer.link}))
    peer.dial()
    while not peer.hears(
        Activate, within=0.5
    ):  # a key that is not yet allowed is denied, and that connection is no more
        peer.dial()
    b.hears(LinkNews, which=lambda news: news.peer == name and news.up)
    return peer


def still_works(site: Site) -> None:
    for number in range(20):
        site.producers[0].emit({"n": number})
        assert site.consumers[0][0].value() == {"n": number}


@alone
def test_a_key_that_is_not_allowed_is_never_answered() -> None:
    site = Site(transfer("a", "b"))
    stranger = Peer("c", site.hosts["b"])
    stranger.dial()
    assert not stranger.hears(Activate, within=1)
    still_works(site)
    friend = joins("c", site)
    assert friend.hears(link_messages.KeepAlive)


@alone
def test_a_key_is_heard_no_more_when_its_worker_is_not_named() -> None:
    site = Site(transfer("a", "b"))
    peer = joins("c", site)
    assert peer.hears(link_messages.KeepAlive)
    site.hosts["b"].tell(PeerGateways("g", {"a": site.hosts["a"].link}))
    site.hosts["b"].hears(LinkNews, which=lambda news: news.peer == "c" and not news.up)
    peer.say(link_messages.encode(Hello()))
    assert not peer.hears(Activate, within=1)
    still_works(site)


FOREIGN: Sequence[Sequence[bytes]] = [
    [link_messages.encode(PacketBatch(0, [len(CHUNK)])), CHUNK],
    [
        link_messages.encode(EncodedChunk(0, IN_SLOT, 10_000, (BlobHeader(0, 10_000, 0, (), 10_000),), 10_000)),
        bytes(10_000),
    ],
    [link_messages.encode(Fragment(0, 0)), b"x" * 100],
    [link_messages.encode(link_messages.EndOfTransfer(0))],
    [link_messages.encode(Ack(0, {0: 5}))],
    [link_messages.encode(link_messages.CloseTransfer(0))],
    [link_messages.encode(ResumeTransfer(0, 3))],
    [link_messages.encode(PacketBatch(9, [len(CHUNK)])), CHUNK],
    [link_messages.encode(Ack(0, {9: 5}))],
]


@alone
def test_a_peer_that_speaks_of_transfers_of_others_is_not_believed() -> None:
    """Nor of those that do not exist; its connection stays as it is."""
    site = Site(transfer("a", "b", index=0), transfer("b", "a", index=1, producer="edges", output=1))
    peer = joins("c", site)
    still_works(site)
    for frames in FOREIGN:
        peer.say(*frames)
        peer.say(link_messages.encode(Ack(0, {1: 10**6})))
        peer.say(link_messages.encode(link_messages.CloseTransfer(1)))
    assert peer.hears(link_messages.KeepAlive)
    still_works(site)
    site.producers[1].emit("still here")
    assert site.consumers[1][0].value() == "still here"
    refused = site.producers[1].page.cells
    until(lambda: refused[ERRORS] >= 2 * len(FOREIGN), 30)
    assert refused[ERRORS] == 2 * len(FOREIGN)


DAMAGED: dict[str, Sequence[Sequence[bytes]]] = {
    "no message": [[b"\xff\xff"]],
    "no frame": [[b""]],
    "three frames": [[link_messages.encode(Fragment(2, 0)), b"x", b"y"]],
    "too large a frame": [[b"x" * (link_messages.LARGEST_HEAD + 1)]],
    "confirms what was not sent": [[link_messages.encode(Ack(1))]],
    "a bundle that is none": [[link_messages.encode(PacketBatch(2, [3])), b"\xc1\xc1\xc1"]],
    "a bundle of another length": [[link_messages.encode(PacketBatch(2, [len(CHUNK) - 1])), CHUNK]],
    "a slot in a bundle": [[link_messages.encode(PacketBatch(2, [len(IN_SLOT)])), IN_SLOT]],
    "a fragment of nothing": [[link_messages.encode(Fragment(2, 0)), b"x"]],
    "a number that skips": [[link_messages.encode(PacketBatch(2, [len(SKIPPING)])), SKIPPING]],
    "a chunk that came before": [[link_messages.encode(PacketBatch(2, [len(CHUNK)])), CHUNK]] * 2,
    "a parcel in a parcel": [
        [link_messages.encode(EncodedChunk(2, IN_SLOT, 10_000, (BlobHeader(0, 10_000, 0, (), 10_000),), 10_000)), b"x"]
    ] * 2,
    "a parcel of too much": [
        [
            link_messages.encode(EncodedChunk(2, IN_SLOT, 10_000, (BlobHeader(0, 10_000, 0, (), 10_000),), 10_000)),
            bytes(10_001),
        ]
    ],
    "a parcel of nothing yet": [
        [link_messages.encode(EncodedChunk(2, IN_SLOT, 10_000, (BlobHeader(0, 10_000, 0, (), 10_000),), 10_000)), b""]
    ],
    "a slot that is too small": [[link_messages.encode(EncodedChunk(2, IN_SLOT, 9_999, (), 0)), b""]],
    "more than is confirmed": [[link_messages.encode(Fragment(99, 0)), bytes(link_messages.FRAGMENT)]] * 40,
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
@alone
def test_what_is_damaged_costs_the_connection(what: str) -> None:
    site = Site(transfer("a", "b"), transfer("b", "a", index=1, producer="edges", output=1))
    peer = joins("c", site)
    one = transfer("c", "b", index=2, producer="film", consumers=("sink3",), depth=4)
    consumer = Consumer(one)
    site.hosts["b"].receives(one, site.pages[0].descriptor, consumer.theirs)
    assert peer.hears(ResumeTransfer)
    still_works(site)
    for frames in DAMAGED[what]:
        peer.say(*frames)
    site.hosts["b"].hears(LinkNews, which=lambda news: news.peer == "c" and not news.up)
    still_works(site)
    again = joins("d", site)
    assert again.hears(link_messages.KeepAlive)


@alone
def test_what_can_not_be_decoded_ends_that_stream_alone() -> None:
    site = Site(transfer("a", "b"))
    peer = joins("c", site)
    one = transfer("c", "b", index=2, producer="film", consumers=("sink3",))
    consumer = Consumer(one)
    site.hosts["b"].receives(one, site.pages[0].descriptor, consumer.theirs)
    assert peer.hears(ResumeTransfer)
    peer.say(link_messages.encode(EncodedChunk(2, IN_SLOT, 10_000, (BlobHeader(0, 10_000, 1, (), 50),), 50)), b"?" * 20)
    peer.say(link_messages.encode(Fragment(2, 20)), b"?" * 30)
    consumer.wait_for(lambda: consumer.edge.gone)
    assert consumer.marks == [(packets.END, 0)]
    assert peer.hears(link_messages.KeepAlive)
    still_works(site)
