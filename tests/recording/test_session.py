"""The session's folder: names lead nowhere else, and `session.json` is whole at any time."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowmesh.errors import FlowmeshError
from flowmesh.recording.session import EventLog, Manifest, SessionFolder, StreamTotals, new_id, safe_name, segments


def test_a_session_is_a_new_folder_each_time(tmp_path: Path) -> None:
    one, other = SessionFolder.create(tmp_path, "trial"), SessionFolder.create(tmp_path, "trial")
    assert one.folder != other.folder
    assert one.folder.name.startswith("trial-20")
    with pytest.raises(FlowmeshError, match="can't be made"):
        SessionFolder.create(tmp_path, "x", Manifest(one.folder.name, 0))


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "..", ".hidden", "a/b", "a\x00b", "grüße", "a" * 300, ""])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    safe = safe_name(name)
    assert (tmp_path / safe).resolve().parent == tmp_path.resolve()
    assert len(safe) <= 120
    assert not safe.startswith(".")
    assert SessionFolder(tmp_path).part(name).parent == tmp_path


def test_different_names_stay_different() -> None:
    assert safe_name("a b") != safe_name("a_b")
    assert safe_name("camera-1") == "camera-1"
    assert new_id("a") != new_id("a")


def test_the_manifest_reads_back_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    session = SessionFolder.create(tmp_path, "trial")
    manifest = Manifest("id", 5, state="closed", totals=[StreamTotals("camera", 1, 1, 9, 8, 100, [(4, 4)])])
    session.write_manifest(manifest)
    assert session.read_manifest() == manifest
    assert [path.name for path in session.folder.iterdir()] == ["session.json"]
    (session.folder / "session.json").write_bytes(b'{"id": 5}')
    with pytest.raises(FlowmeshError, match="damaged"):
        session.read_manifest()


def test_events_are_lines(tmp_path: Path) -> None:
    session = SessionFolder.create(tmp_path, "trial")
    log = EventLog(session)
    log.append("mark", text="on")
    log.append("state", state="running")
    log.close()
    lines = (session.folder / "events.jsonl").read_text().splitlines()
    assert ['"kind":"mark"' in lines[0], '"kind":"state"' in lines[1]] == [True, True]


def test_files_come_in_their_order_and_recovered_ones_first(tmp_path: Path) -> None:
    for name in ("0002.mcap", "0001.mcap", "0001.recovered.mcap", "10000.mcap", "notes.txt", ".0003.mcap.part"):
        (tmp_path / name).touch()
    assert [path.name for path in segments(tmp_path)] == ["0001.recovered.mcap", "0002.mcap", "10000.mcap"]
