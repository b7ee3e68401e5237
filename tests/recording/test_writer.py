"""The writer: the `mcap` library reads its files, the totals add up, and a full disk ends the recording whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from flowmesh.nodes import TestPattern
from flowmesh.recording.schemas import ChunkStamp, StampRecord
from flowmesh.recording.session import StreamTotals, segments
from flowmesh.recording.writer import DiskFullError, SessionWriter

from .sessions import BOUND, GAP, OFFSET, camera_chunks, write_session


def test_the_mcap_library_reads_what_was_written(tmp_path: Path) -> None:
    sent = camera_chunks()
    folder = write_session(tmp_path, sent, attachments={"graph.mmd": b"flowchart LR"})
    [file] = segments(folder / "local")
    by_number = {one.number: one for one in sent}
    seen: dict[str, list[int]] = {}
    decoder, film = DecoderFactory(), av.CodecContext.create("h264", "r")
    with file.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        for schema, channel, message in reader.iter_messages():
            if channel.topic.startswith("/flowmesh/"):
                continue
            one = by_number[message.sequence]
            assert (message.log_time, message.publish_time) == (one.created_ns + OFFSET, one.created_ns)
            seen.setdefault(channel.topic, []).append(message.sequence)
            decode = decoder.decoder_for(channel.message_encoding, schema)
            content: Any = decode(message.data) if decode is not None else None
            if content is not None:
                assert content.timestamp.seconds * 10**9 + content.timestamp.nanos == message.log_time
            if channel.topic == "/camera/film":
                [frame] = film.decode(av.Packet(content.data))
                assert TestPattern.read_number(frame.to_ndarray(format="bgr24")) == one.number
            elif channel.topic == "/camera/plain":
                value = one.records["plain"][0]
                assert (content.height, content.width, content.encoding) == (*value.shape[:2], "bgr8")
                assert hashlib.sha256(content.data).digest() == hashlib.sha256(value.tobytes()).digest()
            elif channel.topic == "/camera/sound":
                assert content.data == one.records["sound"][0].tobytes()
                assert (content.sample_rate, content.number_of_channels) == (48_000, 1)
            elif channel.topic == "/camera/depth":
                assert (content.dtype, list(content.shape), content.codec) == ("<u2", [12, 16], 2)
            elif channel.topic == "/camera/value":
                assert json.loads(message.data) == {"value": one.records["value"][0]}
            elif channel.topic == "/camera":
                stamp = json.loads(message.data)
                assert (stamp["n"], stamp["offset_ns"], stamp["bound_ns"]) == (one.number, OFFSET, BOUND)
                assert [entry["name"] for entry in stamp["records"]] == list(one.records)
        names = {"/camera", *(f"/camera/{name}" for name in sent[0].records if "/" not in name)}
        assert set(seen) == names | {"/camera/odd%2Fname%25"}
        assert all(numbers == [n for n in range(1, 61) if n != GAP] for numbers in seen.values())
        metadata = {one.name: one.metadata for one in reader.iter_metadata()}
        assert json.loads(metadata["flowmesh.totals"]["camera#1"])["missing"] == [[GAP, GAP]]
        assert [one.name for one in reader.iter_attachments()] == ["graph.mmd"]
        assert reader.get_header().profile == "flowmesh"


def test_totals_count_each_number_once() -> None:
    totals = StreamTotals("camera", 1)
    present = [3, 4, 7, 8, 20]
    for number in present:
        totals.reach(number)
        totals.chunks += 1
    assert totals.missing == [(5, 6), (9, 19)]
    assert totals.chunks + totals.missing_count == totals.last - totals.first + 1


def test_many_gaps_are_counted_and_not_listed() -> None:
    totals = StreamTotals("camera", 1)
    for number in range(1, 60_001, 2):
        totals.reach(number)
        totals.chunks += 1
    assert len(totals.missing) == 10_000
    assert totals.chunks + totals.missing_count == totals.last - totals.first + 1


def test_a_skipped_chunk_is_missing_for_a_reason(tmp_path: Path) -> None:
    writer = SessionWriter(tmp_path / "part", 1 << 30, reserve=0)
    write_number(writer, 1)
    writer.skip_chunk("camera", 1, 2, "failed")
    writer.skip_chunk("camera", 1, 3, "failed")
    write_number(writer, 6)
    [totals] = writer.totals
    assert (totals.missing, totals.not_recorded, totals.chunks) == ([(2, 5)], {"failed": 2}, 2)
    writer.close()


def write_number(writer: SessionWriter, number: int, size: int = 10) -> None:
    stamp = ChunkStamp(number, run=1, records=[StampRecord("value", "other", "json")])
    writer.write_chunk("camera", number * 1000, stamp, [b'{"value":"' + b"x" * size + b'"}'])


def write_all(writer: SessionWriter, numbers: Iterator[int]) -> None:
    for number in numbers:
        write_number(writer, number, 100_000)


def test_at_the_reserve_the_file_is_closed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SessionWriter(tmp_path / "part", 1 << 30, reserve=0)
    free = iter([20 << 20, 10 << 20, 2 << 20, *[0] * 1000])
    monkeypatch.setattr(writer, "free_bytes", lambda: next(free))
    numbers = iter(range(1, 1000))
    with pytest.raises(DiskFullError, match="reserve"):
        write_all(writer, numbers)
    written = next(numbers) - 2
    assert not writer.is_open
    assert 20 <= written * 0.1 <= 35
    with (tmp_path / "part" / "0001.mcap").open("rb") as stream:
        summary = make_reader(stream, validate_crcs=True).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == 2 * written
