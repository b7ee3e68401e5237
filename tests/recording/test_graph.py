"""Graph.record and Graph.replaying on a real Manager: recorded, a graph does what it did; replayed, it does it again."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowmesh as fm
from flowmesh.errors import GraphError
from flowmesh.recording import SessionReader, Video, compare
from flowmesh.recording.session import SessionFolder

from ..conftest import ROOT
from .conftest import DEADLINE, Site
from .sessions import pictures


class Count(fm.Node):
    """A source of 1, 2, 3, ... up to `until`."""

    until = 30

    def setup(self) -> None:
        self.value = 0

    def step(self) -> Any:
        if self.value == self.until:
            raise fm.EndOfStream
        self.value += 1
        return self.value


class Film(fm.Node):
    """A source of pictures."""

    until = 30

    def setup(self) -> None:
        self.frames = iter(pictures(self.until + 1)[1:])

    def step(self) -> fm.DataChunk:
        for frame in self.frames:
            chunk = fm.DataChunk()
            chunk.add("frame", frame, "image")
            return chunk
        raise fm.EndOfStream


class Odd(fm.Node):
    """A filter: lets each odd number through."""

    def step(self, data: dict[str, fm.DataChunk]) -> Any:
        (chunk,) = data.values()
        return chunk if chunk.get("default")["value"] % 2 else None


class Sum(fm.Node):
    """Adds up what came together."""

    def step(self, data: dict[str, fm.DataChunk]) -> Any:
        return sum(chunk.get("default")["value"] for chunk in data.values())


class Keep(fm.Node):
    """A sink that leaves the numbers and values that it got in a file, and passes them on as its own output."""

    path = ""

    def setup(self) -> None:
        self.kept: list[Any] = []

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        self.kept.append(
            {name: (chunk.number, [value_of(v) for _, v, _ in chunk.records()]) for name, chunk in data.items()}
        )

    def teardown(self) -> None:
        Path(self.path).write_bytes(pickle.dumps(self.kept))


def value_of(value: Any) -> Any:
    return value.tobytes() if isinstance(value, np.ndarray) else value


def diamond(path: Path) -> fm.Graph:
    graph = fm.Graph()
    source, left, right = Count("source"), Odd("odd"), Sum("same")
    graph.add_edge(source, left)
    graph.add_edge(source, right)
    both = Sum("both", join="zip")
    graph.add_edge(left, both)
    graph.add_edge(right, both)
    graph.add_edge(both, Keep("sink", path=str(path)))
    return graph


def shorter(path: Path) -> fm.Graph:
    """A source without an end, zipped with one that ends."""
    graph = fm.Graph()
    both = Sum("both", join="zip")
    graph.add_edge(Count("endless", until=10**9), both)
    graph.add_edge(Count("short", until=20), both)
    graph.add_edge(both, Keep("sink", path=str(path)))
    return graph


def aligned(path: Path) -> fm.Graph:
    graph = fm.Graph()
    both = Sum("both", join=fm.Align(0.02))
    graph.add_edge(Count("slow", until=15, rate=50.0), both)
    graph.add_edge(Count("fast", until=30, rate=100.0), both)
    graph.add_edge(both, Keep("sink", path=str(path)))
    return graph


def kept(path: Path) -> list[Any]:
    return list(pickle.loads(path.read_bytes()))


Make = Callable[[Path], fm.Graph]


def session_in(folder: Path) -> Path:
    [session] = folder.iterdir()
    return session


@pytest.mark.parametrize("make", [diamond, shorter])
def test_recorded_and_unrecorded_a_graph_gives_the_same(site: Site, make: Make, tmp_path: Path) -> None:
    site.run(make(tmp_path / "plain"))
    graph = make(tmp_path / "recorded")
    specs = graph.specs()
    graph.record(to=tmp_path / "sessions", reserve=0)
    assert graph.specs() == specs
    site.run(graph)
    assert kept(tmp_path / "recorded") == kept(tmp_path / "plain")
    reader = SessionReader(session_in(tmp_path / "sessions"))
    assert reader.manifest is not None
    assert reader.manifest.state == "closed"
    totals = {one.node: one for one in reader.totals()}
    assert set(totals) == {edge.source for edge in specs.edges}
    assert totals["both"].chunks == len(kept(tmp_path / "plain"))
    assert not any(one.missing_count for one in totals.values())


@pytest.mark.parametrize("make", [diamond, aligned])
def test_replayed_a_graph_does_the_same_again_at_any_speed(site: Site, make: Make, tmp_path: Path) -> None:
    graph = make(tmp_path / "live")
    graph.record(to=tmp_path / "sessions", reserve=0)
    site.run(graph)
    session = session_in(tmp_path / "sessions")
    for name, speed in (("first", 0), ("second", 0), ("third", 3.0)):
        again = make(tmp_path / name).replaying(session, speed=speed)
        again.record("both", to=tmp_path / f"session-{name}", reserve=0)
        site.run(again)
        assert kept(tmp_path / name) == kept(tmp_path / "live")
        [one] = compare(session, session_in(tmp_path / f"session-{name}"), ["both"])
        assert one.is_equal, one.differences


def test_pictures_of_a_named_node_are_written_as_asked_and_played(site: Site, tmp_path: Path) -> None:
    graph = fm.Graph()
    graph.add_edge(Film("film"), Keep("sink", path=str(tmp_path / "live")))
    graph.record("film", to=tmp_path / "sessions", name="trial", how={"film/frame": Video()}, reserve=0)
    site.run(graph)
    session = session_in(tmp_path / "sessions")
    assert session.name.startswith("trial-")
    decoded = [value_of(one.chunk.get("frame")["value"]) for one in SessionReader(session).chunks()]
    again = fm.Graph()
    again.add_edge(Film("film"), Keep("sink", path=str(tmp_path / "played")))
    site.run(again.replaying(session, speed=0))
    assert [one["film"] for one in kept(tmp_path / "played")] == [(n, [data]) for n, data in enumerate(decoded, 1)]
    assert (session / "events.jsonl").read_text().count("\n") == 2
    manifest = SessionFolder(session).read_manifest()
    assert manifest is not None
    assert "film" in manifest.graph
    assert manifest.workers == {"local": "local"}


def test_the_manager_starts_stops_and_marks(site: Site, tmp_path: Path) -> None:
    graph = fm.Graph()
    graph.add_edge(Count("source", until=10**9, rate=500.0), Keep("sink", path=str(tmp_path / "live")))
    graph.record(to=tmp_path / "sessions", start=False, reserve=0)
    manager = site.commit(graph)
    manager.start()
    assert not manager.wait(0.05)
    assert "record@local" in manager.status().nodes
    assert set(manager.gather()) == {"source", "sink"}
    recording = manager.recording
    assert not recording.info()["record@local"]["totals"]
    recording.start()
    recording.mark("stimulus on")
    while not recording.info()["record@local"]["totals"]:
        pass
    recording.stop()
    assert not manager.wait(0.5)  # longer than the stop is ahead
    before = recording.info()["record@local"]["totals"][0]["last"]
    assert not manager.wait(0.1)
    assert recording.info()["record@local"]["totals"][0]["last"] == before
    manager.reset()
    with pytest.raises(fm.StateError, match=r"graph\.record"):
        _ = manager.recording
    reader = SessionReader(recording.folder)
    assert [mark.text for mark in reader.marks()] == ["stimulus on"]
    [totals] = reader.totals()
    assert totals.first > 1
    assert totals.missing == []


def test_each_worker_has_a_recorder_of_its_own(tmp_path: Path) -> None:
    graph = diamond(tmp_path / "sink")
    graph.record(to=tmp_path / "sessions", reserve=0)
    fm.run(graph, workers=2, progress=False)
    session = session_in(tmp_path / "sessions")
    assert [part.name for part in SessionFolder(session).parts()] == ["local-1", "local-2"]
    reader = SessionReader(session)
    assert reader.manifest is not None
    assert reader.manifest.state == "closed"
    assert {one.node: one.chunks for one in reader.totals()} == {"source": 30, "odd": 15, "same": 30, "both": 15}
    for node in ("source", "odd", "same", "both"):
        times = [one.time_ns for one in reader.chunks([node])]
        assert times == sorted(times)


def test_a_camera_is_not_slowed_and_its_drops_are_counted(site: Site, tmp_path: Path) -> None:
    graph = fm.Graph()
    graph.add_edge(Count("source", until=50, live=True), Keep("sink", path=str(tmp_path / "live")))
    graph.record(to=tmp_path / "sessions", reserve=0)
    manager = site.commit(graph)
    status = manager.status()
    [edge] = [edge for edge in status.edges.values() if edge.target == "record@local"]
    assert edge.policy == "drop_oldest"
    manager.start()
    assert manager.wait(DEADLINE)
    manager.reset()
    manifest = SessionFolder(session_in(tmp_path / "sessions")).read_manifest()
    assert manifest is not None
    [totals] = manifest.totals
    assert totals.chunks + totals.not_recorded.get("oldest", 0) == 50


def test_what_fits_no_graph_is_refused(tmp_path: Path) -> None:
    graph = diamond(tmp_path / "sink")
    with pytest.raises(GraphError, match="no node 'ghost'"):
        graph.record("ghost")
    with pytest.raises(GraphError, match="policy must be"):
        graph.record(policy="best")
    with pytest.raises(GraphError, match="reserve must be"):
        graph.record(reserve="much")
    graph.record("source", how={"odd/frame": Video()})
    with pytest.raises(GraphError, match="'odd' is not recorded"):
        graph.check()
    with pytest.raises(GraphError, match="recorded already"):
        graph.record()
    with pytest.raises(GraphError, match="runs no recorder"):
        fm.run(recorded(diamond(tmp_path / "sink")), inline=True)


def recorded(graph: fm.Graph) -> fm.Graph:
    graph.record()
    return graph


def test_a_session_that_lacks_a_source_is_refused_with_both_lists(site: Site, tmp_path: Path) -> None:
    graph = diamond(tmp_path / "sink")
    graph.record("odd", to=tmp_path / "sessions", reserve=0)
    site.run(graph)
    session = session_in(tmp_path / "sessions")
    with pytest.raises(GraphError, match=r"no stream of 'source'.*recorded: odd; nodes of the graph: source, odd"):
        diamond(tmp_path / "sink").replaying(session)
    with pytest.raises(GraphError, match="no node 'ghost'"):
        diamond(tmp_path / "sink").replaying(session, only=["ghost"])


def test_replacing_a_step_leaves_out_what_feeds_nothing_then(site: Site, tmp_path: Path) -> None:
    graph = fm.Graph()
    source, odd = Count("source"), Odd("odd")
    graph.add_edge(source, odd)
    graph.add_edge(odd, Keep("sink", path=str(tmp_path / "live")), policy="latest")
    graph.record("odd", to=tmp_path / "sessions", reserve=0)
    site.run(graph)
    again = graph.replaying(session_in(tmp_path / "sessions"), only=["odd"], speed=0)
    assert list(again) == ["odd", "sink"]
    assert again.edges["odd", "sink"]["policy"] == "latest"
    assert again.recording is None


class Timed(fm.Node):
    """A source that sets the times of its chunks: the numbers of `times`."""

    times: tuple[int, ...] = ()

    def setup(self) -> None:
        self.left: Iterator[int] = iter(self.times)

    def step(self) -> fm.DataChunk:
        for time in self.left:
            chunk = fm.DataChunk.of(time)
            chunk.created = time
            return chunk
        raise fm.EndOfStream


def test_a_time_that_was_set_is_sent_and_may_not_go_back(site: Site, tmp_path: Path) -> None:
    graph = fm.Graph()
    graph.add_edge(Timed("device", times=(10**18, 10**18, 10**18 + 1)), Keep("sink", path=str(tmp_path / "live")))
    graph.record(to=tmp_path / "sessions", reserve=0)
    site.run(graph)
    assert [one.created_ns for one in SessionReader(session_in(tmp_path / "sessions")).chunks()] == [
        10**18,
        10**18,
        10**18 + 1,
    ]
    back = fm.Graph()
    back.add_edge(Timed("device", times=(10**18, 10**18 - 1)), Keep("sink", path=str(tmp_path / "live")))
    site.commit(back).start()
    with pytest.raises(fm.NodeError, match="must not be earlier"):
        site.manager.wait(DEADLINE)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, 2**63, "now"])
def test_a_time_must_be_whole_nanoseconds(wrong: Any) -> None:
    with pytest.raises(fm.ChunkError, match="must be an integer of nanoseconds"):
        fm.DataChunk.of(1).created = wrong


def test_what_is_not_recorded_imports_nothing_of_it(tmp_path: Path) -> None:
    code = (
        "import sys, flowmesh as fm\n"
        "class S(fm.Node):\n    def step(self): raise fm.EndOfStream\n"
        "class T(fm.Node):\n    def step(self, data): pass\n"
        "graph = fm.Graph()\ngraph.add_edge(S('s'), T('t'))\ngraph.check()\n"
        "manager = fm.Manager()\nmanager.shutdown()\n"
        "print(*[name for name in sys.modules if name.startswith(('flowmesh.recording', 'mcap', 'google'))])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert ended.stdout.strip() == ""


class Large(fm.Node):
    """A source of texts of 100 kB."""

    def setup(self) -> None:
        self.sent = 0

    def step(self) -> str:
        if self.sent == 400:
            raise fm.EndOfStream
        self.sent += 1
        return "x" * 100_000


class Ignore(fm.Node):
    """A sink."""

    def step(self, data: dict[str, fm.DataChunk]) -> None:
        pass


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder on a file system that nothing else fills."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize("on_full", ["end", "fail"])
def test_at_the_reserve_the_recording_or_the_graph_ends_and_it_is_told(
    site: Site, memory_folder: Path, on_full: str
) -> None:
    disk = os.statvfs(memory_folder)
    graph = fm.Graph()
    graph.add_edge(Large("source"), Ignore("sink"))
    graph.record(to=memory_folder, on_full=on_full, reserve=disk.f_bavail * disk.f_frsize - (20 << 20))
    manager = site.commit(graph)
    manager.start()
    if on_full == "end":
        assert manager.wait(DEADLINE)
    else:
        with pytest.raises(fm.NodeError, match="come to its reserve"):
            manager.wait(DEADLINE)
    folder = manager.recording.folder
    manager.reset()
    reader = SessionReader(folder)
    assert reader.whole
    assert reader.manifest is not None
    assert reader.manifest.state == "incomplete"
    [totals] = reader.totals()
    assert totals.not_recorded["disk_full"] > 0
    assert totals.chunks + totals.missing_count == totals.last - totals.first + 1
    assert totals.chunks == sum(1 for _ in reader.chunks())
    if on_full == "end":
        assert totals.last == 400
