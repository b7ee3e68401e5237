"""Packets come back as they were; whatever is damaged is refused with a ChunkError and nothing else."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmesh.chunk import DataChunk, Nanoseconds, Origin, Stamp, Times
from flowmesh.errors import ChunkError
from flowmesh.wire.packets import (
    CHUNK,
    DONE,
    END,
    PAUSE,
    ArenaAnnouncement,
    ArenaDescriptor,
    Chunk,
    CloseEdge,
    Credit,
    LongPacket,
    Marker,
    Packet,
    decode,
    encode,
    encode_fields,
    stamp,
)
from flowmesh.wire.values import pack, unpack, write

NOW = 1_700_000_000_123_456_789
MOST = 2**63 - 1


def chunk(values: list[tuple[str, Any, str]], **fields: Any) -> Chunk:
    """A chunk with its payload inline."""
    packed = pack(values)
    payload = bytearray(packed.size)
    write(packed, memoryview(payload))
    plain = Chunk(1, 2, 300, -1, 300, 0, True, NOW, -12345, 678, {}, packed.records, 0, 0, 0, bytes(payload))
    return msgspec.structs.replace(plain, **fields)


VALUE = {"a": 1, "b": 2.5, "c": "text", "d": [None, True, "ü", b"raw"], "e": -70000, "f": 2**40}
PACKETS: dict[str, Packet] = {
    "a plain chunk": chunk([("default", VALUE, "other")], input=3, origin={0: (7, NOW), 300: (2**40, NOW)}),
    "an array inline": chunk([("a", np.arange(5, dtype="<u2"), "array"), ("t", np.array(["ü"]), "array")]),
    "long bytes in a slot": chunk([("b", bytes(5000), "bytes")], payload=b"", arena=70000, slot=3, size=5000),
    "an empty chunk": chunk([]),
    "the largest numbers": chunk([], number=MOST, trigger=MOST, created=MOST, offset=2**62, bound=MOST, size=MOST),
    "a mark": Marker(1, 2, DONE, 300, {0: (7, NOW)}),
    "a pause": Marker(1, 2, PAUSE, 0, {}),
    "an end": Marker(1, 2, END, 0, {}),
    "an announcement": ArenaAnnouncement(1, 4, 1 << 23),
    "a descriptor": ArenaDescriptor(1),
    "credit": Credit(1, 2, 300, 299),
    "a close": CloseEdge(),
    "a long chunk": LongPacket(300, 1, 3, 64, 200_000),
}
each_packet = pytest.mark.parametrize("packet", PACKETS.values(), ids=PACKETS.keys())


def fields(packet: Packet) -> list[Any]:
    """The packet's array: the tag, then its fields."""
    array: list[Any] = msgspec.msgpack.decode(encode(packet))
    return array


def read(data: bytes) -> None:
    """Read a packet as far as a value goes; a ChunkError is the only exception that may come."""
    try:
        packet = decode(data)
        if isinstance(packet, Chunk):
            stamp(packet, ("film", "edges"), 0)
            for value, _ in unpack(packet.records, packet.payload).values():
                value.tobytes() if isinstance(value, np.ndarray) else repr(
                    value
                )  # elements are not checked, places are
    except ChunkError:
        pass


# --- round trips -----------------------------------------------------------------------------------------------------


@each_packet
def test_a_packet_comes_back_as_it_was(packet: Packet) -> None:
    arrived = decode(encode(packet))
    assert type(arrived) is type(packet)
    assert fields(arrived) == fields(packet)
    assert decode(memoryview(encode(packet))) == arrived


def test_a_chunk_is_encoded_alike_from_its_fields() -> None:
    packet = PACKETS["a plain chunk"]
    assert isinstance(packet, Chunk)
    values = [getattr(packet, name) for name in packet.__struct_fields__]
    assert encode_fields((CHUNK, *values)) == encode(packet)
    assert decode(encode_fields((CHUNK, *values[:12]))) == decode(encode(packet))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_an_inline_payload_need_not_be_bytes(kind: Any) -> None:
    data = encode_fields((CHUNK, 1, 1, 1, -1, 1, 0, True, 0, 0, 0, {}, [], 0, 0, 0, kind(b"payload")))
    arrived = decode(data)
    assert isinstance(arrived, Chunk)
    assert arrived.payload == b"payload"


def test_every_packet_has_a_tag_of_its_own() -> None:
    tags = {
        kind: index
        for index, kind in enumerate([Chunk, Marker, ArenaAnnouncement, ArenaDescriptor, Credit, CloseEdge, LongPacket])
    }
    assert all(fields(packet)[0] == tags[type(packet)] for packet in PACKETS.values())


# --- stamps ----------------------------------------------------------------------------------------------------------


def test_a_stamp_is_in_seconds_and_names_the_sources() -> None:
    packet = chunk([], input=3, trigger=9, emission=2, last=False, origin={0: (7, 1_500_000_000), 2: (8, 0)})
    assert stamp(packet, ("film", "edges", "camera"), 1) == Stamp(
        run=1, epoch=2, number=300, trigger=9, emission=2, last=False,
        origin={"film": Origin(7, 1.5), "camera": Origin(8, 0.0)},
        times=Times(1_700_000_000.123456789, -12345e-9, 678e-9),
        ns=Nanoseconds(1_700_000_000_123_456_789, -12345, 678),
        origin_ns={"film": (7, 1_500_000_000), "camera": (8, 0)},
    )  # fmt: skip


def test_a_sources_own_chunk_is_its_own_origin_on_the_managers_clock() -> None:
    packet = chunk([], number=5, created=3_000_000_000, offset=-1_000_000_000)
    assert stamp(packet, ("film", "camera"), 1).origin == {"camera": Origin(5, 2.0)}


def test_an_origin_without_a_name_is_refused() -> None:
    with pytest.raises(ChunkError, match="not among the 1 outputs"):
        stamp(chunk([], origin={1: (1, 1)}), ("film",), 0)


def test_a_chunks_stamp_is_made_when_it_is_first_asked_for_and_once() -> None:
    made = []

    def make(packet: Chunk) -> Stamp:
        made.append(stamp(packet, ("film",), 0))
        return made[-1]

    received = DataChunk({"x": (1, "other")}, (make, chunk([], number=5)))
    assert received.get("x")["value"] == 1
    assert not made
    assert received.number == 5
    assert received.stamp is made[0]
    assert received.origin == made[0].origin
    assert received.times == made[0].times
    assert len(made) == 1


def test_a_chunk_whose_stamp_was_not_asked_for_is_pickled_with_it() -> None:
    received = DataChunk({"x": (1, "other")}, (lambda packet: stamp(packet, ("film",), 0), chunk([], number=5)))
    again = pickle.loads(pickle.dumps(received))
    assert again == received
    assert again.stamp == stamp(chunk([], number=5), ("film",), 0)


# --- damage ----------------------------------------------------------------------------------------------------------


@each_packet
def test_every_truncation_is_refused(packet: Packet) -> None:
    data = encode(packet)
    for end in range(0, len(data), 1 if len(data) < 1000 else 97):
        with pytest.raises(ChunkError):
            decode(data[:end])


@each_packet
def test_what_follows_a_packet_is_refused(packet: Packet) -> None:
    for more in (b"\0", b"\xc0", encode(packet)):
        with pytest.raises(ChunkError):
            decode(encode(packet) + more)


@each_packet
def test_every_wrong_byte_is_refused_or_gives_a_valid_value(packet: Packet) -> None:
    data = bytearray(encode(packet))
    for place, right in enumerate(data):
        for wrong in range(256):
            data[place] = wrong
            read(bytes(data))
        data[place] = right


@each_packet
def test_a_field_too_few_or_too_many_is_refused(packet: Packet) -> None:
    array = fields(packet)
    for wrong in (array[1:], array[:-1], array[:12], [*array, 0], [*array, None]):
        if isinstance(packet, Chunk) and len(wrong) == len(array) - 1:
            continue  # its payload may be left out
        if len(wrong) != len(array) or wrong[:1] != array[:1]:
            with pytest.raises(ChunkError):
                decode(msgspec.msgpack.encode(wrong))


WRONG = [-2, -(2**63), 2**63, 2**64 - 1, None, "1", b"1", 1.5, [], {}, [1], {"a": 1}]
RIGHT: dict[str, tuple[Any, ...]] = {
    "offset": (-2,),
    "origin": ({},),
    "records": ([],),
    "payload": (b"1",),
}


@each_packet
def test_a_field_out_of_its_range_or_of_another_type_is_refused(packet: Packet) -> None:
    array = fields(packet)
    for place, name in enumerate(packet.__struct_fields__, start=1):
        for wrong in WRONG:
            if any(type(wrong) is type(right) and wrong == right for right in RIGHT.get(name, ())):
                continue
            with pytest.raises(ChunkError):
                decode(msgspec.msgpack.encode([*array[:place], wrong, *array[place + 1 :]]))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("number", -1), ("input", -2), ("trigger", -1), ("emission", -1), ("last", 1), ("created", -1),
        ("offset", 2**62 + 1), ("offset", -(2**62) - 1), ("bound", -1), ("size", -1), ("arena", -1), ("slot", -1),
        ("origin", {-1: (1, 1)}), ("origin", {0: (-1, 1)}), ("origin", {0: (1, -1)}), ("origin", {0: (1,)}),
        ("origin", {0: 1}), ("origin", {"film": (1, 1)}), ("records", [("x", 0, 0)]), ("records", [("x", 0, 0, 1, 2)]),
        ("records", [(b"x", 0, 0, 1)]), ("records", [("x", -1, 0, 1)]), ("records", [("x", 0, -1, 1)]),
        ("records", [1]), ("records", {"x": 1}),
    ],
)  # fmt: skip
def test_a_chunk_with_an_impossible_field_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(ChunkError, match="a packet can't be read"):
        decode(encode(chunk([], **{name: wrong})))


@pytest.mark.parametrize("kind", [-1, 3])
def test_a_mark_of_no_kind_is_refused(kind: int) -> None:
    with pytest.raises(ChunkError):
        decode(encode(Marker(1, 1, kind, 1, {})))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xc0", b"\x00", b"\xa1x", b"\x80", b"\x90", b"\x91\x07", b"\x91\xff", b"\x91\xc0", b"\x91\xa1x",
        b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff\x00", b"\x91" * 10_000,
        encode(chunk([("x", 1, "other")])).replace(b"\xa1x\0\0\x01", b"\xa1x\0\0" + b"\x91" * 10_000),
    ],
    ids=lambda data: data[:5].hex(),
)  # fmt: skip
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(ChunkError) as caught:
        decode(data)
    assert caught.value.__cause__ is not None


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.sampled_from([b"", *(encode(packet)[:20] for packet in PACKETS.values())]))
def test_random_bytes_are_refused_or_are_a_packet(tail: bytes, head: bytes) -> None:
    read(head + tail)


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=3)),
    lambda inside: st.one_of(st.lists(inside, max_size=4), st.dictionaries(st.text(max_size=2), inside, max_size=2)),
    max_leaves=6,
)  # holds no bytes: so a pickle among it is never read
RECORD = st.tuples(st.text(max_size=2), st.integers(0, 7), st.integers(0, 4), JUNK)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(list(PACKETS.values())),
    st.integers(0, 17),
    st.one_of(JUNK, st.binary(max_size=200), st.lists(RECORD, max_size=3)),
)
def test_a_packet_with_junk_in_it_is_refused_or_is_valid(packet: Packet, place: int, junk: Any) -> None:
    array = fields(packet)
    array[place : place + 1] = [junk]
    read(msgspec.msgpack.encode(array))
