"""What all ready-made nodes do with parameters that they do not know, and with inputs of any name and number."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import flowmesh as fm
from flowmesh import nodes
from flowmesh.errors import GraphError

from ..conftest import ROOT
from ..integration.single_host.conftest import Cluster
from ..integration.single_host.example_nodes import Collect, Count, collected, default

NEEDED: dict[str, dict[str, Any]] = {
    "CsvWriter": {"path": "a.csv"},
    "ImageFolder": {"path": "."},
    "JsonLinesWriter": {"path": "a.jsonl"},
    "NetworkVideo": {"url": "rtsp://somewhere/it"},
    "Resize": {"scale": 0.5},
    "Throttle": {"per_second": 5},
    "VideoFile": {"path": "a.mp4"},
    "VideoWriter": {"path": "a.mp4"},
}


def made(kind: str, **options: Any) -> Any:
    return getattr(nodes, kind)(name="it", **NEEDED.get(kind, {}), **options)


@pytest.mark.parametrize("kind", nodes.__all__)
def test_a_parameter_that_there_is_not_is_refused_and_the_others_are_listed(kind: str) -> None:
    with pytest.raises(GraphError, match=rf"{kind} has no parameter 'lop'; it has: name.*options: rate, live, join"):
        made(kind, lop=True)


@pytest.mark.parametrize("kind", nodes.__all__)
def test_options_of_a_node_are_taken_and_it_travels(kind: str) -> None:
    node = pickle.loads(pickle.dumps(made(kind, on_error="skip", hold=2)))
    assert (type(node).__name__, node.name, node.on_error, node.hold) == (kind, "it", "skip", 2)


@pytest.mark.parametrize("kind", nodes.__all__)
def test_each_says_what_it_is_and_shows_how(kind: str) -> None:
    text = getattr(nodes, kind).__doc__
    assert "Args:" in text
    assert "Raises:" in text


@pytest.mark.parametrize("kind", nodes.__all__)
def test_each_stands_in_the_reference_and_in_the_how_to(kind: str) -> None:
    reference, how_to = ((ROOT / "docs" / name).read_text() for name in ("reference.md", "howto/ready-made-nodes.md"))
    assert f"::: {getattr(nodes, kind).__module__}.{kind}\n" in reference
    assert f"| `{kind}(" in how_to


@pytest.mark.parametrize("kind", ["ImageFolder", "VideoFile", "VideoWriter"])
@pytest.mark.parametrize("path", [None, 5, b"a.mp4", ""])
def test_what_is_no_path_is_refused(kind: str, path: Any) -> None:
    with pytest.raises(GraphError, match=f"it: path is a text or a pathlib.Path, not {path!r}"):
        getattr(nodes, kind)("it", path)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *(("TestPattern", {option: "640"}) for option in ("width", "height", "frames")),
        *(("VideoWriter", {option: "25"}) for option in ("fps", "crf")),
        *(("ImageFolder", {"patterns": 5}), ("ImageFolder", {"mode": []})),
    ],
)
def test_what_is_no_number_or_text_is_refused(kind: str, options: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=f"it: .*{next(iter(options.values()))!r}".replace("[", r"\[")):
        made(kind, **options)


def test_a_subclass_declares_its_own_parameters() -> None:
    class Film(nodes.TestPattern):
        place = "here"

    film: Any = Film("film", place="there")
    assert film.place == "there"
    with pytest.raises(GraphError, match="Film has no parameter 'plaice'"):
        Film("film", plaice="there")


@pytest.mark.parametrize("kind", ["Gate", "Resize", "Throttle"])
@pytest.mark.parametrize("join", ["zip", "follow", fm.Align(0.1)])
def test_steps_that_take_one_chunk_at_a_time_refuse_to_join(kind: str, join: Any) -> None:
    with pytest.raises(GraphError, match="leave join out"):
        made(kind, join=join)


def test_chunks_of_several_senders_pass_as_they_came(cluster: Cluster, tmp_path: Path) -> None:
    gate, throttle = nodes.Gate("gate"), nodes.Throttle("throttle", per_second=1e6)
    graph, sink = fm.Graph(), Collect("sink", path=tmp_path / "got")
    for name in ("left", "right"):
        graph.add_edge(Count(name, until=50), gate)
    graph.add_edge(gate, throttle)
    graph.add_edge(throttle, sink)
    cluster.run(graph)
    got = collected(tmp_path / "got")
    for name in ("left", "right"):
        assert [default(chunk) for chunk in got if name in chunk.origin] == list(range(1, 51))
