"""How a node may be written: options, constructors, parameters' names; and how a source is paced."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import flowmesh as fm

from ...conftest import Script
from .conftest import DEADLINE, Cluster
from .example_nodes import Collect, Count, chain, collected, default

Data = dict[str, fm.DataChunk]


class Ticks(fm.Node):
    """A paced source: the times of its steps, then the end."""

    rate = 100
    count: int

    def setup(self) -> None:
        self.times: list[float] = []

    def step(self) -> float:
        if len(self.times) == self.count:
            raise fm.EndOfStream
        self.times.append(time.monotonic())
        return self.times[-1]


@pytest.mark.parametrize(
    ("options", "rate", "count"), [({}, 100, 120), ({"rate": 37.5}, 37.5, 40), ({"rate": 500}, 500, 600)]
)
def test_a_rate_is_kept_without_work(
    options: dict[str, Any], rate: float, count: int, cluster: Cluster, tmp_path: Path
) -> None:
    manager = cluster.commit(
        chain(Ticks(name="ticks", count=count, **options), Collect(name="sink", path=tmp_path / "got"))
    )
    loading = manager.status().nodes["ticks"].cpu
    manager.start()
    assert manager.wait(DEADLINE)
    status = manager.status()
    times = [default(chunk) for chunk in collected(tmp_path / "got")]
    lasted = times[-1] - times[0]
    assert is_on_time(times, rate)
    assert status.nodes["ticks"].cpu - loading < 0.25 * lasted
    assert status.nodes["ticks"].rate == pytest.approx(len(times) / lasted, rel=0.25)


def is_on_time(times: list[float], rate: float) -> bool:
    """The steps that were on time, in the first half and in the second, keep the rate: a busy machine delays others, also
    the first, and hastens none."""
    late = [time - times[0] - place / rate for place, time in enumerate(times)]
    first, second = min(late[: len(late) // 2]), min(late[len(late) // 2 :])
    return abs(second - first) < 0.02


class Late(Ticks):
    """Its first steps take longer than a tick: what was missed is made up for."""

    def step(self) -> float:
        if len(self.times) == 5:
            time.sleep(0.1)
        return super().step()


def test_a_late_source_catches_up(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run(chain(Late(name="late", count=100), Collect(name="sink", path=tmp_path / "got")))
    times = [default(chunk) for chunk in collected(tmp_path / "got")]
    assert is_on_time(times, 100)


class OwnInit(fm.Node):
    """Takes what it likes, and calls the base with its name only."""

    on_error = "skip"

    def __init__(self, name: str, x: int, *, limit: int = 3) -> None:
        super().__init__(name=name)
        self.x = x
        self.limit = limit

    def step(self) -> int:
        if self.limit == 0:
            raise fm.EndOfStream
        self.limit -= 1
        if self.limit == 1:
            raise ValueError("skipped")
        return self.x + self.limit


class Anything(fm.Node):
    def step(self, whatever_it_is_called: Data) -> tuple[str, list[str]]:
        (chunk,) = whatever_it_is_called.values()
        return default(chunk), list(whatever_it_is_called)


class Positional(fm.Node):
    def step(self, *arguments: Data) -> Any:
        return default(arguments[0]["any"])


def test_constructors_options_and_parameter_names(cluster: Cluster, tmp_path: Path) -> None:
    nodes = [OwnInit("own", 10), Anything(name="any"), Positional(name="positional")]
    status = cluster.run(chain(*nodes, Collect(name="sink", path=tmp_path / "got"))).status()
    assert [default(chunk) for chunk in collected(tmp_path / "got")] == [(12, ["own"]), (10, ["own"])]
    assert (status.nodes["own"].errors, status.nodes["any"].errors) == (1, 0)


class Skips(fm.Node):
    def step(self, data: Data) -> int:
        value = default(data["count"])
        if value % 10 == 0:
            raise ValueError(f"no {value}")
        return int(value)


def test_on_error_skip_counts_tells_and_goes_on(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [
        Count("count", until=30),
        Skips(name="skips", on_error="skip"),
        Collect(name="sink", path=tmp_path / "got"),
    ]
    status = cluster.run(chain(*nodes)).status()
    assert [default(chunk) for chunk in collected(tmp_path / "got")] == [v for v in range(1, 31) if v % 10]
    assert (status.nodes["skips"].errors, status.nodes["skips"].steps) == (3, 30)
    assert [f"no {value}" in record.message for value, record in zip((10, 20, 30), caplog.records, strict=True)] == [
        True
    ] * 3


class Talks(fm.Node):
    def setup(self) -> None:
        self.logger.info("setup says %s", "hello")

    def step(self) -> None:
        self.logger.warning("step")
        try:
            raise KeyError("gone")
        except KeyError:
            self.logger.exception("caught")
        raise fm.EndOfStream

    def teardown(self) -> None:
        self.logger.error("teardown: \ud800")


def test_log_lines_reach_the_manager_with_the_node_s_name(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="flowmesh"):
        cluster.run(chain(Talks(name="talks")))
    lines = [record for record in caplog.records if record.name == "flowmesh.node.talks"]
    assert [(line.levelname, line.message.splitlines()[0]) for line in lines] == [
        ("INFO", "setup says hello"), ("WARNING", "step"), ("ERROR", "caught"), ("ERROR", "teardown: \\ud800"),
    ]  # fmt: skip
    assert "KeyError: 'gone'" in lines[2].message
    assert {(line.node, line.worker) for line in lines} == {("talks", "one")}  # type: ignore[attr-defined]


PRINTS = """
import sys, flowmesh as fm
class Prints(fm.Node):
    def setup(self):
        print("from setup")
    def step(self):
        print("from step")
        print("to stderr", file=sys.stderr)
        raise fm.EndOfStream
    def teardown(self):
        print("from teardown")
graph = fm.Graph()
graph.add_node(Prints(name="prints"))
if __name__ == "__main__":
    fm.run(graph)
    print("from the script")
"""


def test_what_nodes_print_appears(script: Script) -> None:
    done = script(PRINTS)
    assert done.stdout.splitlines() == ["from setup", "from step", "from teardown", "from the script"]
    assert (done.returncode, done.stderr) == (0, "to stderr\n")
