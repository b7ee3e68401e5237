"""What links say: there and back, and refused when it is damaged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.errors import ChunkError, LinkError
from flowmesh.wire import framing, parcels
from flowmesh.wire.parcels import (
    FRAGMENT,
    LARGEST_HEAD,
    LARGEST_PARCEL,
    MOST_PACKETS,
    Beat,
    Blob,
    Bundle,
    Close,
    Confirm,
    Ended,
    Fragment,
    Head,
    Hello,
    Parcel,
    Resume,
    Use,
)

CHUNK = framing.Chunk(1, 2, 3, -1, 4, 0, True, 5, -6, 7, {0: (3, 9)}, [("default", 0, 0, {"a": 1})])
IN_SLOT = msgspec.structs.replace(CHUNK, arena=11, slot=2, size=5000)
MARK = framing.Mark(1, 2, framing.PAUSE, 3, {})
LONG = framing.Long(3, 11, 2, 0, 5000)

PLAIN = [Hello(), Use(), Beat(), Confirm(2**40), Confirm(5, {3: 4}), Close(5), Resume(6, 7), Ended(8)]
BLOBS = (Blob(0, 90, 1, (2, 3), 50), Blob(96, 4, 0, (), 4))
PARCEL = Parcel(1, b"packet", 100, BLOBS, 54)


@pytest.mark.parametrize("said", PLAIN, ids=lambda said: type(said).__name__)
def test_what_has_no_data_comes_as_it_was_said(said: parcels.Said) -> None:
    assert parcels.decode([parcels.encode(said)]) == (said, b"")
    with pytest.raises(LinkError, match="2 frames"):
        parcels.decode([parcels.encode(said), b"x"])


@pytest.mark.parametrize("said", [PARCEL, Fragment(1, 2), Bundle(1, [3])], ids=lambda said: type(said).__name__)
def test_what_has_data_comes_with_it(said: parcels.Said) -> None:
    assert parcels.decode([parcels.encode(said), b"xyz"]) == (said, b"xyz")
    with pytest.raises(LinkError, match="1 frames"):
        parcels.decode([parcels.encode(said)])
    with pytest.raises(LinkError, match=f"{FRAGMENT + 1} bytes of data"):
        parcels.decode([parcels.encode(said), bytes(FRAGMENT + 1)])


@pytest.mark.parametrize(
    "said",
    [
        Confirm(0, {-1: 0}),
        Confirm(0, {2**19: 0}),
        Confirm(0, {0: -1}),
        Confirm(0, {0: 2**63}),
        Confirm(-1),
        Resume(0, -1),
        Fragment(0, -1),
        Fragment(0, LARGEST_PARCEL + 1),
        Bundle(0, [0]),
        Bundle(0, [FRAGMENT + 1]),
        Bundle(0, [1] * (MOST_PACKETS + 1)),
        Parcel(0, b"", LARGEST_PARCEL + 1, (), 0),
        Parcel(0, b"", 1, (Blob(0, 1, 64, (), 0),), 0),
        Parcel(0, b"", 1, (Blob(0, 1, 0, (1,) * 9, 0),), 0),
        Parcel(0, b"", 1, (Blob(0, 0, 0, (), 0),) * (parcels.MOST_BLOBS + 1), 0),
    ],
    ids=lambda said: str(said)[:40],
)
def test_a_number_out_of_its_range_is_refused(said: parcels.Said) -> None:
    with pytest.raises(LinkError, match="can't be read"):
        parcels.decode([parcels.encode(said), b"x"] if isinstance(said, parcels.WITH_DATA) else [parcels.encode(said)])


@pytest.mark.parametrize("frames", [[], [b"", b"", b""], [b""], [b"\xc1"], [b"\x91\x63"], [bytes(LARGEST_HEAD + 1)]])
def test_what_is_no_message_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(LinkError):
        parcels.decode(frames)


def test_a_parcel_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(LinkError, match="another length"):
        parcels.decode([parcels.encode(msgspec.structs.replace(PARCEL, length=55)), b"x"])
    with pytest.raises(LinkError, match="outside"):
        parcels.decode([parcels.encode(msgspec.structs.replace(PARCEL, size=99)), b"x"])


@pytest.mark.parametrize(("packet", "tag"), [(CHUNK, framing.CHUNK), (IN_SLOT, framing.CHUNK), (LONG, parcels.LONG),
                                             (MARK, parcels.MARK), (framing.Resume(3), parcels.RESUME),
                                             (framing.Descriptor(1), parcels.DESCRIPTOR),
                                             (framing.Announce(1, 2, 3), parcels.ANNOUNCE)])  # fmt: skip
def test_the_kind_of_a_packet_is_seen_without_reading_it(packet: framing.Packet, tag: int) -> None:
    assert parcels.kind(framing.encode(packet)) == tag


def test_a_chunk_is_moved_into_another_slot_and_nothing_else_of_it_changes() -> None:
    head = parcels.read_chunk(framing.encode(IN_SLOT))
    assert isinstance(head, Head)
    assert (head.number, head.arena, head.slot, head.size) == (3, 11, 2, 5000)
    assert framing.decode(head.moved(99, 7)) == msgspec.structs.replace(IN_SLOT, arena=99, slot=7)
    assert parcels.read_chunk(framing.encode(LONG)) == LONG


def bundle(*packets: bytes) -> tuple[Bundle, bytes]:
    return Bundle(1, [len(packet) for packet in packets]), b"".join(packets)


def test_a_bundle_gives_back_its_packets() -> None:
    packets = [framing.encode(CHUNK), framing.encode(MARK), framing.encode(CHUNK)]
    read = parcels.read_bundle(*bundle(*packets))
    assert [packet for _, packet in read] == packets
    assert [type(head) for head, _ in read] == [Head, framing.Mark, Head]
    assert read[0][0].number == 3


@pytest.mark.parametrize(
    ("lengths", "data"),
    [
        ([3], b"\xc1\xc1\xc1"),
        ([len(framing.encode(CHUNK)) - 1], framing.encode(CHUNK)),
        ([1, len(framing.encode(CHUNK)) - 1], framing.encode(CHUNK)),
        ([10], framing.encode(framing.Credit(0, 0, 1, 1))),
        ([len(framing.encode(IN_SLOT))], framing.encode(IN_SLOT)),
    ],
)
def test_a_damaged_bundle_is_refused(lengths: list[int], data: bytes) -> None:
    with pytest.raises(ChunkError):
        parcels.read_bundle(Bundle(1, lengths), data)


@pytest.mark.parametrize("packet", [b"\xc1", framing.encode(MARK), framing.encode(CHUNK)[:-1]])
def test_what_is_no_chunk_is_refused(packet: bytes) -> None:
    with pytest.raises(ChunkError):
        parcels.read_chunk(packet)


@given(st.sampled_from([*PLAIN, PARCEL, Fragment(1, 2), Bundle(1, [3])]), st.data())
def test_damaged_messages_are_read_or_refused(said: parcels.Said, data: st.DataObject) -> None:
    head = bytearray(parcels.encode(said))
    for _ in range(data.draw(st.integers(1, 4))):
        if head:
            head[data.draw(st.integers(0, len(head) - 1))] = data.draw(st.integers(0, 255))
            del head[data.draw(st.integers(1, 60)) :]
    try:
        parcels.decode([bytes(head), b"xyz"] if isinstance(said, Fragment | Bundle) else [bytes(head)])
    except LinkError:
        pass


@given(st.lists(st.sampled_from([framing.encode(CHUNK), framing.encode(MARK)]), min_size=1, max_size=4), st.data())
def test_damaged_bundles_are_read_or_refused(packets: list[bytes], data: st.DataObject) -> None:
    said, content = bundle(*packets)
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        parcels.read_bundle(said, bytes(damaged))
    except ChunkError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    def refused(call: Any, *arguments: Any) -> None:
        try:
            call(*arguments)
        except (LinkError, ChunkError):
            pass

    refused(parcels.decode, [noise])
    refused(parcels.read_chunk, noise)
    refused(parcels.read_bundle, Bundle(1, [max(1, len(noise))]), noise)
