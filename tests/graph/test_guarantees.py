"""What sinks are promised: the least of all that lies above them, with the sentence for each thing that lessens it."""

from __future__ import annotations

from typing import Any

import pytest

from flowmesh.errors import GraphError
from flowmesh.graph.graph import Graph
from flowmesh.graph.guarantees import AT_MOST_ONCE, EQUAL, EXACTLY_ONCE, LATEST, ONE, Guarantee
from flowmesh.node import Align, Node

LOSSLESS = "every edge on the way is lossless, and no join leaves anything out"
DETERMINISTIC = "contents are equal where every step, and every source, does the same each time"
DEATH = "if a process dies, the graph fails and says so: what was on its way is not sent again"


class Source(Node):
    def step(self) -> int:
        return 1


class Step(Node):
    def step(self, data: Any) -> Any:
        return data


def net(*edges: str | tuple[str, dict[str, Any]], **options: dict[str, Any]) -> Graph:
    """Edges as "ab", from a to b, or ("ab", options); the options of each node that is named."""
    pairs = [(edge, {}) if isinstance(edge, str) else edge for edge in edges]
    targets = {edge[1] for edge, _ in pairs}
    names = dict.fromkeys(name for edge, _ in pairs for name in edge)
    nodes = {name: (Step if name in targets else Source)(name=name, **options.get(name, {})) for name in names}
    return Graph([(nodes[edge[0]], nodes[edge[1]], more) for edge, more in pairs])


def test_a_lossless_chain_gets_every_chunk() -> None:
    assert net("sa", "ak").guarantees() == {"k": Guarantee(EXACTLY_ONCE, EQUAL, (LOSSLESS, DETERMINISTIC, DEATH))}


def test_each_sink_has_its_own() -> None:
    promised = net("sa", "ak", ("sv", {"policy": "latest"})).guarantees()
    assert promised == {
        "k": Guarantee(EXACTLY_ONCE, EQUAL, (LOSSLESS, DETERMINISTIC, DEATH)),
        "v": Guarantee(LATEST, ONE, ("s -> v keeps the newest chunk (policy='latest')", DEATH)),
    }


LIVE = {"live": True}


@pytest.mark.parametrize(
    ("graph", "delivery", "contents", "because"),
    [
        (
            net("sa", "ak", s=LIVE),
            LATEST,
            ONE,
            [
                "s is live: what it gives is there once",
                "s -> a keeps the newest 4 chunks (policy='drop_oldest', as s is live)",
            ],
        ),
        (
            net(("sk", {"policy": "lossless"}), s=LIVE),
            EXACTLY_ONCE,
            ONE,
            ["s is live: what it gives is there once", LOSSLESS],
        ),
        (
            net(("sa", {"policy": "drop_oldest", "depth": 9}), "ak"),
            LATEST,
            ONE,
            ["s -> a keeps the newest 9 chunks (policy='drop_oldest')"],
        ),
        (
            net("sk", "tk"),
            EXACTLY_ONCE,
            ONE,
            ["k takes s, t as they come: between them the order is nobody's promise", LOSSLESS],
        ),
        (
            net("sa", "sb", "ak", "bk", k={"join": "zip"}),
            AT_MOST_ONCE,
            EQUAL,
            ["k pairs a, b by number: what has no partner is left out", DETERMINISTIC],
        ),
        (
            net("sk", "tk", k={"join": Align(0.1)}),
            AT_MOST_ONCE,
            ONE,
            ["k pairs s, t by time: what has no partner near enough is left out"],
        ),
        (
            net("sa", "ta", "ua", "ak"),
            AT_MOST_ONCE,
            ONE,
            ["a sees the newest of t, u, and may leave out what comes before the first"],
        ),
        (
            net("sa", "ak", a={"on_error": "skip"}),
            AT_MOST_ONCE,
            EQUAL,
            ["a skips a chunk at which its step raises: that is counted in its errors", DETERMINISTIC],
        ),
    ],
    ids=["live", "live, lossless", "lossy", "any", "zip", "align", "follow", "skip"],
)
def test_what_lessens_a_promise(graph: Graph, delivery: str, contents: str, because: list[str]) -> None:
    assert graph.guarantees() == {"k": Guarantee(delivery, contents, (*because, DEATH))}


def test_what_is_only_looked_at_does_not_lessen_what_is_delivered() -> None:
    """`t` is lossy, but its chunks cause no step of `a`."""
    promise = net("sa", ("tb", {"policy": "latest"}), "ba", "ak").guarantees()["k"]
    assert (promise.delivery, promise.contents) == (AT_MOST_ONCE, ONE)
    aligned = net("sk", ("tk", {"policy": "latest"}), k={"join": Align(1)}).guarantees()["k"]
    assert aligned.delivery == AT_MOST_ONCE


def test_what_lies_above_twice_is_said_once() -> None:
    promise = net(("sa", {"policy": "latest"}), "ab", "ac", "bk", "ck", k={"join": "zip"}).guarantees()["k"]
    assert promise.because == (
        "s -> a keeps the newest chunk (policy='latest')",
        "k pairs b, c by number: what has no partner is left out",
        DEATH,
    )


def test_a_graph_that_cannot_run_promises_nothing() -> None:
    with pytest.raises(GraphError, match="cycle"):
        net("ab", "ba").guarantees()


def test_a_lone_source_is_no_sink() -> None:
    graph = Graph()
    graph.add_node(Source(name="s"))
    assert graph.guarantees() == {}
