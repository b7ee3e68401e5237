"""The messages between two gateways, as one tagged union of frozen structs. No I/O; no value of a chunk is opened.

A message is one frame, or two: `EncodedChunk`, `Fragment` and `PacketBatch` are followed by their data. Sizes and
numbers out of their range are refused here; the receiver checks whether they fit the messages before them.

    encoded chunk   a chunk whose payload lies in a slot: its blobs, end to end, in an EncodedChunk and Fragments
    packet batch    small packets of the channel as they are, end to end: chunks without a slot, and markers
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec

from ..errors import ChunkError, LinkError
from . import packets
from .packets import CHUNK, Count, LongPacket, Marker, Place, Shift

FRAGMENT = 127 * 1024  # bytes of data in one message; two, with their headers, are less than may be unacknowledged
LARGEST_HEAD = 1024**2  # bytes of a message without its data
LARGEST_PARCEL = 1024**3  # bytes of a chunk's payload, and of its encoded form
MOST_BLOBS = 4096
MOST_PACKETS = 4096  # in one batch

Size = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_PARCEL)]
Index = Annotated[int, msgspec.Meta(ge=0, le=2**19 - 1)]  # of a transfer
Packet = Annotated[bytes, msgspec.Meta(max_length=LARGEST_HEAD)]


class LinkMessage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The base of all messages between gateways."""


class Hello(LinkMessage, frozen=True, tag=0):
    """Either → Other, first on a connection: I receive from you, and no other connection between us is in use."""


class Activate(LinkMessage, frozen=True, tag=1):
    """The one with the smaller name → Other: this connection is in use from now on."""


class KeepAlive(LinkMessage, frozen=True, tag=2):
    """Either → Other: I am alive."""


class Ack(LinkMessage, frozen=True, tag=3):
    """Target → Source: the bytes of encoded chunks and packet batches received on this connection since it was
    activated; and for each of these transfers, the number up to which all consumers have taken all."""

    received: Count
    taken: dict[Index, Count] = {}


class CloseTransfer(LinkMessage, frozen=True, tag=4):
    """Target → Source: no consumer of the transfer takes any more."""

    transfer: Index


class ResumeTransfer(LinkMessage, frozen=True, tag=5):
    """Target → Source, first for each transfer on each connection: continue after this number."""

    transfer: Index
    arrived: Count


class EndOfTransfer(LinkMessage, frozen=True, tag=6):
    """Source → Target: the producer has gone, nothing follows."""

    transfer: Index


class BlobHeader(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A part of a chunk's payload, and how it is encoded.

    Attributes:
        offset, size: where it lies in the payload.
        codec: the codec's number.
        parameters: the codec's own parameters.
        length: its encoded length in bytes.
    """

    offset: Size
    size: Size
    codec: Annotated[int, msgspec.Meta(ge=0, le=63)]
    parameters: Annotated[tuple[Count, ...], msgspec.Meta(max_length=8)]
    length: Size


class EncodedChunk(LinkMessage, frozen=True, tag=7):
    """Source → Target, with data: a chunk, and the first of its encoded bytes; fragments bring the others. `packet` is
    its packets.Chunk or packets.LongPacket, `size` the used bytes of its slot, `length` the encoded length of its
    blobs."""

    transfer: Index
    packet: Packet
    size: Size
    blobs: Annotated[tuple[BlobHeader, ...], msgspec.Meta(max_length=MOST_BLOBS)]
    length: Size


class Fragment(LinkMessage, frozen=True, tag=8):
    """Source → Target, with data: the chunk's encoded bytes from `offset` on."""

    transfer: Index
    offset: Size


class PacketBatch(LinkMessage, frozen=True, tag=9):
    """Source → Target, with data: packets of these lengths, end to end."""

    transfer: Index
    lengths: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=FRAGMENT)]], msgspec.Meta(max_length=MOST_PACKETS)]


AnyLinkMessage = (
    Hello
    | Activate
    | KeepAlive
    | Ack
    | CloseTransfer
    | ResumeTransfer
    | EndOfTransfer
    | EncodedChunk
    | Fragment
    | PacketBatch
)
WITH_DATA = (EncodedChunk, Fragment, PacketBatch)
Data = bytes | memoryview

encode: Callable[[LinkMessage], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[Data], AnyLinkMessage] = msgspec.msgpack.Decoder(AnyLinkMessage).decode


def decode(frames: Sequence[Data]) -> tuple[AnyLinkMessage, Data]:
    """The message in `frames`, and its data (empty where there is none).

    Raises:
        LinkError: it is damaged, or contradicts itself.
    """
    head, data = (frames[0], frames[1] if len(frames) == 2 else b"") if len(frames) in (1, 2) else (b"", b"")
    if len(head) > LARGEST_HEAD:
        raise LinkError(f"a message of a link has a head of {len(head)} bytes")
    try:
        said = _decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LinkError(f"a message of a link can't be read: {error}") from error
    if isinstance(said, WITH_DATA) != (len(frames) == 2) or len(data) > FRAGMENT:
        raise LinkError(f"a {type(said).__name__} came in {len(frames)} frames with {len(data)} bytes of data")
    if isinstance(said, EncodedChunk):
        _check_blobs(said)
    return said, data


def _check_blobs(parcel: EncodedChunk) -> None:
    if sum(blob.length for blob in parcel.blobs) != parcel.length:
        raise LinkError("a parcel's blobs have another length than the parcel")
    if any(blob.offset + blob.size > parcel.size for blob in parcel.blobs):
        raise LinkError("a parcel's blob lies outside of its payload")


# --- packets, as far as a gateway opens them -------------------------------------------------------------------------

MARK, ANNOUNCE, DESCRIPTOR, LONG, RESUME = (
    kind.__struct_config__.tag
    for kind in (
        packets.Marker,
        packets.ArenaAnnouncement,
        packets.ArenaDescriptor,
        packets.LongPacket,
        packets.ResumeAfter,
    )
)
CHUNKS = (CHUNK, LONG)


class ChunkHeader(msgspec.Struct, frozen=True, array_like=True, tag=CHUNK, forbid_unknown_fields=True, gc=False):
    """A packets.Chunk whose records, origin and payload are left as they are."""

    run: Count
    epoch: Count
    number: Count
    input: Place
    trigger: Count
    emission: Count
    last: bool
    created: Count
    offset: Shift
    bound: Count
    origin: msgspec.Raw
    records: msgspec.Raw
    arena: Count = 0
    slot: Count = 0
    size: Count = 0
    payload: msgspec.Raw = msgspec.Raw(b"\xc4\x00")

    def moved(self, arena: int, slot: int) -> bytes:
        """The chunk's packet with its payload in that slot."""
        return _encode_any((
            CHUNK, self.run, self.epoch, self.number, self.input, self.trigger, self.emission, self.last, self.created,
            self.offset, self.bound, self.origin, self.records, arena, slot, self.size,
        ))  # fmt: skip


_encode_any: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
_decode_one: Callable[[Data], ChunkHeader | LongPacket] = msgspec.msgpack.Decoder(ChunkHeader | LongPacket).decode
_decode_small: Callable[[Data], ChunkHeader | Marker] = msgspec.msgpack.Decoder(ChunkHeader | Marker).decode


def kind(packet: Data) -> int:
    """The tag of a packet of the channel; the rest is not read."""
    return packet[3] if packet[0] == 0xDC else packet[1]


def read_chunk(packet: Data) -> ChunkHeader | LongPacket:
    """The chunk in a packet.

    Raises:
        ChunkError: it is none.
    """
    try:
        return _decode_one(packet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChunkError(f"a chunk's packet can't be read: {error}") from error


def read_bundle(bundle: PacketBatch, data: Data) -> list[tuple[ChunkHeader | Marker, bytes]]:
    """The packets of a batch, each with its header.

    Raises:
        ChunkError: they are damaged, or one has a slot.
    """
    if sum(bundle.lengths) != len(data):
        raise ChunkError("a bundle has another length than its packets")
    packets, begin, data = [], 0, bytes(data)
    try:
        for length in bundle.lengths:
            packet = data[begin : begin + length]
            head = _decode_small(packet)
            if type(head) is ChunkHeader and head.arena:
                raise ChunkError("a chunk in a bundle names a slot")
            packets.append((head, packet))
            begin += length
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChunkError(f"a bundle can't be read: {error}") from error
    return packets
