from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import networkx as nx  # type: ignore[import-untyped]
import pytest

from flowmesh.errors import GraphError
from flowmesh.graph.graph import Graph
from flowmesh.node import Node
from flowmesh.wire.plan_specs import EdgeSpec, JoinSpec


class Source(Node):
    def step(self) -> int:
        return 1


class Step(Node):
    def step(self, data: Any) -> Any:
        return data


class Unborn(Node):
    def __init__(self, name: str) -> None:
        self.title = name


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


@pytest.fixture
def film() -> Source:
    return Source(name="film")


@pytest.fixture
def edges() -> Step:
    return Step(name="edges")


@pytest.fixture
def show() -> Step:
    return Step(name="show")


@pytest.fixture
def graph(film: Node, edges: Node, show: Node) -> Graph:
    """film -> edges -> show, and film -> show, whose edge was added last."""
    graph = Graph()
    graph.add_nodes_from([film, edges, show])
    graph.add_edges_from([(film, edges), (edges, show), (film, show)])
    return graph


# --- building --------------------------------------------------------------------------------------------------------


def test_keys_are_names_and_the_node_lies_beside(graph: Graph, film: Node) -> None:
    assert list(graph) == ["film", "edges", "show"]
    assert list(graph.edges) == [("film", "edges"), ("film", "show"), ("edges", "show")]
    assert graph.nodes["film"]["node"] is film


def test_nodes_may_be_asked_for_by_object(graph: Graph, film: Node, edges: Node, show: Node) -> None:
    assert film in graph
    assert graph.has_node(film)
    assert Source(name="other") not in graph
    assert graph.nodes[film]["node"] is film
    assert list(graph[film]) == ["edges", "show"]
    assert list(graph.successors(film)) == list(graph.neighbors(film)) == ["edges", "show"]
    assert list(graph.predecessors(show)) == ["edges", "film"]
    assert graph.has_edge(film, edges)
    assert graph.has_edge("film", edges)
    assert not graph.has_edge(edges, film)
    assert graph.edges[film, edges] is graph["film"]["edges"]
    assert graph.get_edge_data(film, edges) is graph["film"]["edges"]
    assert (graph.in_degree(show), graph.out_degree(film), graph.degree([edges])["edges"]) == (2, 2, 2)
    assert list(graph.edges(edges)) == [("edges", "show")]
    assert list(graph.nbunch_iter([show, "film", "nobody"])) == ["show", "film"]
    assert list(graph.nbunch_iter(show)) == ["show"]


@pytest.mark.parametrize("stranger", ["nobody", Source(name="nobody"), 5])
def test_strangers_get_networkx_errors(graph: Graph, stranger: Any) -> None:
    assert stranger not in graph
    with pytest.raises(nx.NetworkXError):
        graph.successors(stranger)
    with pytest.raises(KeyError):
        graph[stranger]


def test_nodes_and_edges_are_removed_by_object_or_name(graph: Graph, film: Node, edges: Node, show: Node) -> None:
    graph.remove_edge(film, show)
    assert graph.inputs(show) == ["edges"]
    graph.remove_edges_from([("film", edges)])
    assert graph.inputs(edges) == []
    graph.remove_node(edges)
    graph.remove_nodes_from([film, "nobody"])
    assert list(graph.nodes) == ["show"]
    assert list(graph.edges) == []


def test_the_same_object_may_be_added_again(graph: Graph, film: Node) -> None:
    graph.add_node(film, place="left")
    graph.add_node("film", angle=30)
    assert graph.nodes["film"] == {"node": film, "place": "left", "angle": 30}
    graph.add_nodes_from([(film, {"angle": 60}), "edges"], place="right")
    assert graph.nodes["film"] == {"node": film, "place": "right", "angle": 60}
    assert len(graph) == 3


def test_two_nodes_of_one_name_are_refused(graph: Graph, show: Node) -> None:
    for add in (graph.add_node, lambda node: graph.add_edge(node, show), lambda node: graph.add_edge(show, node)):
        with pytest.raises(GraphError, match="another node is called 'film' already"):
            add(Source(name="film"))
    with pytest.raises(GraphError, match="film -> film leads back to its own node; each node needs a name"):
        Graph().add_edge(Source(name="film"), Source(name="film"))


@pytest.mark.parametrize("thing", [Source, 5, None, ("a", "b"), [], b"film"])
def test_what_is_no_node_is_refused(graph: Graph, thing: Any) -> None:
    for add in (graph.add_node, lambda node: graph.add_nodes_from([node]), lambda node: graph.add_edge("film", node)):
        with pytest.raises(GraphError, match="is not a Node: give an instance"):
            add(thing)


def test_a_name_that_is_not_in_the_graph_is_refused(graph: Graph) -> None:
    expected = ["no node 'flim' is in the graph; there are: film, edges, show"]
    new = Source(name="new")
    assert lines(lambda: graph.add_node("flim")) == expected
    assert lines(lambda: graph.add_edge(new, "flim")) == expected
    assert lines(lambda: graph.add_edge("flim", new)) == expected
    assert lines(lambda: graph.inputs("flim")) == expected
    assert lines(lambda: graph.inputs(Source(name="flim"))) == expected
    assert new not in graph


def test_a_key_that_is_not_the_nodes_name_is_refused(graph: Graph) -> None:
    with pytest.raises(GraphError, match="'other' can't be the key of the node 'new'"):
        graph.add_node("other", node=Source(name="new"))


def test_a_node_that_did_not_call_super_is_told_to(graph: Graph) -> None:
    with pytest.raises(GraphError, match=r"Unborn.__init__ must call super\(\).__init__\(name=name\)"):
        graph.add_node(Unborn("a"))
    assert Unborn("a") not in graph


def test_a_name_that_was_spoilt_later_is_refused(film: Node) -> None:
    film.name = "a/b"
    with pytest.raises(GraphError, match="a/b"):
        Graph().add_node(film)


def test_an_edge_adds_the_nodes_that_are_missing(film: Node, edges: Node) -> None:
    graph = Graph()
    graph.add_edge(film, edges)
    graph.add_edge("edges", Step(name="show"))
    assert list(graph) == ["film", "edges", "show"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"policy": "lossy"}, "policy is 'lossless', 'latest', 'drop_oldest' or None, not 'lossy'"),
        ({"policy": ["latest"]}, "policy is 'lossless', 'latest', 'drop_oldest' or None, not ['latest']"),
        *(
            ({"depth": depth}, f"depth is a whole number of chunks, 1 to 65536, not {depth!r}")
            for depth in (0, -1, 65537, 1.5, "4", True)
        ),
        (
            {"policy": "latest", "depth": 2},
            "policy 'latest' keeps one chunk: leave depth out, or use policy='drop_oldest'",
        ),
        *(
            ({"bytes": wrong}, f"bytes is a whole number of bytes, at least 1, not {wrong!r}")
            for wrong in (0, -1, 1.5, "4", True)
        ),
        (
            {"policy": "latest", "bytes": 2},
            "policy 'latest' keeps one chunk, however large: leave bytes out, or use policy='drop_oldest'",
        ),
        ({"codec": "png"}, "codec is 'jpeg', 'jpeg-444', 'exact', 'raw' or None, not 'png'"),
        ({"quality": 0}, "quality is JPEG's, a whole number from 1 to 100, not 0"),
        ({"codec": "raw", "quality": 9}, "quality is JPEG's, and codec='raw' loses nothing: leave quality out"),
        ({"polcy": 1}, "there is no option 'polcy'; there are: policy, depth, bytes, codec, quality, follow"),
    ],
)
def test_an_option_that_cannot_be_is_refused(film: Node, edges: Node, options: dict[str, Any], error: str) -> None:
    graph = Graph()
    assert lines(lambda: graph.add_edge(film, edges, **options)) == [f"the edge film -> edges: {error}"]
    assert lines(lambda: graph.add_edges_from([(film, edges, options)])) == [f"the edge film -> edges: {error}"]
    assert lines(lambda: graph.add_edges_from([(film, edges)], **options)) == [f"the edge film -> edges: {error}"]
    assert len(graph) == 0


def test_options_are_keywords(film: Node, edges: Node) -> None:
    with pytest.raises(TypeError):
        Graph().add_edge(film, edges, "latest")  # type: ignore[call-arg]


def test_an_edge_twice_or_to_itself_is_refused(graph: Graph, film: Node, edges: Node) -> None:
    with pytest.raises(GraphError, match="film -> edges is there already"):
        graph.add_edge(film, edges, policy="latest")
    with pytest.raises(GraphError, match="film -> film leads back"):
        graph.add_edge(film, film)
    assert graph.edges[film, edges]["policy"] is None


@pytest.mark.parametrize("entry", ["ab", ("film",), ("film", "edges", "latest"), 5])
def test_an_edge_of_another_form_is_refused(graph: Graph, entry: Any) -> None:
    with pytest.raises(GraphError, match=r"an edge is \(a, b\) or \(a, b, {option: value}\), not "):
        graph.add_edges_from([entry])


def test_inputs_are_in_the_order_of_the_edges(graph: Graph, show: Node) -> None:
    assert graph.inputs(show) == ["edges", "film"]
    graph.remove_edge("edges", show)
    graph.add_edge("edges", show)
    assert graph.inputs("show") == ["film", "edges"]
    assert graph.inputs("film") == []


# --- what networkx does ----------------------------------------------------------------------------------------------


def test_algorithms_of_networkx_work(graph: Graph) -> None:
    assert list(nx.topological_sort(graph)) == ["film", "edges", "show"]
    assert nx.ancestors(graph, "show") == {"film", "edges"}
    assert nx.shortest_path(graph, "film", "show") == ["film", "show"]
    assert nx.dag_longest_path(graph) == ["film", "edges", "show"]
    assert nx.is_directed_acyclic_graph(graph)
    assert set(nx.transitive_reduction(graph).edges) == {("film", "edges"), ("edges", "show")}
    assert not graph.to_undirected().is_directed()


@pytest.mark.parametrize(
    "again",
    [
        Graph.copy,
        Graph,
        copy.deepcopy,
        copy.copy,
        lambda graph: pickle.loads(pickle.dumps(graph)),
        lambda graph: graph.reverse().reverse(),
        lambda graph: graph.subgraph(graph).copy(),
        lambda graph: nx.compose(graph, Graph()),
        lambda graph: Graph(nx.DiGraph(graph)),
    ],
)
def test_a_copy_keeps_nodes_options_and_order(graph: Graph, again: Callable[[Graph], Graph]) -> None:
    graph.graph["title"] = "people"
    graph.edges["film", "show"]["policy"] = "latest"
    other = again(graph)
    assert type(other) is Graph
    assert other.inputs("show") == ["edges", "film"]
    assert other.specs() == graph.specs()
    assert other.edges["film", "show"]["policy"] == "latest"
    assert other.graph["title"] == "people"
    assert [type(node) for _, node in other.nodes.data("node")] == [Source, Step, Step]


def test_a_copy_is_apart(graph: Graph, film: Node) -> None:
    other = graph.copy()
    assert other.nodes[film]["node"] is film
    other.add_edge(Source(name="more"), "show")
    other.edges["film", "edges"]["depth"] = 3
    assert "more" not in graph
    assert graph.edges["film", "edges"]["depth"] is None


def test_a_subgraph_is_a_view_in_the_graphs_order(graph: Graph, film: Node, show: Node) -> None:
    part = graph.subgraph([show, "film", "nobody"])
    assert list(part) == ["film", "show"]
    assert film in part
    assert "edges" not in part
    assert list(part[film]) == list(part.successors(film)) == ["show"]
    assert part.inputs(show) == ["film"]
    assert part.copy().specs().names == ("film", "show")
    assert list(part.subgraph(film)) == ["film"]
    with pytest.raises(nx.NetworkXError, match="Frozen"):
        part.add_edge(film, show)
    with pytest.raises(nx.NetworkXError, match="Frozen"):
        part.add_node(film)


def test_a_small_part_of_a_large_graph_keeps_its_order() -> None:
    graph = Graph()
    graph.add_nodes_from(Source(name=f"n{index}") for index in range(40))
    names = [f"n{index}" for index in range(0, 40, 3)]
    assert list(graph.subgraph(reversed(names))) == names


def test_a_reversed_graph_has_its_edges_reversed(graph: Graph, film: Node) -> None:
    assert set(graph.reverse().edges) == {("edges", "film"), ("show", "film"), ("show", "edges")}
    assert graph.reverse().inputs(film) == ["edges", "show"]
    assert graph.reverse().nodes[film]["node"] is film
    assert list(graph.reverse(copy=False).predecessors(film)) == ["edges", "show"]


def test_a_graph_is_made_of_what_networkx_takes(film: Node, edges: Node) -> None:
    plain = nx.DiGraph(title="people")
    plain.add_edge(film, edges, depth=3)
    assert Graph(plain).graph == {"title": "people"}
    for data in ([(film, edges, {"depth": 3})], {film: {edges: {"depth": 3}}}, plain):
        assert Graph(data).edges["film", "edges"]["depth"] == 3
    assert Graph({film: [edges]}, title="people").graph == {"title": "people"}
    assert Graph([(film, edges)]).nodes[edges]["node"] is edges


@pytest.mark.parametrize("data", [5, [("a", "b")], {"a": ["b"]}, [5], nx.path_graph(3), nx.DiGraph([(1, 2)])])
def test_a_graph_of_anything_else_is_refused(data: Any) -> None:
    with pytest.raises(GraphError, match="no graph can be made of this|is not a Node"):
        Graph(data)


# --- check: the rules have test_checks.py ---------------------------------------------------------------------------


def test_a_graph_that_can_run_passes(graph: Graph, film: Node) -> None:
    graph.check()
    lone = Graph()
    lone.add_node(film)
    lone.check()
    lone.add_node(Source(name="second"))
    lone.check()


def test_an_empty_graph_is_refused() -> None:
    assert lines(Graph().check) == ["the graph is empty: add nodes with add_node() or add_edge()"]


def test_every_knot_of_cycles_is_named() -> None:
    a, b, c, d, e, f = (Step(name=name) for name in "abcdef")
    graph = Graph([(a, b), (b, c), (c, b), (d, e), (e, f), (f, d)])
    graph.nodes["a"]["node"].step = lambda: 1
    assert lines(graph.check) == [
        "the edges b -> c -> b form a cycle: a graph may have none",
        "the edges d -> e -> f -> d form a cycle: a graph may have none",
    ]


def test_all_errors_are_told_at_once() -> None:
    graph = join_of_two("zip", first={"follow": True}, second={"follow": True})
    graph.nodes["a"]["node"].rate = 0
    graph.add_edge("d", "c")
    assert [line.split(":")[0] for line in lines(graph.check)] == [
        "the edges c -> d -> c form a cycle",
        "a",
        "c",
        "follow=True on the edge a -> c contradicts join='zip'",
    ]


# --- specs -----------------------------------------------------------------------------------------------------------


def resolved(graph: Graph) -> dict[str, tuple[str, int, int, bool]]:
    return {f"{e.source}{e.target}": (e.policy, e.depth, e.slots, e.follow) for e in graph.specs().edges}


def test_specs_are_in_topological_order(graph: Graph) -> None:
    specs = graph.specs()
    assert specs.names == ("film", "edges", "show")
    assert specs.kinds == {"film": "source", "edges": "step", "show": "sink"}
    assert specs.edges == (
        EdgeSpec(0, "film", "edges", "lossless", 256, 4, True),
        EdgeSpec(1, "edges", "show", "lossless", 256, 4, True),
        EdgeSpec(2, "film", "show", "lossless", 256, 4, True),
    )


def test_where_the_edges_leave_a_choice_the_order_of_adding_holds() -> None:
    nodes = {name: (Step if name == "m" else Source)(name=name) for name in "zmay"}
    graph = Graph()
    graph.add_nodes_from(nodes.values())
    graph.add_edge("a", "m")
    assert graph.specs().names == ("z", "a", "m", "y")


def test_a_lone_node_is_a_source(film: Node) -> None:
    graph = Graph()
    graph.add_node(film)
    assert graph.specs() == (("film",), {"film": "source"}, (), {"film": JoinSpec()}, frozenset(), ())


def test_specs_of_a_graph_that_cannot_run_are_refused() -> None:
    assert lines(Graph().specs) == lines(Graph().check)


def test_a_step_follows_its_first_edge_and_samples_the_others() -> None:
    assert resolved(join_of_two()) == {
        "ac": ("lossless", 256, 4, True),
        "bc": ("latest", 1, 1, False),
        "cd": ("lossless", 256, 4, True),
    }


def test_a_step_follows_the_edge_that_says_so() -> None:
    graph = join_of_two(second={"follow": True, "depth": 2})
    assert resolved(graph)["ac"] == ("latest", 1, 1, False)
    assert resolved(graph)["bc"] == ("lossless", 2, 2, True)


@pytest.mark.parametrize(("join", "sink"), [("any", False), (None, True), ("any", True)])
def test_with_any_all_edges_cause_steps(join: str | None, sink: bool) -> None:
    graph = join_of_two(join, sink=sink)
    assert resolved(graph)["ac"] == resolved(graph)["bc"] == ("lossless", 256, 4, True)


def test_a_sink_may_follow() -> None:
    assert resolved(join_of_two("follow", sink=True))["bc"] == ("latest", 1, 1, False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("lossless", 256, 4, True)),
        ({"depth": 3}, ("lossless", 3, 3, True)),
        ({"depth": 65536}, ("lossless", 65536, 4, True)),
        ({"policy": "latest"}, ("latest", 1, 1, True)),
        ({"policy": "drop_oldest"}, ("drop_oldest", 4, 4, True)),
        ({"policy": "drop_oldest", "depth": 9}, ("drop_oldest", 9, 9, True)),
    ],
)
def test_policies_and_depths_are_resolved(options: dict[str, Any], expected: tuple[str, int, int, bool]) -> None:
    assert resolved(Graph([(Source(name="a"), Step(name="b"), options)])) == {"ab": expected}


def test_out_of_a_live_source_the_oldest_is_dropped() -> None:
    graph = join_of_two()
    for name in "ab":
        graph.nodes[name]["node"].live = True
    assert resolved(graph)["ac"] == ("drop_oldest", 4, 4, True)
    assert resolved(graph)["bc"] == ("latest", 1, 1, False)
    asked = join_of_two(first={"policy": "lossless"})
    asked.nodes["a"]["node"].live = True
    assert resolved(asked)["ac"] == ("lossless", 256, 4, True)


# --- drawing ---------------------------------------------------------------------------------------------------------


def test_a_graph_draws_its_policies() -> None:
    graph = join_of_two(first={"policy": "drop_oldest", "depth": 8})
    assert graph.mermaid().splitlines() == [
        "flowchart LR",
        *(f'    n{index}["{name}"]' for index, name in enumerate("acbd")),
        '    n0 -->|"drop_oldest(8)"| n1',
        "    n1 --> n3",
        '    n2 -->|"latest"| n1',
    ]
    assert "drop_oldest(8)" in graph._repr_html_() == graph.svg()
    assert '[label="drop_oldest(8)"]' in graph.dot()
    assert "drop_oldest(8)" in [text.get_text() for text in graph.plot().axes[0].texts]


def test_a_graph_that_cannot_run_can_be_drawn() -> None:
    a, b = Step(name="a"), Step(name="b", join="zip")
    for graph in (Graph(), Graph([(a, b), (b, a)])):
        assert graph.mermaid().startswith("flowchart LR")
        assert graph._repr_html_().startswith("<svg")
        assert graph.plot().axes
