"""Where recorders go: one on each worker that runs a recorded stream, with edges that slow no camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowmesh.errors import GraphError
from flowmesh.recording.options import Video
from flowmesh.recording.placement import PlacedRecorder, RecordRequest, place_recorders, record_request, request_errors
from flowmesh.wire.plan_specs import EdgeSpec

NAMES = ("camera", "film", "track", "sink")
EDGES = (EdgeSpec(0, "camera", "track"), EdgeSpec(1, "film", "track"), EdgeSpec(2, "track", "sink"))
WORKERS = {"camera": "one", "film": "one", "track": "two", "sink": "two"}


def request(*nodes: str, **options: Any) -> RecordRequest:
    defaults: dict[str, Any] = {
        "to": "recordings", "name": "trial", "how": None, "start": True, "policy": None, "on_full": "end",
        "reserve": "1MiB", "segment": "1GiB", "only": None, "duration": None,
    }  # fmt: skip
    return record_request(nodes, **(defaults | options))


def placed(made: RecordRequest, live: tuple[str, ...] = ()) -> list[PlacedRecorder]:
    return place_recorders(made, NAMES, EDGES, live, WORKERS, Path("/sessions/trial-1"))


def test_each_worker_gets_one_recorder_for_all_its_streams() -> None:
    one, two = placed(request())
    assert [(each.node.name, each.worker) for each in (one, two)] == [("record@one", "one"), ("record@two", "two")]
    assert [edge.source for edge in one.edges] == ["camera", "film"]
    assert [edge.source for edge in two.edges] == ["track"]
    assert [edge.index for each in (one, two) for edge in each.edges] == [3, 4, 5]
    assert not any(edge.keeps_alive for each in (one, two) for edge in each.edges)
    assert (one.node.folder, one.node.part) == (Path("/sessions/trial-1"), "one")
    assert (one.node.reserve, one.node.segment) == (1 << 20, 1 << 30)


def test_below_a_live_source_nothing_is_held_up() -> None:
    one, two = placed(request(), live=("camera",))
    policies = {edge.source: edge.policy for each in (one, two) for edge in each.edges}
    assert policies == {"camera": "drop_oldest", "film": "lossless", "track": "drop_oldest"}
    [recorder] = placed(request("camera", policy="lossless"), live=("camera",))
    assert recorder.edges[0].policy == "lossless"


def test_a_sink_that_is_named_is_recorded_and_others_are_not() -> None:
    [recorder] = placed(request("sink"))
    assert [edge.source for edge in recorder.edges] == ["sink"]


def test_what_does_not_fit_the_graph_is_listed() -> None:
    errors = request_errors(request("ghost", how={"film/frame": Video()}), ["camera"], ["camera", "film", "record@x"])
    assert len(errors) == 3
    assert "no node 'ghost'" in errors[0]
    assert "'film' is not recorded; recorded: ghost" in errors[1]
    assert "record@x" in errors[2]
    assert request_errors(request(), [], ["alone"]) == ["record(): no node sends anything: name the nodes to record"]


@pytest.mark.parametrize(
    "wrong",
    [{"policy": "best"}, {"on_full": "stop"}, {"name": ""}, {"only": "frame"}, {"duration": -1}, {"reserve": "2GB"},
     {"segment": -1}, {"how": {"camera": 90}}],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_at_the_call(wrong: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match="must be"):
        request("camera", **wrong)
