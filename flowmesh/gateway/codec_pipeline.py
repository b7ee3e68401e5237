"""Encoding of chunks in slots for transfers, and decoding. The codecs decide the format of each blob.

A stream that goes to several hosts is encoded once, and a chunk that came from another host is forwarded as encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ..chunk import CONTENT_TYPES
from ..codecs.codec import Blob as Content
from ..codecs.raw import RawCodec
from ..codecs.registry import CODECS, decode
from ..codecs.selection import CodecSelection
from ..errors import ChunkError
from ..wire import packets, values
from ..wire.link_messages import FRAGMENT, BlobHeader, Data, EncodedChunk, Fragment, encode
from .codec_threads import CodecThreads

SHARED = 4  # encoded chunks of an output that are kept for its other transfers


class CodedChunk(NamedTuple):
    """A chunk's payload, encoded. `parts` belong to `blobs`; `fresh` of them were encoded for it."""

    blobs: tuple[BlobHeader, ...]
    parts: tuple[Data, ...]
    fresh: int = 0

    @property
    def length(self) -> int:
        return sum(blob.length for blob in self.blobs)

    def detached(self) -> CodedChunk:
        """A copy without the slot's memory."""
        return self._replace(parts=tuple(bytes(part) for part in self.parts))

    def messages(self, transfer: int, packet: bytes, size: int) -> Iterator[tuple[bytes, Data]]:
        """The messages to send, in order: each one's header and its data."""
        head: EncodedChunk | Fragment = EncodedChunk(transfer, packet, size, self.blobs, self.length)
        index = 0
        for data in self._pieces():
            yield encode(head), data
            index += len(data)
            head = Fragment(transfer, index)

    def _pieces(self) -> Iterator[Data]:
        """The encoded bytes in parts of no more than FRAGMENT; one empty part when there are none."""
        parts = [memoryview(part) for part in self.parts if len(part)]
        if self.length <= FRAGMENT and len(parts) != 1:
            yield b"".join(parts)
            return
        for part in parts:
            for begin in range(0, len(part), FRAGMENT):
                yield part[begin : begin + FRAGMENT]


class SlotSource(NamedTuple):
    """A blob of a payload that is to be encoded. `record` names those that are alike in a stream."""

    offset: int
    size: int
    record: tuple[str, int]
    content_type: str
    content: Content


class CodecPipeline:
    """All encoding and decoding of a gateway.

    Attributes:
        pool: the threads that do it.
        kept: the encoded form in which a payload came, by arena and slot.
    """

    def __init__(self) -> None:
        self.pool = CodecThreads()
        self.kept: dict[int, dict[int, CodedChunk]] = {}
        self._streams: dict[tuple[int, str | None, int | None], CodecStream] = {}
        self._warm = False

    def stream(self, output: int, codec: str | None, quality: int | None) -> CodecStream:
        """The stream of an output; the same for all its transfers that agree in codec and quality."""
        stream = self._streams.setdefault((output, codec, quality), CodecStream(self, CodecSelection(codec, quality)))
        stream.users += 1
        return stream

    def warm_up(self) -> None:
        """Load the codecs' libraries, once, so that the first frame does not wait for that."""
        if not self._warm:
            self._warm = True
            self.pool.run_in_thread(_use_each, lambda result: None)

    def keep(self, arena: int, slot: int, blobs: tuple[BlobHeader, ...], data: Data) -> None:
        """Keep the encoded form of a slot's payload, if a transfer may forward it."""
        if self._streams:
            self.kept.setdefault(arena, {})[slot] = _cut(blobs, data)

    def forget(self, arena: int, slot: int) -> None:
        """Forget the encoded form of a slot that is about to be filled again."""
        self.kept.get(arena, {}).pop(slot, None)


class CodecStream:
    """The chunks of one output with one encoding, for `users` transfers."""

    def __init__(self, coding: CodecPipeline, choice: CodecSelection) -> None:
        self.users = 0
        self._coding = coding
        self._choice = choice
        self._newest: dict[int, CodedChunk] = {}
        self._waiting: dict[int, list[Callable[[CodedChunk], None]]] = {}

    def encode(self, number: int, packet: Data, memory: memoryview, then: Callable[[CodedChunk], None]) -> None:
        """Encode a chunk, and call `then` with it, perhaps at once.

        Args:
            packet: the chunk's packet or, when that lies in the slot too, the LongPacket.
            memory: the used bytes of the slot.
        """
        if number in self._newest:
            then(self._newest[number])
            return
        self._waiting.setdefault(number, []).append(then)
        if len(self._waiting[number]) == 1:
            kept = self._coding.kept
            work = partial(_encode, self._choice, kept, packet, memory)
            self._coding.pool.submit(len(memory), work, partial(self._encoded, number))

    def _encoded(self, number: int, coded: CodedChunk | ChunkError) -> None:
        assert isinstance(coded, CodedChunk)  # what can't be encoded is sent raw
        again = coded._replace(fresh=0)
        for index, then in enumerate(self._waiting.pop(number)):
            then(again if index else coded)
        if self.users > 1:
            self._newest[number] = again
            while len(self._newest) > SHARED:
                del self._newest[next(iter(self._newest))]


def _use_each() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    for codec in CODECS.values():
        content = picture if codec.refusal(picture) is None else bytes(picture)
        encoded = codec.encode(content)
        codec.decode(encoded.parameters, encoded.data, memoryview(bytearray(picture.nbytes)))


def _encode(
    choice: CodecSelection, kept: dict[int, dict[int, CodedChunk]], packet: Data, memory: memoryview
) -> CodedChunk:
    try:
        message = packets.decode(packet)
        sources = list(_sources(message, memory))
        if isinstance(message, packets.Chunk | packets.LongPacket):
            came_as = kept.get(message.arena, {}).get(message.slot)
            if came_as is not None and (coded := _as_it_came(came_as, sources)) is not None:
                return coded
        encoded = [choice.encode(source.record, source.content_type, source.content) for source in sources]
    except ChunkError:  # a record that no codec takes
        whole = RawCodec().encode(memory)
        return CodedChunk((BlobHeader(0, len(memory), whole.codec, whole.parameters, len(memory)),), (whole.data,))
    blobs = tuple(
        BlobHeader(source.offset, source.size, one.codec, one.parameters, len(one.data))
        for source, one in zip(sources, encoded, strict=True)
    )
    return CodedChunk(blobs, tuple(one.data for one in encoded), sum(one.codec != RawCodec.number for one in encoded))


def _as_it_came(coded: CodedChunk, sources: list[SlotSource]) -> CodedChunk | None:
    there = {(blob.offset, blob.size): (blob, part) for blob, part in zip(coded.blobs, coded.parts, strict=True)}
    found = [there.get((source.offset, source.size)) for source in sources]
    chosen = [one for one in found if one is not None]
    if len(chosen) < len(found):
        return None
    return CodedChunk(tuple(blob for blob, _ in chosen), tuple(part for _, part in chosen))


def _sources(message: packets.Packet, memory: memoryview) -> Iterator[SlotSource]:
    """The blobs of a chunk in a slot."""
    if isinstance(message, packets.LongPacket):
        long = memory[message.offset : message.offset + message.size]
        yield SlotSource(message.offset, message.size, ("", 0), "other", long)
        message = packets.decode(long)
    if not isinstance(message, packets.Chunk):
        raise ChunkError("a packet in a slot is no chunk")
    for row in message.records if message.size else ():
        name, code, form, value = row
        content_type = CONTENT_TYPES[code]
        if form == values.ARRAY:
            array = values.unpack([row], memory)[name][0]
            if array.nbytes:
                yield SlotSource(value[2], array.nbytes, (name, 0), content_type, array)
        elif form == values.ARRAYS:
            of_each = "image" if content_type == "images" else content_type
            for index, (header, array) in enumerate(zip(value, values.unpack([row], memory)[name][0], strict=True)):
                if array.nbytes:
                    yield SlotSource(header[2], array.nbytes, (name, index), of_each, array)
        elif form in (values.BYTES, values.PICKLE):
            spans = [value] if form == values.BYTES else value[1]
            for index, span in enumerate(spans):
                if type(span) is not bytes and span[1]:
                    offset, size = span
                    yield SlotSource(offset, size, (name, index), content_type, memory[offset : offset + size])


def decode_into(blobs: Sequence[BlobHeader], data: Data, memory: memoryview) -> None:
    """Decode blobs into a slot.

    Raises:
        ChunkError: the data is damaged.
    """
    begin, data = 0, memoryview(data)
    for blob in blobs:
        target = memory[blob.offset : blob.offset + blob.size]
        decode(blob.codec, blob.parameters, data[begin : begin + blob.length], target)
        begin += blob.length


def _cut(blobs: tuple[BlobHeader, ...], data: Data) -> CodedChunk:
    """A received chunk in the form in which it can be forwarded."""
    parts, begin, data = [], 0, memoryview(data)
    for blob in blobs:
        parts.append(data[begin : begin + blob.length])
        begin += blob.length
    return CodedChunk(blobs, tuple(parts))
