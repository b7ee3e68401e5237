"""info, recover, export, compare: on real sessions, whole and cut, with the exit status that a script needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowmesh.cli.exit_codes import FAILED, INCOMPLETE, OK, USAGE
from flowmesh.cli.main import main
from flowmesh.recording.session import segments

from ..recording.sessions import BEGIN, Sent, camera_chunks, write_session
from .conftest import Ended


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("sessions"), camera_chunks())


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    made = write_session(tmp_path, camera_chunks())
    [file] = segments(made / "local")
    file.write_bytes(file.read_bytes()[:-3000])
    return made


def test_info_tells_what_is_there_and_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder)]) == OK
    told = capsys.readouterr().out
    assert "1 file" in told
    assert "whole" in told
    [row] = [line for line in told.splitlines() if line.startswith("camera")]
    assert row.split()[1] == "59"
    assert "±0.04 ms" in row
    assert "stimulus on" in told
    assert main(["info", str(folder), "--json"]) == OK
    found = json.loads(capsys.readouterr().out)
    assert found["streams"][0]["missing"] == [[31, 31]]
    assert set(found["records"]["camera"]) >= {"film", "sound", "odd/name%"}


def test_a_cut_session_ends_with_status_3(cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(cut)]) == INCOMPLETE
    assert "open: still being recorded, or cut" in capsys.readouterr().out
    assert main(["export", str(cut), "--csv", "-o", str(tmp_path / "out")]) == INCOMPLETE
    assert (tmp_path / "out" / "camera.csv").exists()
    assert main(["compare", str(cut), str(cut), "--trust"]) == INCOMPLETE
    capsys.readouterr()
    assert main(["recover", str(cut)]) == OK
    assert "59 chunks saved in 0001.recovered.mcap" in capsys.readouterr().out
    assert main(["info", str(cut)]) == OK
    assert main(["recover", str(cut)]) == OK
    assert "all files are whole" in capsys.readouterr().out


def test_compare_tells_differences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (
        write_session(tmp_path, [Sent("meter", n, BEGIN + n, {"value": (n * factor, "other")}) for n in (0 + 1, 2)])
        for factor in (1, 1.5)
    )
    assert main(["compare", str(a), str(a)]) == OK
    assert main(["compare", str(a), str(b)]) == FAILED
    assert "meter 2: value differs: 2 and 3.0" in capsys.readouterr().out


def test_wrong_usage(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(folder)]) == USAGE
    assert "--mp4" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "nothing")]) == FAILED
    assert "no session" in capsys.readouterr().err
    assert main(["compare", str(folder), str(folder), "--tolerance", "-1"]) == USAGE


def test_export_lists_what_it_wrote(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(folder), "--mp4", "--wav", "-o", str(tmp_path / "out"), "--only", "camera"]) == OK
    told = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert told == ["camera-film.mp4", "camera-sound.wav"]


GRAPH = """
import flowmesh as fm

class Count(fm.Node):
    last = 40
    def setup(self):
        self.number = 0
    def step(self):
        if self.number == self.last:
            raise fm.EndOfStream
        self.number += 1
        return self.number

class Double(fm.Node):
    def step(self, data):
        return 2 * data["count"].get("default")["value"]

class Sink(fm.Node):
    def step(self, data):
        pass

graph = fm.Graph()
count, double = Count("count"), Double("double")
graph.add_edge(count, double)
graph.add_edge(double, Sink("sink"))
"""


def test_record_replay_compare(flowmesh: Ended, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(GRAPH)
    first = flowmesh("record", "program.py", "--to", "sessions", "--name", "live", "--reserve", "1MiB", "-q")
    assert first.returncode == OK, first.stderr
    session = Path(first.stdout.strip())
    assert session.parent == tmp_path / "sessions"
    assert session.name.startswith("live-")
    told = flowmesh("info", str(session), "--json")
    assert told.returncode == OK
    assert {one["node"]: one["chunks"] for one in json.loads(told.stdout)["streams"]} == {"count": 40, "double": 40}

    played = flowmesh("replay", str(session), "program.py", "--speed", "0", "-q")
    assert (played.returncode, played.stdout) == (OK, ""), played.stderr
    second = flowmesh("record", "program.py", "--set", "count.last=30", "--stream", "count", "--reserve", "1MiB", "-q")
    other = second.stdout.strip()
    differing = flowmesh("compare", str(session), other, "--stream", "count")
    assert differing.returncode == FAILED
    assert "count 31: only the first session has it" in differing.stdout
    assert flowmesh("compare", str(session), str(session)).returncode == OK


def test_what_can_not_be_recorded_is_wrong_usage(flowmesh: Ended, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(GRAPH)
    ended = flowmesh("record", "program.py", "--stream", "ghost")
    assert ended.returncode == USAGE
    assert "no node 'ghost'" in ended.stderr
    missing = flowmesh("replay", "nowhere", "program.py")
    assert missing.returncode == FAILED
    assert "no session" in missing.stderr
