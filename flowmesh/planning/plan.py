"""The plan of a graph: the worker of each node, the transport of each edge, the shipped code. Nothing is sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..control.manager.workers import RegisteredWorker
from ..errors import ShippingError
from ..graph.graph import Graph, GraphSpecs
from ..node import Node
from ..shipping.bundle import pack_code
from ..wire.plan_specs import JoinSpec, NodeSpec, Plan
from . import placement

if TYPE_CHECKING:
    from ..recording.placement import RecordRequest


def plan_of(
    graph: Graph,
    mapping: Mapping[str, Sequence[str | Node]] | None,
    packages: Iterable[str | Path],
    workers: Mapping[str, RegisteredWorker],
    session: Path | None = None,
) -> Plan:
    """The first run of a graph that was checked, on these workers.

    Args:
        session: of a graph that is recorded, the folder of its session.

    Raises:
        GraphError: the mapping contradicts itself, the graph or the workers.
        ShippingError: something can't be pickled, or a package can't be shipped.
    """
    if isinstance(packages, str | Path):
        raise ShippingError(f"packages is a list of folders: write packages=[{str(packages)!r}]")
    specs = graph.specs()
    nodes_of: dict[str, Node] = dict(graph.nodes.data("node"))
    hosts = {name: worker.host for name, worker in workers.items()}
    assigned = placement.assign_workers(specs.names, mapping, hosts)
    if graph.recording is not None and session is not None:
        specs = _with_recorders(specs, graph.recording, nodes_of, assigned, session)
    edges = placement.place_edges(specs.edges, assigned, hosts, lambda: secrets.token_hex(16))
    edges = placement.without_pickle(edges, [name for name, worker in workers.items() if not worker.pickle])
    code, instances = pack_code([nodes_of[name] for name in specs.names], packages)
    hold = {name: nodes_of[name].hold for name in specs.names}
    slots = placement.slots_needed(specs.names, edges, hold)
    nodes = tuple(
        NodeSpec(
            index,
            name,
            specs.kinds[name],
            instances[name],
            assigned[name],
            slots[name],
            specs.joins[name],
            name in specs.marks,
            specs.forks,
        )
        for index, name in enumerate(specs.names)
    )
    transfers = placement.transfers(specs.names, edges, hold)
    return Plan(f"{secrets.token_hex(4)}.1", 1, specs.names, nodes, edges, code, transfers)


def _with_recorders(
    specs: GraphSpecs, request: RecordRequest, nodes: dict[str, Node], assigned: dict[str, str], session: Path
) -> GraphSpecs:
    """The specs with recorders behind all other nodes; these are added to `nodes` and `assigned` as well."""
    from ..recording.placement import place_recorders

    live = [name for name in specs.names if specs.kinds[name] == "source" and nodes[name].live]
    placed = place_recorders(request, specs.names, specs.edges, live, assigned, session)
    for one in placed:
        nodes[one.node.name] = one.node
        assigned[one.node.name] = one.worker
    added = tuple(one.node.name for one in placed)
    return specs._replace(
        names=specs.names + added,
        kinds=specs.kinds | dict.fromkeys(added, "sink"),
        edges=specs.edges + tuple(edge for one in placed for edge in one.edges),
        joins=specs.joins | {name: JoinSpec() for name in added},
    )
