"""Recorder and Player in real graphs: what is recorded is what was sent, and played again it drives the same graph."""

from __future__ import annotations

import pickle
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowmesh as fm
from flowmesh.errors import GraphError
from flowmesh.nodes import TestPattern
from flowmesh.recording import Audio, Exact, Player, Recorder, SessionReader, Video
from flowmesh.recording.session import segments

from .conftest import Site
from .sessions import pictures

COUNT = 40


class Mixed(fm.Node):
    """A source of a picture, an array, sound and values."""

    count = COUNT
    extra: Any = None

    def setup(self) -> None:
        distinct = pictures(min(self.count, COUNT) + 1)[1:]
        self.frames = islice(cycle(distinct), self.count)
        self.number = 0

    def step(self) -> fm.DataChunk:
        frame = next(self.frames, None)
        if frame is None:
            raise fm.EndOfStream
        self.number += 1
        chunk = fm.DataChunk()
        chunk.add("frame", frame, "image")
        chunk.add("mask", frame[:, :, 0] > 100, "array")
        chunk.add("sound", np.full((800, 2), self.number, np.int16), "other")
        chunk.add("count", {"n": self.number, "third": self.number / 3})
        if self.extra is not None:
            chunk.add("extra", self.extra)
        return chunk


class Keep(fm.Node):
    """A sink that leaves the chunks that it got, with their number and time, in a file."""

    path = ""

    def setup(self) -> None:
        self.kept: list[Any] = []

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        for sender, chunk in data.items():
            records = {
                name: (np.array(value) if isinstance(value, np.ndarray) else value, kind)
                for name, value, kind in chunk.records()
            }
            self.kept.append((sender, chunk.number, chunk.created, records))

    def teardown(self) -> None:
        Path(self.path).write_bytes(pickle.dumps(self.kept))


def kept(path: Path) -> list[Any]:
    return list(pickle.loads(path.read_bytes()))


def record(site: Site, tmp_path: Path, source: Mixed | None = None, **options: Any) -> tuple[Path, list[Any]]:
    """Record a source; the session's folder, and what another sink got."""
    graph = fm.Graph()
    source = source or Mixed("camera")
    graph.add_edge(source, Keep("sink", path=str(tmp_path / "sent")))
    graph.add_edge(
        source, Recorder("recorder", to=tmp_path / "sessions", session="trial", reserve=0, **options), depth=8
    )
    site.run(graph)
    [folder] = (tmp_path / "sessions").iterdir()
    return folder, kept(tmp_path / "sent")


HOW = {"camera/frame": Video(), "camera/sound": Audio(8000)}


def test_what_is_recorded_is_what_was_sent_and_it_plays_again(site: Site, tmp_path: Path) -> None:
    folder, sent = record(site, tmp_path, how=HOW)
    reader = SessionReader(folder)
    recorded = list(reader.chunks())
    assert [one.number for one in recorded] == [number for _, number, _, _ in sent] == list(range(1, COUNT + 1))
    assert [one.created_ns for one in recorded] == [created for _, _, created, _ in sent]
    for one, (_, number, _, records) in zip(recorded, sent, strict=True):
        assert TestPattern.read_number(one.chunk.get("frame")["value"]) == number
        assert np.array_equal(one.chunk.get("mask")["value"], records["mask"][0])
        assert np.array_equal(one.chunk.get("sound")["value"], records["sound"][0])
        assert one.chunk.get("count")["value"] == records["count"][0]
    assert reader.whole
    assert reader.manifest is not None
    assert reader.manifest.state == "closed"
    assert [one.chunks for one in reader.manifest.totals] == [COUNT]

    graph = fm.Graph()
    graph.add_edge(Player("camera", folder, speed=0), Keep("sink", path=str(tmp_path / "played")))
    site.run(graph)
    played = kept(tmp_path / "played")
    assert [number for _, number, _, _ in played] == list(range(1, COUNT + 1))
    for (_, _, _, records), one in zip(played, recorded, strict=True):
        assert records.keys() == set(one.chunk)
        for name, value, content_type in one.chunk.records():
            assert records[name][1] == content_type
            assert np.array_equal(records[name][0], value)


def test_a_live_recording_is_cut_by_begin_and_end_and_marked(site: Site, tmp_path: Path) -> None:
    graph = fm.Graph()
    source = Mixed("camera", count=100_000, rate=200.0)
    graph.add_edge(source, Recorder("recorder", to=tmp_path, reserve=0, start=False, only=["count"]), depth=8)
    manager = site.commit(graph)
    manager.start()
    assert not manager.wait(0.2)
    manager.request_registered_method("recorder", "begin")
    manager.request_registered_method("recorder", "mark", text="stimulus on")
    while not manager.request_registered_method("recorder", "info")["totals"]:
        pass
    manager.request_registered_method("recorder", "end")
    manager.reset()
    [folder] = tmp_path.iterdir()
    reader = SessionReader(folder)
    [totals] = reader.totals()
    assert totals.first > 1
    assert totals.chunks + totals.missing_count == totals.last - totals.first + 1
    assert [mark.text for mark in reader.marks()] == ["stimulus on"]
    assert [list(one.chunk) for one in reader.chunks()] == [["count"]] * totals.chunks


def test_segments_begin_with_key_frames(site: Site, tmp_path: Path) -> None:
    source = Mixed("camera", count=150, rate=200.0)
    folder, _ = record(site, tmp_path, source, how={"camera/mask": Exact(), "camera/frame": Video()}, segment=100_000)
    files = segments(folder / "recorder")
    assert len(files) > 1
    for file in files:
        first = next(iter(SessionReader(file).chunks()))
        assert first.stamp.records[0].since_key == 0
    assert [one.number for one in SessionReader(folder).chunks()] == list(range(1, 151))


def test_a_player_of_a_gap_numbers_anew_and_says_so(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from .sessions import BEGIN, Sent, write_session

    chunks = [Sent("camera", n, BEGIN + n * 1000, {"value": (n, "other")}) for n in (1, 2, 5)]
    folder = write_session(tmp_path, chunks)
    graph = fm.Graph()
    graph.add_edge(Player("replay", folder, node="camera", speed=0), Keep("sink", path=str(tmp_path / "played")))
    site.run(graph)
    assert [(number, records["value"][0]) for _, number, _, records in kept(tmp_path / "played")] == [
        (1, 1), (2, 2), (3, 5)
    ]  # fmt: skip
    assert "lacks 2 chunks" in caplog.text


def test_a_player_keeps_the_recorded_pace(site: Site, tmp_path: Path) -> None:
    from .sessions import BEGIN, Sent, write_session

    chunks = [Sent("camera", n, BEGIN + n * 20_000_000, {"value": (n, "other")}) for n in range(1, 26)]
    folder = write_session(tmp_path, chunks)
    graph = fm.Graph()
    graph.add_edge(Player("camera", folder, speed=2.0, loop=False), Arrivals("sink", path=str(tmp_path / "times")))
    site.run(graph)
    times = pickle.loads((tmp_path / "times").read_bytes())
    assert len(times) == 25
    assert times[-1] - times[0] >= 24 * 0.01 - 0.005


class Arrivals(fm.Node):
    """Notes when its chunks came."""

    path = ""

    def setup(self) -> None:
        self.times: list[float] = []

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        import time

        self.times.append(time.monotonic())

    def teardown(self) -> None:
        Path(self.path).write_bytes(pickle.dumps(self.times))


def test_a_loop_goes_on_with_later_times(tmp_path: Path) -> None:
    from .sessions import BEGIN, Sent, write_session

    folder = write_session(tmp_path, [Sent("a", n, BEGIN + n * 1000, {"value": (n, "other")}) for n in (1, 2, 3)])
    player = Player("a", folder, speed=0, loop=True, shift_ns=7)
    player.setup()
    played = [player.step() for _ in range(8)]
    values = [chunk.get("value")["value"] for chunk in played if chunk is not None]
    assert values == [1, 2, 3, 1, 2, 3, 1, 2]
    times = [chunk.created for chunk in played if chunk is not None]
    assert times == sorted(set(times))
    player.teardown()


def test_an_odd_value_is_recorded_as_a_pickle_and_read_with_trust(site: Site, tmp_path: Path) -> None:
    graph = fm.Graph()
    source = Mixed("camera", count=3, extra=(1, {2, 3}))
    graph.add_edge(source, Recorder("recorder", to=tmp_path, reserve=0))
    site.run(graph)
    [folder] = tmp_path.iterdir()
    assert [one.chunk.get("extra")["value"] for one in SessionReader(folder, trust=True).chunks()] == [(1, {2, 3})] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_full": "stop"},
        {"reserve": "two"},
        {"segment": -1},
        {"duration": 0},
        {"how": {"camera/frame": "jpeg"}},
        {"only": "frame"},
        {"session": ""},
        {"colour": 1},
    ],
)
def test_an_option_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(GraphError):
        Recorder("recorder", **wrong)


@pytest.mark.parametrize("wrong", [{"speed": -1}, {"begin": "x"}, {"speed": float("nan")}, {"colour": 1}])
def test_a_player_s_option_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(GraphError):
        Player("player", "session", **wrong)


def test_a_player_of_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    from .sessions import BEGIN, Sent, write_session

    folder = write_session(tmp_path, [Sent("a", 1, BEGIN, {"value": (1, "other")})])
    with pytest.raises(fm.FlowmeshError, match=r"no stream of 'b'; it has: a"):
        Player("b", folder).setup()


def test_a_worker_elsewhere_records_below_its_own_folder_and_never_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flowmesh.recording.recorder import local_folder
    from flowmesh.recording.session import SessionFolder

    here = SessionFolder.create(tmp_path / "manager", "trial").folder
    assert local_folder(here) == here
    monkeypatch.setenv("FLOWMESH_RECORDINGS", str(tmp_path / "mine"))
    assert local_folder(Path("/elsewhere/trial-1")) == tmp_path / "mine" / "trial-1"
    assert local_folder(Path("/elsewhere/..")).parent == tmp_path / "mine"
    recorder = Recorder("recorder", folder="/elsewhere/trial-1", part="lab", reserve=0)
    recorder.setup()
    recorder.teardown()
    assert {path.name for path in (tmp_path / "mine" / "trial-1" / "lab").iterdir()} == {"0001.mcap", "totals.json"}
