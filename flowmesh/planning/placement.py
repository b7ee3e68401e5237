"""Placement of nodes on workers, and the transport of each edge: decided once, at commit.

Names in, values out. No I/O, no clock, no graph library, no state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from ..errors import GraphError
from ..node import Node
from ..wire.plan_specs import ALLOCATED, EdgePlan, EdgeSpec, Host, Transfer

Nodes = Sequence[str | Node]
NodeMapping = Mapping[str, Nodes] | Mapping[str | tuple[str, ...], Nodes]  # two, as a Mapping's key type is invariant
NONE_REGISTERED = "no worker is registered: make one with Worker(name='local') and connect() it to the Manager"


def assign_workers(names: Sequence[str], mapping: NodeMapping | None, workers: Collection[str]) -> dict[str, str]:
    """The worker of each node.

    Args:
        names: all nodes of the graph.
        mapping: {worker's name: its nodes, as names or Node objects}. None: all on the only worker.
        workers: the names of those that are registered.

    Raises:
        GraphError: all that does not fit, one error per line.
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


def place_edges(
    edges: Iterable[EdgeSpec], assignment: Mapping[str, str], hosts: Mapping[str, Host], nonce: Callable[[], str]
) -> tuple[EdgePlan, ...]:
    """The plan of each edge. Edges that are sent together from one host to another have the same `transfer`.

    Args:
        edges: of the checked graph.
        assignment: the result of `assign_workers`.
        hosts: where each worker runs.
        nonce: makes the secret by which two workers of a host know an edge; called once for each edge between two.
    """
    plans: list[EdgePlan] = []
    together: dict[object, int] = {}
    for edge in edges:
        a, b = assignment[edge.source], assignment[edge.target]
        if a == b:
            plans.append(EdgePlan(edge, a, b, transport=_channel(edge, hosts[a])))
        elif hosts[a].shares_memory_with(hosts[b]):
            plans.append(EdgePlan(edge, a, b, _channel(edge, hosts[a]), nonce(), hosts[b].address))
        else:
            alike = (edge.source, b, edge.policy, edge.depth, edge.slots, edge.bytes, edge.codec, edge.quality)
            transfer = together.setdefault(alike, len(together))
            plans.append(EdgePlan(edge, a, b, transport="link", transfer=transfer))
    return tuple(plans)


def without_pickle(edges: Iterable[EdgePlan], refusing: Collection[str]) -> tuple[EdgePlan, ...]:
    """The edges, marked where they lead to one of the workers that take no pickled values."""
    return tuple(
        msgspec.structs.replace(edge, pickle=False) if edge.target_worker in refusing else edge for edge in edges
    )


def _channel(edge: EdgeSpec, host: Host) -> str:
    """Of the kinds of channel, the ring needs stores that are seen in order, and a reader who takes all that it is sent."""
    return "ring" if edge.policy == "lossless" and host.machine == "x86_64" else "socket"


def transfers(names: Sequence[str], edges: Sequence[EdgePlan], hold: Mapping[str, int]) -> tuple[Transfer, ...]:
    """The transfers between hosts, in the order of their index. `hold` as in `slots_needed`."""
    reach = _Reach(names, edges, hold)
    parts: dict[int, list[EdgePlan]] = {}
    for edge in edges:
        if edge.transport == "link":
            parts.setdefault(edge.transfer, []).append(edge)
    return tuple(
        Transfer(
            index=index,
            source=part[0].spec.source,
            output=names.index(part[0].spec.source),
            source_worker=part[0].source_worker,
            target_worker=part[0].target_worker,
            edges=tuple(edge.spec for edge in part),
            slots=1 + reach.slots_beyond(part),
        )
        for index, part in sorted(parts.items())
    )


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


def slots_needed(names: Sequence[str], edges: Sequence[EdgePlan], hold: Mapping[str, int]) -> dict[str, int]:
    """The number of slots that each node's output needs: one to write, those that the node may keep of what it
    allocated, and all that can lie on or be held behind any edge that a frame of it may reach, as frames are forwarded
    without copies. `hold` is each node's own limit. `names` are in topological order."""
    reach = _Reach(names, edges, hold)
    return {name: 1 + ALLOCATED + reach.slots(name) for name in names}


class _Reach:
    """The edges that a frame may reach without a copy, and the number of one arena's slots that can be taken there. To
    another host
    goes a copy: there it ends, and from there another arena's frames go on."""

    def __init__(self, names: Sequence[str], edges: Sequence[EdgePlan], hold: Mapping[str, int]) -> None:
        self._taken: dict[object, int] = {}
        self._behind: dict[str, set[object]] = {}
        for edge in edges:
            self._taken[edge.spec.index] = edge.spec.slots + edge.spec.max_waiting + hold[edge.spec.target] + 2
            if edge.transport == "link":
                self._taken[_crossing(edge)] = edge.spec.slots + 2  # the gateway holds none beyond the window
        for name in reversed(names):  # topological: all that follow come first
            self._behind[name] = set()
            for edge in edges:
                if edge.spec.source == name:
                    self._behind[name] |= {_crossing(edge)} if edge.transport == "link" else self._from(edge)

    def _from(self, edge: EdgePlan) -> set[object]:
        return {edge.spec.index, *self._behind[edge.spec.target]}

    def slots(self, name: str) -> int:
        """The slots of what the node of that name emits."""
        return sum(self._taken[index] for index in self._behind[name])

    def slots_beyond(self, edges: Iterable[EdgePlan]) -> int:
        """The slots of what a gateway passes to these edges' targets."""
        return sum(self._taken[index] for index in set[object]().union(*map(self._from, edges)))


def _crossing(edge: EdgePlan) -> object:
    return ("transfer", edge.transfer)
