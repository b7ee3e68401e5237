"""Which worker runs which node, and how each edge goes: decided once, at commit.

Names in, values out. No I/O, no clock, no graph library, no state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from ..errors import GraphError
from ..node import Node
from ..wire.specs import EdgePlan, EdgeSpec, Host

Nodes = Sequence[str | Node]
NodeMapping = Mapping[str, Nodes] | Mapping[str | tuple[str, ...], Nodes]  # two, as a Mapping's key type is invariant
ALLOCATED = 3  # the newest, which is kept for gather(), the one before while that is replaced, and one in the making
NONE_REGISTERED = "no worker is registered: make one with Worker(name='local') and connect() it to the Manager"


def assign(names: Sequence[str], mapping: NodeMapping | None, workers: Collection[str]) -> dict[str, str]:
    """The worker of each node.

    Args:
        names: all nodes of the graph.
        mapping: {worker's name: its nodes, as names or Node objects}. None: all on the only worker.
        workers: the names of those that are registered.

    Raises:
        GraphError: all that does not fit, one error a line.
    """
    if mapping is None:
        return dict.fromkeys(names, _only(workers))
    if not isinstance(mapping, Mapping):
        raise GraphError(f"a mapping is {{worker's name: [nodes]}}, not {mapping!r}")
    pairs = [(worker, node) for worker, nodes in mapping.items() for node in _listed(nodes)]
    errors = [*_worker_errors(mapping, workers), *_node_errors(names, pairs)]
    if errors:
        raise GraphError("\n".join(errors))
    return {str(_name(node)): str(worker) for worker, node in pairs}


def place(
    edges: Iterable[EdgeSpec], assignment: Mapping[str, str], hosts: Mapping[str, Host], nonce: Callable[[], str]
) -> tuple[EdgePlan, ...]:
    """How each edge goes.

    Args:
        edges: of the checked graph.
        assignment: as `assign` gives it.
        hosts: where each worker runs.
        nonce: makes the secret by which two workers of a host know an edge; called once for each edge between two.

    Raises:
        GraphError: edges cross hosts, one a line.
    """
    plans, errors = [], []
    for edge in edges:
        a, b = assignment[edge.source], assignment[edge.target]
        if a == b:
            plans.append(EdgePlan(edge, a, b))
        elif hosts[a].shares_memory_with(hosts[b]):
            plans.append(EdgePlan(edge, a, b, nonce=nonce(), address=hosts[b].address))
        else:
            edge_text = f"{edge.source!r} -> {edge.target!r} crosses hosts ({a}, {b})"
            errors.append(f"{edge_text}: not supported yet; map both to workers of one host")
    if errors:
        raise GraphError("\n".join(errors))
    return tuple(plans)


def _only(workers: Collection[str]) -> str:
    if not workers:
        raise GraphError(NONE_REGISTERED)
    if len(workers) > 1:
        raise GraphError(f"several workers are registered ({', '.join(sorted(workers))}): give a mapping")
    return next(iter(workers))


def _lone(nodes: object) -> bool:
    """Whether this stands where a list of nodes belongs."""
    return isinstance(nodes, str | Node) or not isinstance(nodes, Iterable)


def _listed(nodes: Nodes) -> Iterable[object]:
    # A lone name is refused, but counts as mapped: one mistake gives one error.
    return [nodes] if _lone(nodes) else nodes


def _name(node: object) -> object:
    return node.name if isinstance(node, Node) else node


def _worker_errors(mapping: NodeMapping, workers: Collection[str]) -> Iterator[str]:
    for worker, nodes in mapping.items():
        if isinstance(worker, tuple):
            yield f"mapping {worker!r}: nodes that may move between workers are not supported yet; name one worker"
        elif worker not in workers:
            there = f"registered: {', '.join(sorted(workers))}" if workers else NONE_REGISTERED
            yield f"mapping {worker!r}: no such worker; {there}"
        if _lone(nodes):
            yield f"mapping {worker!r}: give a list of nodes, not {nodes!r}"


def _node_errors(names: Sequence[str], pairs: Sequence[tuple[object, object]]) -> Iterator[str]:
    mapped: dict[str, list[object]] = {name: [] for name in names}
    for worker, node in pairs:
        name = _name(node)
        if isinstance(name, str) and name in mapped:
            mapped[name].append(worker)
        else:
            yield f"mapping {worker!r}: no node {name!r} is in the graph; there are: {', '.join(names)}"
    for name, found in mapped.items():
        if not found:
            yield f"node {name!r} is mapped to no worker"
        elif len(found) > 1:
            yield f"node {name!r} is mapped {len(found)} times: {', '.join(map(str, found))}"


def slots_needed(names: Sequence[str], edges: Sequence[EdgeSpec], hold: Mapping[str, int]) -> dict[str, int]:
    """How many slots each node's output needs: one to write, those that the node may keep of what it allocated, and all
    that can lie on or be held behind any edge that a frame of it may reach, as frames are handed on without copies.
    `hold` is each node's own limit."""
    taken = {edge.index: edge.slots + hold[edge.target] + 2 for edge in edges}
    reach: dict[str, set[int]] = {}
    for name in reversed(names):  # topological: all that follow come first
        leaving = [edge for edge in edges if edge.source == name]
        reach[name] = {edge.index for edge in leaving}.union(*(reach[edge.target] for edge in leaving))
    return {name: 1 + ALLOCATED + sum(taken[index] for index in reach[name]) for name in names}
