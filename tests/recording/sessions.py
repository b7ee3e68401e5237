"""Sessions to test with: every kind of record, with the number burnt into each picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flowmesh.nodes import TestPattern
from flowmesh.recording.encoding import RecordEncoder
from flowmesh.recording.options import Audio, Exact, Option, Raw, Video
from flowmesh.recording.schemas import ChunkStamp
from flowmesh.recording.session import SessionFolder
from flowmesh.recording.writer import SessionWriter

BEGIN = 1_780_000_000_000_000_000  # ns
OFFSET, BOUND = 1_500_001, 40_003  # ns
GAP = 31  # the chunk of the camera that was dropped on purpose
HOW: dict[str, Option] = {
    "camera/film": Video(key=0.5),
    "camera/plain": Raw(),
    "camera/sound": Audio(48_000),
    "camera/bits": Exact(),
}
LOSSY = ("film", "still")

Records = dict[str, tuple[Any, str]]


class Sent(NamedTuple):
    """A chunk as it was recorded."""

    node: str
    number: int
    created_ns: int
    records: Records


class Odd:
    """A value that only a pickle can hold."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and other.number == self.number

    __hash__ = None  # type: ignore[assignment]


def pictures(count: int, width: int = 160, height: int = 128) -> list[np.ndarray]:
    """Pictures of different content that bear their number."""
    pattern = TestPattern("pattern", width=width, height=height)
    pattern.setup()
    return [pattern.step().get("frame")["value"] for _ in range(count)]


def camera_chunks(count: int = 60, gap: int = GAP) -> list[Sent]:
    """Chunks that hold every kind of record; the times vary, and one number is missing."""
    random = np.random.default_rng(0)
    time, sent = BEGIN, []
    for number, picture in enumerate(pictures(count + 1), 0):
        time += 33_333_333 + number * 7919 % 5_000_000
        if number in (0, gap):
            continue
        depth = random.integers(0, 5000, (12, 16)).astype(np.uint16)
        alpha = np.dstack([picture[::4, ::4], np.full(picture[::4, ::4].shape[:2], number % 256, np.uint8)])
        records: Records = {
            "film": (picture, "image"),
            "still": (picture[:80, :64], "image"),
            "plain": (picture[::8, ::8].copy(), "image"),
            "bits": (picture[::2, ::2].copy(), "image"),
            "depth": (depth, "image"),
            "ratio": (depth.astype(np.float32) / 7, "image"),
            "alpha": (alpha, "image"),
            "sound": ((np.sin(np.arange(1600) / 20 + number) * 10_000).astype(np.int16)[:, None], "other"),
            "boxes": (random.random((number % 3, 4)), "array"),
            "fortran": (np.asfortranarray(random.random((5, 7))), "array"),
            "views": ([picture[::9, ::9].copy(), depth], "images"),
            "label": (f"größe/{number}", "text"),
            "value": ({"n": number, "score": number / 7, "none": None, "list": [1, "two", False]}, "other"),
            "blob": (bytes([number % 256]) * number, "bytes"),
            "big": (2**60 + number, "other"),
            "odd/name%": ((number, Odd(number)), "other"),
        }
        sent.append(Sent("camera", number, time, records))
    return sent


def write_session(to: Path, chunks: list[Sent], name: str = "trial", segment: int = 1 << 30, **options: Any) -> Path:
    """The session's folder, written as the recorder writes it."""
    session = SessionFolder.create(to, name)
    writer = SessionWriter(session.part("local"), segment, reserve=0, **options)
    writer.write_mark(chunks[0].created_ns + OFFSET, "stimulus on")
    write_chunks(writer, chunks)
    writer.close()
    return session.folder


def write_chunks(writer: SessionWriter, chunks: list[Sent], flush_every: int = 10) -> None:
    encoders: dict[tuple[str, str], RecordEncoder] = {}
    for count, sent in enumerate(chunks, 1):
        begins_anew = writer.is_full_segment
        if begins_anew:
            writer.next_segment()
        stamp = ChunkStamp(
            sent.number, trigger=sent.number, last=True, run=1, epoch=1, offset_ns=OFFSET, bound_ns=BOUND,
            origin={sent.node: (sent.number, sent.created_ns + OFFSET)},
        )  # fmt: skip
        messages = []
        for record, (value, content_type) in sent.records.items():
            key = sent.node, record
            if key not in encoders:
                encoders[key] = RecordEncoder(*key, HOW.get(f"{sent.node}/{record}"))
            encoded = encoders[key].encode(value, content_type, sent.created_ns + OFFSET, begins_anew)
            assert not encoded.fallback
            stamp.records.append(encoded.entry)
            messages.append(encoded.data)
        writer.write_chunk(sent.node, sent.created_ns, stamp, messages)
        if count % flush_every == 0:
            writer.flush()
