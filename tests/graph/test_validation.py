"""The rules, asked through Graph.check(), which collects what they say."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from flowmesh.errors import GraphError
from flowmesh.graph.graph import Graph
from flowmesh.node import Align, Node


class Source(Node):
    def step(self) -> int:
        return 1


class Step(Node):
    def step(self, data: Any) -> Any:
        return data


def lines(call: Callable[[], object]) -> list[str]:
    with pytest.raises(GraphError) as caught:
        call()
    return str(caught.value).splitlines()


def join_of_two(join: Any = None, *, sink: bool = False, first: Any = None, second: Any = None) -> Graph:
    """a and b lead to c, which leads on to d unless it is the sink."""
    a, b, c = Source(name="a"), Source(name="b"), Step(name="c", join=join)
    graph = Graph()
    graph.add_edge(a, c, **(first or {}))
    graph.add_edge(b, c, **(second or {}))
    if not sink:
        graph.add_edge(c, Step(name="d"))
    return graph


class Method:
    """step methods of many signatures, by what they can be."""

    def neither(self, data: Any, more: Any) -> None: ...

    def keyword(self, *, data: Any) -> None: ...

    def source(self) -> None: ...

    async def async_source(self) -> None: ...

    def step(self, anything: Any) -> None: ...

    async def async_step(self, data: Any) -> None: ...

    def second_has_a_default(self, data: Any, scale: float = 1.0) -> None: ...

    def positional(self, data: Any, /) -> None: ...

    @staticmethod
    def static(data: Any) -> None: ...

    def both(self, data: Any = None) -> None: ...

    def starred(self, *args: Any) -> None: ...

    def all_starred(self, *args: Any, **kwargs: Any) -> None: ...

    @functools.wraps(neither)
    def wrapping(self, data: Any) -> None: ...

    bound = functools.partial(max, 1)


SOURCES = ["source", "async_source"]
STEPS = ["step", "async_step", "second_has_a_default", "positional", "static", "wrapping"]
BOTH = ["both", "starred", "all_starred", "bound"]
NEITHER = ["neither", "keyword"]


def with_step(method: str, name: str = "it") -> Node:
    kind: type[Node] = type("Odd", (Node,), {"step": vars(Method)[method]})
    return kind(name=name)


@pytest.mark.parametrize("method", SOURCES + BOTH)
def test_a_source_steps_without_data(method: str) -> None:
    Graph([(with_step(method), Step(name="sink"))]).check()


@pytest.mark.parametrize("method", STEPS + NEITHER)
def test_a_source_that_wants_data_is_refused(method: str) -> None:
    error = r"^it is a source \(no edge leads to it\): write step\(self\), not step\(self, .+\)$"
    with pytest.raises(GraphError, match=error):
        Graph([(with_step(method), Step(name="sink"))]).check()


@pytest.mark.parametrize("method", STEPS + BOTH)
def test_a_step_takes_one_parameter_of_any_name(method: str) -> None:
    Graph([(Source(name="source"), with_step(method))]).check()


@pytest.mark.parametrize("method", SOURCES + NEITHER)
def test_a_step_that_does_not_take_data_is_refused(method: str) -> None:
    with pytest.raises(GraphError, match=r"^it has inputs: write step\(self, data\), not step\(self.*\)$"):
        Graph([(Source(name="source"), with_step(method))]).check()


def test_a_step_that_is_missing_or_no_method_is_refused() -> None:
    class Odd(Node):
        step = 5  # type: ignore[assignment]

    graph = Graph([(Node(name="base"), Odd(name="odd"))])
    assert lines(graph.check) == ["base: Node has no step method", "odd: step is 5, which can't be called"]


def test_a_step_that_tells_no_signature_is_taken_as_it_is() -> None:
    class Odd(Node):
        step = type

    Graph([(Odd(name="odd"), Step(name="sink"))]).check()


def test_options_of_sources_are_refused_elsewhere() -> None:
    graph = Graph([(Source(name="a", rate=30, live=True), Step(name="b", rate=30, live=True))])
    assert lines(graph.check) == [
        "b: rate paces a source, and edges lead to this node: leave rate out",
        "b: live is for a source, and edges lead to this node: leave live out",
    ]


def test_what_was_spoilt_after_adding_is_found() -> None:
    film, edges = Source(name="film"), Step(name="edges")
    graph = Graph([(film, edges)])
    film.rate = -1
    edges.name = "corners"
    assert lines(graph.check) == [
        "film: rate is a number of steps a second above 0, not -1",
        "edges: the node was renamed to 'corners' after it was added",
    ]


@pytest.mark.parametrize("join", ["zip", Align(0.1), "any", "follow"])
@pytest.mark.parametrize("sink", [False, True])
def test_every_join_can_be_of_two_strangers(join: Any, sink: bool) -> None:
    join_of_two(join, sink=sink).check()


def test_a_zip_of_one_input_pairs_nothing() -> None:
    Graph([(Source(name="a"), Step(name="b", join="zip"))]).check()


def net(*edges: str, **joins: Any) -> Graph:
    """Edges as "ab", from a to b; the join of each node that is named."""
    targets = {edge[1] for edge in edges}
    nodes = {name: (Step if name in targets else Source)(name=name) for edge in edges for name in edge}
    for name, join in joins.items():
        nodes[name].join = join
    return Graph([(nodes[edge[0]], nodes[edge[1]]) for edge in edges])


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (net("sa", "ac", "bc", "sc", c="zip"), "some of its inputs descend from 's', others do not"),
        (
            net("sm", "tm", "sn", "tn", "mz", "nz", m="zip", n="zip", z="zip"),
            "its inputs descend from 's', 't' alike, none of which is nearer",
        ),
        (
            net("sa", "sb", "am", "bm", "mz", "sz", m="any", z="zip"),
            "'m' mixes its inputs (join='any'), so that numbers come out of order",
        ),
        (
            net("sm", "tm", "mz", "uz", m="any", z="zip"),
            "'m' mixes its inputs (join='any'), so that numbers come out of order",
        ),
    ],
)
def test_a_zip_that_cannot_pair_is_refused(graph: Graph, why: str) -> None:
    name = "c" if "c" in graph else "z"
    instead = "follow one of them, or pair by time with flowmesh.Align(seconds)"
    assert lines(graph.check) == [f"{name}: join='zip' can't pair its inputs: {why}; {instead}"]
    graph.nodes[name]["node"].join = "any"
    graph.check()


def test_pairing_is_looked_at_once_the_cycles_are_gone() -> None:
    graph = net("ab", "bc", "cb", "sa", "sc", c="zip")
    assert lines(graph.check) == ["the edges b -> c -> b form a cycle: a graph may have none"]


def test_only_one_edge_can_be_followed() -> None:
    graph = join_of_two(first={"follow": True}, second={"follow": True})
    assert lines(graph.check) == ["c: only one edge can be followed; follow=True is on those from a, b"]


@pytest.mark.parametrize(("join", "sink"), [("any", False), (None, True)])
def test_follow_contradicts_a_join_without_a_followed_edge(join: str | None, sink: bool) -> None:
    assert lines(join_of_two(join, sink=sink, second={"follow": True}).check) == [
        "follow=True on the edge b -> c contradicts join='any': leave follow out, or set join='follow'"
    ]


def test_follow_on_an_only_input_says_nothing_new() -> None:
    graph = Graph([(Source(name="a"), Step(name="b"), {"follow": True})])
    graph.check()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"policy": "lossless"}, ["policy 'lossless'"]),
        ({"policy": "drop_oldest"}, ["policy 'drop_oldest'"]),
        ({"depth": 8}, ["depth 8"]),
        ({"policy": "lossless", "depth": 8}, ["policy 'lossless'", "depth 8"]),
    ],
)
@pytest.mark.parametrize(("join", "sink"), [(None, False), ("follow", True)])
def test_a_sampled_edge_holds_the_newest_only(
    options: dict[str, Any], said: list[str], join: str | None, sink: bool
) -> None:
    assert lines(join_of_two(join, sink=sink, second=options).check) == [
        f"{what} on the edge b -> c contradicts join='follow': each chunk of a causes a step, which sees the newest one"
        f" of this edge; leave {what.split()[0]} out, or set join='zip' or join='any'"
        for what in said
    ]
    join_of_two("any", sink=sink, second=options).check()


def test_the_followed_edge_may_have_any_policy() -> None:
    for policy in ("lossless", "latest", "drop_oldest"):
        join_of_two(first={"policy": "latest"}, second={"policy": policy, "follow": True}).check()
    join_of_two(second={"policy": "latest", "depth": 1}).check()
