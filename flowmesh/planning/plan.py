"""From a graph to its plan: where each node runs, how each edge goes, and the code that is shipped. Nothing is sent here."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..control.manager.workers import RegisteredWorker
from ..errors import ShippingError
from ..graph.graph import Graph
from ..node import Node
from ..shipping.bundle import pack_code
from ..wire.plan_specs import NodeSpec, Plan
from . import placement


def plan_of(
    graph: Graph,
    mapping: Mapping[str, Sequence[str | Node]] | None,
    packages: Iterable[str | Path],
    workers: Mapping[str, RegisteredWorker],
) -> Plan:
    """The first run of a graph that was checked, on these workers.

    Raises:
        GraphError: the mapping contradicts itself, the graph or the workers.
        ShippingError: something can't be pickled, or a package can't be shipped.
    """
    if isinstance(packages, str | Path):
        raise ShippingError(f"packages is a list of folders: write packages=[{str(packages)!r}]")
    specs = graph.specs()
    hosts = {name: worker.host for name, worker in workers.items()}
    assigned = placement.assign_workers(specs.names, mapping, hosts)
    edges = placement.place_edges(specs.edges, assigned, hosts, lambda: secrets.token_hex(16))
    edges = placement.without_pickle(edges, [name for name, worker in workers.items() if not worker.pickle])
    code, instances = pack_code([graph.nodes[name]["node"] for name in specs.names], packages)
    hold = {name: graph.nodes[name]["node"].hold for name in specs.names}
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
