"""What links say: there and back, and refused when it is damaged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.errors import ChunkError, LinkError
from flowmesh.wire import link_messages, packets
from flowmesh.wire.link_messages import (
    FRAGMENT,
    LARGEST_HEAD,
    LARGEST_PARCEL,
    MOST_PACKETS,
    Ack,
    Activate,
    BlobHeader,
    ChunkHeader,
    CloseTransfer,
    EncodedChunk,
    EndOfTransfer,
    Fragment,
    Hello,
    KeepAlive,
    PacketBatch,
    ResumeTransfer,
)

CHUNK = packets.Chunk(1, 2, 3, -1, 4, 0, True, 5, -6, 7, {0: (3, 9)}, [("default", 0, 0, {"a": 1})])
IN_SLOT = msgspec.structs.replace(CHUNK, arena=11, slot=2, size=5000)
MARK = packets.Marker(1, 2, packets.PAUSE, 3, {})
LONG = packets.LongPacket(3, 11, 2, 0, 5000)

PLAIN = [
    Hello(),
    Activate(),
    KeepAlive(),
    Ack(2**40),
    Ack(5, {3: 4}),
    CloseTransfer(5),
    ResumeTransfer(6, 7),
    EndOfTransfer(8),
]
BLOBS = (BlobHeader(0, 90, 1, (2, 3), 50), BlobHeader(96, 4, 0, (), 4))
PARCEL = EncodedChunk(1, b"packet", 100, BLOBS, 54)


@pytest.mark.parametrize("said", PLAIN, ids=lambda said: type(said).__name__)
def test_what_has_no_data_comes_as_it_was_said(said: link_messages.LinkMessage) -> None:
    assert link_messages.decode([link_messages.encode(said)]) == (said, b"")
    with pytest.raises(LinkError, match="2 frames"):
        link_messages.decode([link_messages.encode(said), b"x"])


@pytest.mark.parametrize("said", [PARCEL, Fragment(1, 2), PacketBatch(1, [3])], ids=lambda said: type(said).__name__)
def test_what_has_data_comes_with_it(said: link_messages.LinkMessage) -> None:
    assert link_messages.decode([link_messages.encode(said), b"xyz"]) == (said, b"xyz")
    with pytest.raises(LinkError, match="1 frames"):
        link_messages.decode([link_messages.encode(said)])
    with pytest.raises(LinkError, match=f"{FRAGMENT + 1} bytes of data"):
        link_messages.decode([link_messages.encode(said), bytes(FRAGMENT + 1)])


@pytest.mark.parametrize(
    "said",
    [
        Ack(0, {-1: 0}),
        Ack(0, {2**19: 0}),
        Ack(0, {0: -1}),
        Ack(0, {0: 2**63}),
        Ack(-1),
        ResumeTransfer(0, -1),
        Fragment(0, -1),
        Fragment(0, LARGEST_PARCEL + 1),
        PacketBatch(0, [0]),
        PacketBatch(0, [FRAGMENT + 1]),
        PacketBatch(0, [1] * (MOST_PACKETS + 1)),
        EncodedChunk(0, b"", LARGEST_PARCEL + 1, (), 0),
        EncodedChunk(0, b"", 1, (BlobHeader(0, 1, 64, (), 0),), 0),
        EncodedChunk(0, b"", 1, (BlobHeader(0, 1, 0, (1,) * 9, 0),), 0),
        EncodedChunk(0, b"", 1, (BlobHeader(0, 0, 0, (), 0),) * (link_messages.MOST_BLOBS + 1), 0),
    ],
    ids=lambda said: str(said)[:40],
)
def test_a_number_out_of_its_range_is_refused(said: link_messages.LinkMessage) -> None:
    with pytest.raises(LinkError, match="can't be read"):
        link_messages.decode(
            [link_messages.encode(said), b"x"]
            if isinstance(said, link_messages.WITH_DATA)
            else [link_messages.encode(said)]
        )


@pytest.mark.parametrize("frames", [[], [b"", b"", b""], [b""], [b"\xc1"], [b"\x91\x63"], [bytes(LARGEST_HEAD + 1)]])
def test_what_is_no_message_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(LinkError):
        link_messages.decode(frames)


def test_a_parcel_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(LinkError, match="another length"):
        link_messages.decode([link_messages.encode(msgspec.structs.replace(PARCEL, length=55)), b"x"])
    with pytest.raises(LinkError, match="outside"):
        link_messages.decode([link_messages.encode(msgspec.structs.replace(PARCEL, size=99)), b"x"])


@pytest.mark.parametrize(("packet", "tag"), [(CHUNK, packets.CHUNK), (IN_SLOT, packets.CHUNK), (LONG, link_messages.LONG),
                                             (MARK, link_messages.MARK), (packets.ResumeAfter(3), link_messages.RESUME),
                                             (packets.ArenaDescriptor(1), link_messages.DESCRIPTOR),
                                             (packets.ArenaAnnouncement(1, 2, 3), link_messages.ANNOUNCE)])  # fmt: skip
def test_the_kind_of_a_packet_is_seen_without_reading_it(packet: packets.Packet, tag: int) -> None:
    assert link_messages.kind(packets.encode(packet)) == tag


def test_a_chunk_is_moved_into_another_slot_and_nothing_else_of_it_changes() -> None:
    head = link_messages.read_chunk(packets.encode(IN_SLOT))
    assert isinstance(head, ChunkHeader)
    assert (head.number, head.arena, head.slot, head.size) == (3, 11, 2, 5000)
    assert packets.decode(head.moved(99, 7)) == msgspec.structs.replace(IN_SLOT, arena=99, slot=7)
    assert link_messages.read_chunk(packets.encode(LONG)) == LONG


def bundle(*packets: bytes) -> tuple[PacketBatch, bytes]:
    return PacketBatch(1, [len(packet) for packet in packets]), b"".join(packets)


def test_a_bundle_gives_back_its_packets() -> None:
    bundled = [packets.encode(CHUNK), packets.encode(MARK), packets.encode(CHUNK)]
    read = link_messages.read_bundle(*bundle(*bundled))
    assert [packet for _, packet in read] == bundled
    assert [type(head) for head, _ in read] == [ChunkHeader, packets.Marker, ChunkHeader]
    assert read[0][0].number == 3


@pytest.mark.parametrize(
    ("lengths", "data"),
    [
        ([3], b"\xc1\xc1\xc1"),
        ([len(packets.encode(CHUNK)) - 1], packets.encode(CHUNK)),
        ([1, len(packets.encode(CHUNK)) - 1], packets.encode(CHUNK)),
        ([10], packets.encode(packets.Credit(0, 0, 1, 1))),
        ([len(packets.encode(IN_SLOT))], packets.encode(IN_SLOT)),
    ],
)
def test_a_damaged_bundle_is_refused(lengths: list[int], data: bytes) -> None:
    with pytest.raises(ChunkError):
        link_messages.read_bundle(PacketBatch(1, lengths), data)


@pytest.mark.parametrize("packet", [b"\xc1", packets.encode(MARK), packets.encode(CHUNK)[:-1]])
def test_what_is_no_chunk_is_refused(packet: bytes) -> None:
    with pytest.raises(ChunkError):
        link_messages.read_chunk(packet)


@given(st.sampled_from([*PLAIN, PARCEL, Fragment(1, 2), PacketBatch(1, [3])]), st.data())
def test_damaged_messages_are_read_or_refused(said: link_messages.LinkMessage, data: st.DataObject) -> None:
    head = bytearray(link_messages.encode(said))
    for _ in range(data.draw(st.integers(1, 4))):
        if head:
            head[data.draw(st.integers(0, len(head) - 1))] = data.draw(st.integers(0, 255))
            del head[data.draw(st.integers(1, 60)) :]
    try:
        link_messages.decode([bytes(head), b"xyz"] if isinstance(said, Fragment | PacketBatch) else [bytes(head)])
    except LinkError:
        pass


@given(st.lists(st.sampled_from([packets.encode(CHUNK), packets.encode(MARK)]), min_size=1, max_size=4), st.data())
def test_damaged_bundles_are_read_or_refused(packets: list[bytes], data: st.DataObject) -> None:
    said, content = bundle(*packets)
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        link_messages.read_bundle(said, bytes(damaged))
    except ChunkError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    def refused(call: Any, *arguments: Any) -> None:
        try:
            call(*arguments)
        except (LinkError, ChunkError):
            pass

    refused(link_messages.decode, [noise])
    refused(link_messages.read_chunk, noise)
    refused(link_messages.read_bundle, PacketBatch(1, [max(1, len(noise))]), noise)
