from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from flowmesh.errors import GraphError
from flowmesh.node import Node
from flowmesh.planning.placement import assign_workers, place_edges, slots_needed, transfers, without_pickle
from flowmesh.wire.plan_specs import EdgePlan, EdgeSpec, Host

NAMES = ("film", "edges", "show")
SAME = {"local": Host("boot", 1, 1000, "@local"), "second": Host("boot", 1, 1000, "@second")}
EDGES = (EdgeSpec(0, "film", "edges"), EdgeSpec(1, "edges", "show"))


def lines(call: Callable[[], object]) -> list[str]:
    with pytest.raises(GraphError) as caught:
        call()
    return str(caught.value).splitlines()


@pytest.fixture
def nonce() -> Callable[[], str]:
    numbers: Iterator[int] = count(1)
    return lambda: f"nonce-{next(numbers)}"


def test_each_node_goes_where_the_mapping_says() -> None:
    mapping = {"local": ["film"], "second": ("edges", "show")}
    assert assign_workers(NAMES, mapping, ["second", "local"]) == {"film": "local", "edges": "second", "show": "second"}


def test_nodes_may_be_given_as_objects_and_by_an_iterator() -> None:
    nodes: Any = (Node(name=name) for name in NAMES)
    assert assign_workers(NAMES, {"local": nodes}, {"local"}) == dict.fromkeys(NAMES, "local")


def test_a_worker_may_have_nothing_to_do() -> None:
    assert set(assign_workers(NAMES, {"local": NAMES, "second": []}, SAME).values()) == {"local"}


def test_without_a_mapping_the_only_worker_runs_all() -> None:
    assert assign_workers(NAMES, None, {"local": object()}) == dict.fromkeys(NAMES, "local")


def test_without_a_mapping_several_workers_are_an_error() -> None:
    assert lines(lambda: assign_workers(NAMES, None, ["second", "local"])) == [
        "several workers are registered (local, second): give a mapping"
    ]


def test_without_workers_the_way_to_one_is_told() -> None:
    advice = "no worker is registered: make one with Worker(name='local') and connect() it to the Manager"
    assert lines(lambda: assign_workers(NAMES, None, [])) == [advice]
    assert lines(lambda: assign_workers(NAMES, {"local": NAMES}, [])) == [f"mapping 'local': no such worker; {advice}"]


@pytest.mark.parametrize(
    ("mapping", "error"),
    [
        ({"local": ["film", "edges"]}, "node 'show' is mapped to no worker"),
        ({"local": [*NAMES, "film"]}, "node 'film' is mapped 2 times: local, local"),
        ({"local": NAMES, "second": ["show"]}, "node 'show' is mapped 2 times: local, second"),
        (
            {"local": [*NAMES, "shwo"]},
            "mapping 'local': no node 'shwo' is in the graph; there are: film, edges, show",
        ),
        (
            {"local": [*NAMES, ["film"]]},
            "mapping 'local': no node ['film'] is in the graph; there are: film, edges, show",
        ),
        ({"loacl": NAMES}, "mapping 'loacl': no such worker; registered: local, second"),
        ({"local": NAMES[:2], "second": "show"}, "mapping 'second': give a list of nodes, not 'show'"),
        (
            {"local": NAMES[:2], "second": Node(name="show")},
            "mapping 'second': give a list of nodes, not <Node 'show'>",
        ),
        (
            {"local": NAMES[:2], ("local", "second"): ["show"]},
            "mapping ('local', 'second'): nodes that may move between workers are not supported yet; name one worker",
        ),
    ],
)
def test_one_mistake_gives_one_error(mapping: Any, error: str) -> None:
    assert lines(lambda: assign_workers(NAMES, mapping, SAME)) == [error]


def test_all_mistakes_are_told_at_once() -> None:
    mapping: Any = {"gone": ["film", "film"], "local": 5}
    assert lines(lambda: assign_workers(NAMES, mapping, SAME)) == [
        "mapping 'gone': no such worker; registered: local, second",
        "mapping 'local': give a list of nodes, not 5",
        "mapping 'local': no node 5 is in the graph; there are: film, edges, show",
        "node 'film' is mapped 2 times: gone, gone",
        "node 'edges' is mapped to no worker",
        "node 'show' is mapped to no worker",
    ]


def test_a_mapping_is_a_mapping() -> None:
    mapping: Any = ["film"]
    assert lines(lambda: assign_workers(NAMES, mapping, SAME)) == [
        "a mapping is {worker's name: [nodes]}, not ['film']"
    ]


def test_an_edge_within_a_worker_needs_no_nonce(nonce: Callable[[], str]) -> None:
    plans = place_edges(EDGES, dict.fromkeys(NAMES, "local"), SAME, nonce)
    assert plans == tuple(EdgePlan(edge, "local", "local", "socket") for edge in EDGES)


def test_an_edge_between_workers_of_a_host_has_a_nonce_and_the_targets_address(nonce: Callable[[], str]) -> None:
    assignment = {"film": "local", "edges": "second", "show": "local"}
    assert place_edges(EDGES, assignment, SAME, nonce) == (
        EdgePlan(EDGES[0], "local", "second", "socket", "nonce-1", "@second"),
        EdgePlan(EDGES[1], "second", "local", "socket", "nonce-2", "@local"),
    )


@pytest.mark.parametrize("other", [Host("b", 1, 1000, "@"), Host("boot", 2, 1000, "@"), Host("boot", 1, 0, "@")])
def test_edges_that_cross_hosts_go_by_a_link(other: Host, nonce: Callable[[], str]) -> None:
    assignment = {"film": "local", "edges": "far", "show": "local"}
    assert place_edges(EDGES, assignment, {**SAME, "far": other}, nonce) == (
        EdgePlan(EDGES[0], "local", "far", "link", transfer=0),
        EdgePlan(EDGES[1], "far", "local", "link", transfer=1),
    )


FAN = tuple(f"show{number}" for number in range(6))
FAR = {"far": Host("other", 1, 1000, "@far"), "further": Host("third", 1, 1000, "@further")}


def crossing(*edges: EdgeSpec, **workers: str) -> tuple[EdgePlan, ...]:
    """The plans of these edges; nodes are on the worker "local" unless said."""
    names = {name for edge in edges for name in (edge.source, edge.target)}
    return place_edges(edges, dict.fromkeys(names, "local") | workers, {**SAME, **FAR}, lambda: "nonce")


def test_edges_of_one_output_to_one_worker_go_together_if_they_agree() -> None:
    edges = [
        EdgeSpec(0, "film", "show0"),
        EdgeSpec(1, "film", "show1", policy="latest", depth=1, slots=1),
        EdgeSpec(2, "film", "show2"),
        EdgeSpec(3, "film", "show3", codec="exact"),
        EdgeSpec(4, "film", "show4"),
        EdgeSpec(5, "other", "show5"),
    ]
    workers = dict.fromkeys(FAN, "far") | {"show4": "further"}
    plans = crossing(*edges, **workers)
    assert [plan.transfer for plan in plans] == [0, 1, 0, 2, 3, 4]
    parts = transfers(("film", "other", *FAN), plans, dict.fromkeys(FAN, 4))
    assert [part.index for part in parts] == [0, 1, 2, 3, 4]
    assert [tuple(edge.index for edge in part.edges) for part in parts] == [(0, 2), (1,), (3,), (4,), (5,)]
    assert [(part.source, part.output) for part in parts] == [("film", 0)] * 4 + [("other", 1)]
    assert [(part.source_worker, part.target_worker) for part in parts][3:] == [("local", "further"), ("local", "far")]


def test_where_nothing_crosses_hosts_there_is_no_transfer() -> None:
    assert transfers(NAMES, crossing(*EDGES), dict.fromkeys(NAMES, 4)) == ()


def test_an_output_needs_slots_for_all_that_a_frame_may_reach_without_a_copy() -> None:
    plans = crossing(*EDGES)
    assert slots_needed(NAMES, plans, {"film": 9, "edges": 4, "show": 2}) == {
        "film": 1 + 3 + (4 + 4 + 2) + (4 + 2 + 2),
        "edges": 1 + 3 + (4 + 2 + 2),
        "show": 1 + 3,
    }


def test_to_another_host_goes_a_copy_which_is_in_the_links_slots_there() -> None:
    edges = (
        EdgeSpec(0, "film", "edges"),
        EdgeSpec(1, "film", "show0"),
        EdgeSpec(2, "edges", "show1"),
        EdgeSpec(3, "edges", "show2"),
    )
    plans = crossing(*edges, edges="far", show0="far", show1="far")
    names = ("film", "edges", "show0", "show1", "show2")
    hold = dict.fromkeys(names, 1)
    needed = slots_needed(names, plans, hold)
    assert (needed["film"], needed["edges"]) == (1 + 3 + (4 + 2), 1 + 3 + (4 + 1 + 2) + (4 + 2))
    there, back = transfers(names, plans, hold)
    assert there.slots == 1 + (4 + 1 + 2) + (4 + 1 + 2) + (4 + 1 + 2) + (4 + 2)
    assert back.slots == 1 + (4 + 1 + 2)


def test_workers_on_two_hosts_are_fine_where_no_edge_joins_them(nonce: Callable[[], str]) -> None:
    hosts = {**SAME, "far": Host("other", 1, 1000, "@far")}
    assert len(place_edges(EDGES[:1], {"film": "local", "edges": "local", "show": "far"}, hosts, nonce)) == 1


def test_edges_to_a_worker_that_refuses_pickle_are_marked() -> None:
    plans = (EdgePlan(EDGES[0], "a", "b"), EdgePlan(EDGES[1], "b", "a"))
    assert [plan.pickle for plan in without_pickle(plans, ["b"])] == [False, True]
    assert without_pickle(plans, []) == plans
