"""Recovery: a whole file beside the damaged one, which readers then take."""

from __future__ import annotations

from pathlib import Path

from flowmesh.recording import SessionReader, recover
from flowmesh.recording.session import SessionFolder, segments

from .sessions import camera_chunks, write_session


def test_a_cut_file_is_saved_beside_it(tmp_path: Path) -> None:
    folder = write_session(tmp_path, camera_chunks())
    [file] = segments(folder / "local")
    content = file.read_bytes()
    cut = content[: len(content) * 2 // 3]
    file.write_bytes(cut)
    before = list(SessionReader(folder).stored())
    assert not SessionReader(folder).whole

    [saved] = recover(folder)
    assert (saved.source, saved.cut, saved.chunks) == (file, True, len(before))
    assert file.read_bytes() == cut
    assert segments(folder / "local") == [saved.path]
    reader = SessionReader(folder, trust=True)
    assert reader.whole
    assert list(reader.stored()) == before
    assert [mark.text for mark in reader.marks()] == ["stimulus on"]
    [totals] = reader.totals()
    assert totals.chunks == len(before) == len(list(reader.chunks()))
    assert recover(folder) == []


def test_a_damaged_file_loses_one_mcap_chunk(tmp_path: Path) -> None:
    folder = write_session(tmp_path, camera_chunks())
    [file] = segments(folder / "local")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)
    [saved] = recover(folder)
    assert (saved.cut, saved.damaged) == (False, 1)
    assert 49 <= saved.chunks < 59
    [totals] = saved.totals
    assert totals.chunks + totals.missing_count == totals.last - totals.first + 1


def test_a_whole_session_is_left_alone(tmp_path: Path) -> None:
    folder = write_session(tmp_path, camera_chunks(5))
    assert recover(folder) == []
    assert [path.name for path in sorted(SessionFolder(folder).part("local").iterdir())] == ["0001.mcap"]
