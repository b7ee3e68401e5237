"""The fields of MCAP's records: texts, maps, records in a row, compressed data. No length is believed."""

from __future__ import annotations

import struct
from collections.abc import Iterator

RECORD_HEAD = struct.Struct("<BQ")  # opcode, length
_LARGEST_INFLATED = 64 << 20  # bytes: compressed chunks are read up to here; those written here are not compressed


def split_records(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The opcode and body of each record in a row of them, as far as they are whole."""
    at = 0
    while at + RECORD_HEAD.size <= len(data):
        opcode, length = RECORD_HEAD.unpack_from(data, at)
        at += RECORD_HEAD.size
        if length > len(data) - at:
            return
        yield opcode, data[at : at + length]
        at += length


def read_metadata(body: memoryview) -> tuple[str, dict[str, str]] | None:
    """The name and the fields of a Metadata record; None if it is damaged."""
    try:
        name, at = read_text(body, 0)
        if read_u32(body, at) != len(body) - at - 4:
            return None
        at += 4
        fields = {}
        while at < len(body):
            key, at = read_text(body, at)
            fields[key], at = read_text(body, at)
    except (ValueError, struct.error):
        return None
    return name, fields


def read_text(body: memoryview, at: int) -> tuple[str, int]:
    """A text with its length before it, and where the next field begins; a ValueError if it is none."""
    length = read_u32(body, at)
    if length > len(body) - at - 4:
        raise ValueError
    return bytes(body[at + 4 : at + 4 + length]).decode(), at + 4 + length


def read_u32(body: memoryview, at: int) -> int:
    """The little-endian integer there; a struct.error behind the end."""
    return int(struct.unpack_from("<I", body, at)[0])


def inflate(compression: str, data: memoryview, size: int) -> memoryview | None:
    """The decompressed data; None if it is damaged, longer than is read, or of an unknown kind."""
    if compression != "zstd" or size > _LARGEST_INFLATED:
        return None
    import zstandard

    try:
        if zstandard.frame_content_size(data) not in (-1, size):
            return None
        inflated = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError:
        return None
    return memoryview(inflated) if len(inflated) == size else None
