"""The reader: every kind of record comes back as it was; cut, damaged and hostile files cost what they must, and no more."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from flowmesh.chunk import same
from flowmesh.errors import FlowmeshError, PickleRefused
from flowmesh.nodes import TestPattern
from flowmesh.recording.reader import RecordedChunk, SessionReader
from flowmesh.recording.schemas import ChunkStamp, StampRecord, encode_stamp, record_key, stamp_key
from flowmesh.recording.session import SessionFolder, segments
from flowmesh.recording.writer import SegmentFile

from .sessions import BEGIN, BOUND, GAP, LOSSY, OFFSET, Sent, camera_chunks, pictures, write_session


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    return camera_chunks()


@pytest.fixture(scope="module")
def folder(sent: list[Sent], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("sessions"), sent)


@pytest.fixture(scope="module")
def content(folder: Path) -> bytes:
    return file_of(folder).read_bytes()


def file_of(folder: Path) -> Path:
    [part] = SessionFolder(folder).parts()
    [file] = segments(part)
    return file


def assert_same(recorded: RecordedChunk, sent: Sent) -> None:
    assert (recorded.number, recorded.created_ns, recorded.time_ns) == (
        sent.number,
        sent.created_ns,
        sent.created_ns + OFFSET,
    )
    assert list(recorded.chunk) == list(sent.records)
    for name, value, content_type in recorded.chunk.records():
        expected, expected_type = sent.records[name]
        assert content_type == expected_type
        if name in LOSSY:
            assert value.shape == expected.shape
            assert np.abs(value.astype(int) - expected).mean() < 6
        else:
            assert same(value, expected), name
    assert TestPattern.read_number(recorded.chunk.get("film")["value"]) == sent.number


def test_every_kind_of_record_reads_back(folder: Path, sent: list[Sent]) -> None:
    reader = SessionReader(folder, trust=True)
    recorded = list(reader.chunks())
    assert len(recorded) == len(sent)
    for one, expected in zip(recorded, sent, strict=True):
        assert_same(one, expected)
    assert not reader.skipped
    assert recorded[0].stamp.bound_ns == BOUND
    assert recorded[0].stamp.origin == {"camera": (1, sent[0].created_ns + OFFSET)}


def test_the_totals_tell_what_is_missing(folder: Path) -> None:
    [totals] = SessionReader(folder).totals()
    assert (totals.first, totals.last, totals.chunks, totals.missing) == (1, 60, 59, [(GAP, GAP)])
    assert totals.chunks + totals.missing_count == totals.last - totals.first + 1


def test_marks_and_manifest_are_there(folder: Path, sent: list[Sent]) -> None:
    reader = SessionReader(folder)
    assert [(mark.time_ns, mark.text) for mark in reader.marks()] == [(sent[0].created_ns + OFFSET, "stimulus on")]
    assert reader.whole
    assert reader.manifest is not None
    assert reader.manifest.id == folder.name


def test_a_pickle_is_not_opened_without_trust(folder: Path) -> None:
    with pytest.raises(PickleRefused, match=r"odd/name%.*trust=True"):
        list(SessionReader(folder).chunks())


def test_a_part_of_the_time_begins_in_the_midst_of_a_group_of_pictures(folder: Path, sent: list[Sent]) -> None:
    begin, end = sent[23].created_ns + OFFSET, sent[40].created_ns + OFFSET
    recorded = list(SessionReader(folder, trust=True).chunks(begin_ns=begin, end_ns=end))
    for one, expected in zip(recorded, sent[23:40], strict=True):
        assert_same(one, expected)


def test_only_the_nodes_that_are_asked_for_are_given(tmp_path: Path) -> None:
    both = [Sent(node, n, BEGIN + n * 1000 + (node == "b"), {"x": (n, "other")}) for n in range(1, 50) for node in "ab"]
    folder = write_session(tmp_path, both)
    assert [one.number for one in SessionReader(folder).chunks(["b"])] == list(range(1, 50))
    assert [one.node for one in SessionReader(folder).chunks()] == ["a", "b"] * 49


def test_several_files_read_as_one_and_each_begins_with_a_key_frame(tmp_path: Path, sent: list[Sent]) -> None:
    folder = write_session(tmp_path, sent, segment=400_000)
    [part] = SessionFolder(folder).parts()
    files = segments(part)
    assert len(files) > 2
    assert [one.number for one in SessionReader(folder, trust=True).chunks()] == [one.number for one in sent]
    last = list(SessionReader(files[-1], trust=True).chunks())
    assert_same(last[0], sent[-len(last)])
    [totals] = SessionReader(folder).totals()
    assert totals.chunks == len(sent)


# --- cut, damaged, hostile -------------------------------------------------------------------------------------------


def read_all(path: Path) -> tuple[SessionReader, list[RecordedChunk]]:
    reader = SessionReader(path, trust=True)
    return reader, list(reader.chunks())


def test_of_a_file_that_was_cut_all_whole_chunks_are_read(content: bytes, sent: list[Sent], tmp_path: Path) -> None:
    path = tmp_path / "0001.mcap"
    counts = []
    for place in range(50):
        length = 8 + (len(content) - 9) * place // 49
        path.write_bytes(content[:length])
        reader, recorded = read_all(path)
        counts.append(len(recorded))
        for one, expected in zip(recorded, sent, strict=False):
            assert_same(one, expected)
        assert not reader.whole
        for totals in reader.totals():
            assert totals.chunks + totals.missing_count == totals.last - totals.first + 1
            assert totals.chunks == len(recorded)
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] == len(sent)


def test_a_flipped_bit_costs_no_more_than_its_mcap_chunk(content: bytes, sent: list[Sent], tmp_path: Path) -> None:
    path, dice = tmp_path / "0001.mcap", random.Random(4)
    by_number = {one.number: one for one in sent}
    lost = []
    for _ in range(200):
        damaged = bytearray(content)
        damaged[dice.randrange(8, len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        reader, recorded = read_all(path)
        lost.append(len(sent) - len(recorded))
        for one in recorded:
            assert_same(one, by_number[one.number])
        assert (not lost[-1]) or reader.reports[path].damaged or not reader.whole
    # Ten chunks lie between two flushes; H.264 needs its key frame, each half second.
    assert max(lost) <= 10 + 15
    assert sorted(lost)[100] <= 25


def test_what_is_no_session_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlowmeshError, match="no session"):
        SessionReader(tmp_path / "nothing")
    (tmp_path / "text.mcap").write_bytes(b"this is some text, no MCAP file")
    with pytest.raises(FlowmeshError, match="no MCAP file"):
        list(SessionReader(tmp_path / "text.mcap").chunks())


def rebuilt(content: bytes, change: bytes, to: bytes) -> bytes:
    """The file with some bytes changed in each chunk, and the checksums mended: what an attacker writes."""
    changed, at = bytearray(content), 8
    while at + 9 <= len(content):
        opcode, length = struct.unpack_from("<BQ", content, at)
        body = at + 9
        if opcode == 6:
            data = content[body + 40 : body + length].replace(change, to)
            changed[body + 40 : body + length] = data
            struct.pack_into("<I", changed, body + 24, zlib.crc32(data))
        at = body + length
    return bytes(changed)


HOSTILE = [
    (b'"shape":[128,160,3]', b'"shape":[9e18,16,3]'),
    (b'"shape":[128,160,3]', b'"shape":[60000,10] '),
    (b'"shape":[80,64,3]', b'"shape":[81,64,3]'),
    (b'"shape":[80,64,3]', b'"shape":[-1,64,3]'),
    (b'"form":"h264"', b'"form":"jpeg"'),
    (b'"form":"jpeg"', b'"form":"h264"'),
    (b'"form":"json"', b'"form":"cake"'),
    (b'"form":"array"', b'"form":"audio"'),
    (b'"type":"image"', b'"type":"imago"'),
    (b'"name":"film"', b'"name":"fill"'),
    (b'"n":', b'"m":'),
    (b'{"value":', b'{"walue":'),
    (b"<u2", b"|O8"),
    (b"<u2", b"<u8"),
    (b"bgr8", b"bgrX"),
    (b"pcm-s16", b"pcm-s61"),
    (b"\xff\xd8", b"\xff\xd9"),
]


@pytest.mark.parametrize(("change", "to"), HOSTILE, ids=lambda part: part.decode("latin-1"))
def test_a_file_that_lies_is_skipped_chunk_by_chunk(content: bytes, change: bytes, to: bytes, tmp_path: Path) -> None:
    assert len(change) == len(to)
    hostile = rebuilt(content, change, to)
    assert hostile != content
    path = tmp_path / "0001.mcap"
    path.write_bytes(hostile)
    reader, recorded = read_all(path)
    assert not recorded
    assert reader.skipped.total() == 59
    assert not reader.reports[path].damaged


def test_a_deep_json_does_no_harm(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "0001.mcap"
    path.write_bytes(rebuilt(content, b'{"value":{"n"', b'{"value":[[[['))
    reader, recorded = read_all(path)
    assert not recorded
    assert reader.skipped.total() == 59


def test_a_length_that_lies_takes_no_memory(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "0001.mcap"
    for claimed in (1 << 62, 1 << 40, len(content), (1 << 64) - 1):
        path.write_bytes(content[:8] + struct.pack("<BQ", 6, claimed) + content[8:])
        _, recorded = read_all(path)
        assert len(recorded) == 59


def test_pictures_of_a_changing_size_read_back(tmp_path: Path) -> None:
    sizes = [(160, 128), (160, 128), (131, 129), (131, 129), (160, 128)]
    frames = [pictures(n + 1, *size)[n] for n, size in enumerate(sizes, 1)]
    sent = [Sent("camera", n, BEGIN + n * 10**6, {"film": (frame, "image")}) for n, frame in enumerate(frames, 1)]
    recorded = list(SessionReader(write_session(tmp_path, sent)).chunks())
    for one, expected in zip(recorded, frames, strict=True):
        film = one.chunk.get("film")["value"]
        assert film.shape == expected.shape
        assert np.abs(film.astype(int) - expected).mean() < 6
    assert [one.stamp.records[0].since_key for one in recorded] == [0, 1, 0, 1, 0]


def test_a_stamp_does_not_take_the_records_of_another_chunk(tmp_path: Path) -> None:
    path = tmp_path / "0001.mcap"
    file = SegmentFile(path)
    entry = StampRecord("x", "other", "json")
    file.add(record_key("a", "x", "json"), b'{"value":1}', 1000, 1000, 1)  # its stamp was lost, and the next record
    file.add(stamp_key("a"), encode_stamp(ChunkStamp(2, records=[entry])), 2000, 2000, 2)
    file.add(record_key("a", "x", "json"), b'{"value":3}', 3000, 3000, 3)
    file.add(stamp_key("a"), encode_stamp(ChunkStamp(3, records=[entry])), 3000, 3000, 3)
    file.finish({}, {})
    reader, recorded = read_all(path)
    assert [(one.number, one.chunk.get("x")["value"]) for one in recorded] == [(3, 3)]
    assert reader.skipped == {("a", "some of its records are damaged"): 1}
