"""The packets of a channel, as one tagged union: chunks and markers go down an edge, credit and CloseEdge come back up.

A packet is one msgpack array that begins with its tag. No I/O here, and no value is opened: see `values`. A number out
of its range is refused here, so the receiver need not check it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from ..chunk import Nanoseconds, Origin, Stamp, Times
from ..errors import ChunkError

CHUNK, _MARK, _ANNOUNCE, _DESCRIPTOR, _CREDIT, _CLOSE, _LONG, _READER, _RESUME = range(9)

DONE, PAUSE, END = range(3)  # the kinds of a marker

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Place = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
Shift = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]  # of a clock, in nanoseconds
Kind = Annotated[int, msgspec.Meta(ge=DONE, le=END)]
Origins = dict[Count, tuple[Count, Count]]  # {index of a source's output: (number, time in ns on the Manager's clock)}
Record = tuple[str, Count, Count, Any]  # a values.Row, checked


class Chunk(msgspec.Struct, frozen=True, array_like=True, tag=CHUNK, forbid_unknown_fields=True, gc=False):
    """Producer → Consumer: a chunk. Its payload lies in a slot, or inline when `arena` is 0.

    Attributes:
        run: the number of the graph's run.
        epoch: the number of the producer's incarnation.
        number: 1, 2, 3, ... on the producer's output.
        input: the index of the producer's in-edge that triggered the step; -1 in a source.
        trigger: the chunk's number on that edge; in a source, the step's number.
        emission: the emission's index in the step, from 0.
        last: whether it is the step's last emission.
        created: the creation time on the host's clock, in ns since the epoch.
        offset: what to add to get the Manager's clock, in ns.
        bound: how wrong `offset` can be, in ns.
        origin: the sources' chunks that it descends from; empty in a source's own chunk.
        records: as `values.pack` gives them.
        arena: the id of the arena that the slot is in; 0 for none.
        slot: the slot's index there.
        size: how many bytes of the slot are payload.
        payload: the payload where it lies in no slot.
    """

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
    origin: Origins
    records: list[Record]
    arena: Count = 0
    slot: Count = 0
    size: Count = 0
    payload: bytes = b""


class Marker(msgspec.Struct, frozen=True, array_like=True, tag=_MARK, forbid_unknown_fields=True):
    """Producer → Consumer, behind the chunks: all up to `number` is complete (WATERMARK), sent before a pause (PAUSE),
    or the whole stream (END)."""

    run: Count
    epoch: Count
    kind: Kind
    number: Count
    origin: Origins


class ArenaAnnouncement(msgspec.Struct, frozen=True, array_like=True, tag=_ANNOUNCE, forbid_unknown_fields=True):
    """Producer → Consumer: the next packet carries this arena's file descriptor. `slot_size` in bytes."""

    arena: Count
    slots: Count
    slot_size: Count


class ArenaDescriptor(msgspec.Struct, frozen=True, array_like=True, tag=_DESCRIPTOR, forbid_unknown_fields=True):
    """Producer → Consumer: the packet that the arena's file descriptor comes with."""

    arena: Count


class Credit(msgspec.Struct, frozen=True, array_like=True, tag=_CREDIT, forbid_unknown_fields=True):
    """Consumer → Producer: all up to `taken` was taken into a step, all up to `settled` may be forgotten."""

    run: Count
    epoch: Count
    taken: Count
    settled: Count


class CloseEdge(msgspec.Struct, frozen=True, array_like=True, tag=_CLOSE, forbid_unknown_fields=True):
    """Consumer → Producer: I take no more."""


class ReaderHello(msgspec.Struct, frozen=True, array_like=True, tag=_READER, forbid_unknown_fields=True):
    """Consumer → Owner of slots, at its registration socket, with the file descriptor of a lease table: this node reads
    your slots.

    Sent before the first lease there. `index` is the node's index in the graph's order.
    """

    index: Count


class ResumeAfter(msgspec.Struct, frozen=True, array_like=True, tag=_RESUME, forbid_unknown_fields=True):
    """On an edge that crosses hosts, when a connection is new. Consumer → Producer: all up to `arrived` has come, send
    again what follows it. Producer → Consumer: the next chunk is the one after `arrived`."""

    arrived: Count


class LongPacket(msgspec.Struct, frozen=True, array_like=True, tag=_LONG, forbid_unknown_fields=True):
    """Producer → Consumer: chunk `number`; its packet is too long to send and lies in a slot: `size` bytes at `offset`."""

    number: Count
    arena: Count
    slot: Count
    offset: Count
    size: Count


Packet = (
    Chunk | Marker | ArenaAnnouncement | ArenaDescriptor | Credit | CloseEdge | LongPacket | ReaderHello | ResumeAfter
)
CHUNKS = (Chunk, LongPacket)  # for isinstance: a union made anew each time costs half a microsecond

_encode = msgspec.msgpack.Encoder().encode
# The bytes of the Chunk with these fields, in its order and behind CHUNK, without making one: it runs for each chunk. Fields
# at the end that have their default may be left out.
encode_fields: Callable[[tuple[Any, ...]], bytes] = _encode
_decode: Callable[[bytes | memoryview], Packet] = msgspec.msgpack.Decoder(Packet).decode
_decode_all: Callable[[bytes], list[Packet]] = msgspec.msgpack.Decoder(list[Packet]).decode


def encode(packet: Packet) -> bytes:
    """Encode the packet."""
    return _encode(packet)


def decode(data: bytes | memoryview) -> Packet:
    """The packet in `data`.

    Raises:
        ChunkError: it is none, or is damaged.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChunkError(f"a packet can't be read: {error}") from error


def decode_all(count: int, data: bytes) -> list[Packet]:
    """Decode `count` packets that lie end to end, in one call: together they are a msgpack array without its header.

    Raises:
        ChunkError: they are damaged, or not `count`.
    """
    try:
        return _decode_all(b"\xdd" + count.to_bytes(4, "big") + data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise ChunkError(f"{count} packets can't be read: {error}") from error


def stamp(chunk: Chunk, names: tuple[str, ...], output: int) -> Stamp:
    """The stamp of a chunk, for the user. `names`: all outputs' names by index; `output`: its producer's index.

    Raises:
        ChunkError: it descends from an output that has no name.
    """
    origin = chunk.origin or {output: (chunk.number, chunk.created + chunk.offset)}
    try:
        whole = {names[index]: (number, time) for index, (number, time) in origin.items()}
    except IndexError as error:
        raise ChunkError(f"a chunk's origin {origin} is not among the {len(names)} outputs") from error
    named = {name: Origin(number, time / 10**9) for name, (number, time) in whole.items()}
    ns = Nanoseconds(chunk.created, chunk.offset, chunk.bound)
    times = Times(*(part / 10**9 for part in ns))
    return Stamp(
        chunk.run, chunk.epoch, chunk.number, chunk.trigger, chunk.emission, chunk.last, named, times, ns, whole
    )
