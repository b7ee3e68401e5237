"""What `Manager.status()` gives: frozen values, put together from the workers' reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from .wire.messages import EdgeCount, NodeCount
from .wire.specs import EdgePlan, NodeSpec


class WorkerStatus(msgspec.Struct, frozen=True):
    """A registered worker: its daemon's process id and the names of the nodes that it runs."""

    name: str
    pid: int
    nodes: tuple[str, ...]


class NodeStatus(msgspec.Struct, frozen=True):
    """A node.

    Attributes:
        state: "starting", "ready", "running", "ended", "failed", "closed" or "dead".
        rate: steps a second, over the last two seconds; after its end, over all the time in which it ran.
        p50, p95: step times in seconds.
        cpu: processor time in seconds; memory: resident bytes (the largest, once the process has ended).
        busy: seconds for which the present step has lasted.
    """

    name: str
    state: str
    worker: str
    pid: int = 0
    steps: int = 0
    errors: int = 0
    rate: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    busy: float = 0.0


class EdgeStatus(msgspec.Struct, frozen=True):
    """An edge: sent = received + dropped + in_flight.

    Attributes:
        dropped: reason -> count.
        in_flight: chunks that are neither received nor dropped.
        derived: whether in_flight was computed from the others, not counted where the chunks lie.
        bytes: sent so far.
        copied: frames that the target's runtime copied, because the node held more than its `hold`.
        transport: "socket".
        codec: None where nothing is encoded.
    """

    source: str
    target: str
    sent: int = 0
    received: int = 0
    dropped: Mapping[str, int] = {}
    in_flight: int = 0
    bytes: int = 0
    copied: int = 0
    policy: str = "lossless"
    transport: str = "socket"
    codec: str | None = None
    derived: bool = True


class Status(msgspec.Struct, frozen=True):
    """The Manager's view of everything: `nodes` by name, `edges` by (source, target), `workers` by name."""

    state: str
    workers: dict[str, WorkerStatus]
    nodes: dict[str, NodeStatus]
    edges: dict[tuple[str, str], EdgeStatus]


def node_status(spec: NodeSpec, state: str, count: NodeCount | None) -> NodeStatus:
    """A node whose counters may not (or no longer) be known; the Manager knows its `state` best."""
    if count is None:
        return NodeStatus(spec.name, state, spec.worker)
    return NodeStatus(
        spec.name, state, spec.worker, count.pid, count.steps, count.errors, count.rate,
        count.p50, count.p95, count.cpu, count.memory, count.busy,
    )  # fmt: skip


def edge_statuses(edges: Iterable[EdgePlan], counts: Mapping[str, NodeCount]) -> dict[tuple[str, str], EdgeStatus]:
    """All edges, each from the counters of its two ends."""
    return {(edge.spec.source, edge.spec.target): _edge_status(edge, counts) for edge in edges}


def _edge_status(edge: EdgePlan, counts: Mapping[str, NodeCount]) -> EdgeStatus:
    spec = edge.spec
    nothing = EdgeCount()
    target, source = counts.get(spec.target), counts.get(spec.source)
    arriving = target.inputs.get(spec.index, nothing) if target else nothing
    leaving = source.outputs.get(spec.index, nothing) if source else nothing
    dropped = dict(leaving.dropped)
    for reason, count in arriving.dropped.items():
        dropped[reason] = dropped.get(reason, 0) + count
    in_flight = max(0, leaving.sent - arriving.received - sum(dropped.values()))
    return EdgeStatus(
        spec.source, spec.target, leaving.sent, arriving.received, dropped, in_flight, leaving.bytes, arriving.copied,
        spec.policy, edge.transport, spec.codec,
    )  # fmt: skip
