"""How the inputs of a graph's nodes meet, as its specs say it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowmesh.graph.graph import Graph
from flowmesh.node import Align
from flowmesh.wire.plan_specs import JoinSpec

from .test_graph import Source, Step, join_of_two, resolved


def diamond(join: Any, *, above: bool = False) -> Graph:
    """s -> (f ->) a, b -> c, and c -> d."""
    top, *others = [Source(name="s"), *([Step(name="f")] if above else [])]
    graph = Graph([(top, *others)] if others else [])
    top, a, b, c = [top, *others][-1], Step(name="a"), Step(name="b"), Step(name="c", join=join)
    graph.add_edges_from([(top, a), (top, b), (a, c), (b, c), (c, Step(name="d"))])
    return graph


def test_a_zip_pairs_by_the_numbers_of_the_nearest_common_ancestor() -> None:
    specs = diamond("zip").specs()
    assert specs.names == ("s", "a", "b", "c", "d")
    assert specs.joins["c"] == JoinSpec("zip", pair_by=(0, 0), carries={0: (0,), 1: (0,)})
    assert specs.joins["a"] == JoinSpec("any", carries={0: (0,)})
    assert (specs.marks, specs.forks) == ({"s", "a", "b"}, ())
    below = diamond("zip", above=True).specs()
    assert below.joins["c"] == JoinSpec("zip", pair_by=(1, 1), carries={0: (0, 1), 1: (0, 1)})
    assert (below.marks, below.forks) == ({"s", "f", "a", "b"}, (1,))


def test_a_zip_of_strangers_pairs_by_the_numbers_of_their_sources() -> None:
    specs = join_of_two("zip").specs()
    assert specs.joins["c"] == JoinSpec("zip", pair_by=(0, 1), carries={0: (0,), 1: (1,)})
    assert resolved(join_of_two("zip"))["bc"] == ("lossless", 256, 4, True)


def test_what_is_followed_waits_for_the_first_of_the_others_only_where_no_zip_waits_for_it() -> None:
    graph = diamond("follow")
    assert graph.specs().joins["c"].keeps == 3
    graph.edges["a", "c"]["depth"] = 2
    assert graph.specs().joins["c"].keeps == 1
    graph.add_edges_from([("c", Step(name="z", join="zip")), ("s", "z")])
    assert graph.specs().joins["c"].keeps == 0


def test_align_steps_with_its_first_input_and_drops_nothing_on_the_way() -> None:
    specs = diamond(Align(0.5)).specs()
    assert specs.joins["c"] == JoinSpec("align", 0.5, carries={0: (0,)})
    assert specs.marks == {"s", "a", "b"}
    assert resolved(join_of_two(Align(0.5)))["bc"] == ("lossless", 256, 4, True)


def test_marks_are_sent_above_a_zip_only() -> None:
    graph = diamond("zip")
    graph.add_edge("d", Step(name="e"))
    graph.add_edge(Source(name="t"), "e")
    assert graph.specs().marks == {"s", "a", "b"}


@st.composite
def acyclic(draw: st.DrawFn) -> Graph:
    """A graph whose nodes and edges were added in any order."""
    count = draw(st.integers(1, 8))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    targets = {b for _, b in chosen}
    nodes = [(Step if index in targets else Source)(name=f"n{index}") for index in range(count)]
    graph = Graph()
    graph.add_nodes_from(draw(st.permutations(nodes)))
    graph.add_edges_from((nodes[a], nodes[b]) for a, b in chosen)
    return graph


@given(acyclic())
@settings(deadline=None)
def test_specs_of_any_graph_hold_together(graph: Graph) -> None:
    names, kinds, edges, *_ = graph.specs()
    place = {name: index for index, name in enumerate(names)}
    assert sorted(names) == sorted(graph)
    assert all(place[edge.source] < place[edge.target] for edge in edges)
    assert [edge.index for edge in edges] == list(range(graph.number_of_edges()))
    for name in names:
        inputs = [edge for edge in edges if edge.target == name]
        assert [edge.source for edge in inputs] == graph.inputs(name)
        followed = [edge.follow for edge in inputs]
        assert kinds[name] == ("source" if not inputs else "step" if graph.out_degree(name) else "sink")
        assert followed == [True] * len(inputs) if kinds[name] == "sink" else followed[:1] == [True] * bool(inputs)
        assert all((edge.policy == "lossless") is edge.follow for edge in inputs)
    assert [edge.target for edge in edges] == sorted((edge.target for edge in edges), key=place.__getitem__)
    assert graph.copy().specs() == graph.specs()
