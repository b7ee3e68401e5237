"""A recorder that is killed loses about a second; a file system that takes nothing more costs what was not flushed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import flowmesh as fm
from flowmesh.chunk import DataChunk, Nanoseconds, Stamp
from flowmesh.recording import Recorder, SessionReader
from flowmesh.recording.session import SessionFolder

from ..conftest import ROOT, SCALE
from .conftest import Site

RECORD = """
import itertools, sys, time
from flowmesh.chunk import DataChunk, Nanoseconds, Stamp
from flowmesh.recording import Recorder

recorder = Recorder("recorder", to=sys.argv[1], reserve=0)
recorder.setup()
for number in itertools.count(1):
    now = time.time_ns()
    stamp = Stamp(run=1, number=number, ns=Nanoseconds(now, 0, 0))
    recorder.step({"meter": DataChunk({"value": ({"n": number}, "other")}, stamp)})
    if number == 1:
        print("begun", flush=True)
    time.sleep(0.001)
"""


@pytest.mark.parametrize("moment", range(5))
def test_after_kill_9_at_most_a_second_is_missing(moment: int, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RECORD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(random.Random(moment).uniform(0.0, 2.5))  # the moment is what is tested
        killed = time.time_ns()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    [folder] = tmp_path.iterdir()
    reader = SessionReader(folder)
    assert not reader.whole
    chunks = list(reader.chunks())
    assert [one.chunk.get("value")["value"]["n"] for one in chunks] == list(range(1, len(chunks) + 1))
    first = chunks[0].time_ns if chunks else killed
    newest = chunks[-1].time_ns if chunks else first
    assert killed - newest <= 1.2e9 * SCALE
    assert reader.manifest is not None
    assert reader.manifest.state == "open"


LIMITED = """
import resource, sys
from flowmesh.chunk import DataChunk, Nanoseconds, Stamp
from flowmesh.recording import Recorder
from flowmesh.errors import FlowmeshError

limit = 24_000_000  # bytes that a file may have: writing more fails as a full disk does
recorder = Recorder("recorder", to=sys.argv[1], reserve=0, on_full=sys.argv[2])
recorder.setup()
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    for number in range(1, 1001):
        stamp = Stamp(run=1, number=number, ns=Nanoseconds(10**18 + number, 0, 0))
        recorder.step({"meter": DataChunk({"value": ("x" * 50_000, "text")}, stamp)})
    recorder.teardown()
except FlowmeshError as error:
    print("failed:", error)
    recorder.teardown()
"""


@pytest.mark.parametrize("on_full", ["end", "fail"])
def test_what_was_flushed_reads_when_nothing_more_can_be_written(on_full: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), on_full],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60 * SCALE,
    )
    assert ended.returncode == 0, ended.stderr
    assert ("failed: recorder: the recording has ended" in ended.stdout) == (on_full == "fail")
    assert "the recording has ended" in ended.stderr
    [folder] = tmp_path.iterdir()
    reader = SessionReader(folder)
    assert reader.manifest is not None
    assert reader.manifest.state == "incomplete"
    chunks = list(reader.chunks())
    assert [one.number for one in chunks] == list(range(1, len(chunks) + 1))
    assert 300 < len(chunks) < 480
    [totals] = reader.manifest.totals
    assert totals.not_recorded.keys() == {"disk_full"}
    assert totals.chunks + totals.missing_count == totals.last - totals.first + 1


def test_without_room_above_the_reserve_setup_fails_with_the_numbers(site: Site, tmp_path: Path) -> None:
    graph = fm.Graph()
    graph.add_edge(Once("source"), Recorder("recorder", to=tmp_path, reserve="1000TiB"))
    with pytest.raises(fm.NodeError, match=r"above the reserve of 1048576000 MiB"):
        site.commit(graph)


class Once(fm.Node):
    """A source of a single chunk."""

    def step(self) -> int:
        raise fm.EndOfStream


def test_a_chunk_that_cannot_be_encoded_is_counted_and_the_recording_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder("recorder", to=tmp_path, reserve=0)
    recorder.setup()
    for number in range(1, 6):
        records = {"value": (Unpicklable() if number == 3 else number, "other")}
        recorder.step({"meter": DataChunk(records, Stamp(run=1, number=number, ns=Nanoseconds(number, 0, 0)))})
    recorder.teardown()
    assert "can't be recorded" in caplog.text
    [folder] = tmp_path.iterdir()
    manifest = SessionFolder(folder).read_manifest()
    assert manifest is not None
    [totals] = manifest.totals
    assert (totals.chunks, totals.missing, totals.not_recorded) == (4, [(3, 3)], {"failed": 1})
    assert [one.number for one in SessionReader(folder).chunks()] == [1, 2, 4, 5]


class Unpicklable:
    """A value that nothing can write."""

    def __reduce__(self) -> str:
        raise TypeError("never")
