"""The result of `Manager.status()`: frozen values, combined from the workers' reports."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from .wire.messages import EdgeCounters, NodeCounters
from .wire.plan_specs import EdgePlan, NodeSpec

if TYPE_CHECKING:
    from .control.manager.machine import ManagerMachine


class WorkerStatus(msgspec.Struct, frozen=True):
    """A registered worker: its daemon's process id and the names of the nodes that it runs.

    Attributes:
        id: the owner's name for the machine.
        pickle: whether it takes pickled values.
    """

    name: str
    pid: int
    nodes: tuple[str, ...]
    id: str = ""
    pickle: bool = True


class NodeStatus(msgspec.Struct, frozen=True):
    """A node.

    Attributes:
        state: "starting", "ready", "running", "ended", "failed", "closed" or "dead".
        rate: steps per second, over the last two seconds; after its end, over all the time in which it ran.
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
        derived: whether in_flight was computed from the others. At rest it is not: the chunks are counted where they lie,
            unless an end's process has died, or they lie between hosts.
        bytes: sent so far.
        copied: frames that the target's runtime copied, because the node held more than its `hold`.
        transport: "ring" or "socket" within a host, where frames lie in shared memory and nothing is encoded; "link"
            between hosts.
        codec: of a link, what frames and arrays have gone by so far: "jpeg", "exact", "raw", ...; None if by nothing yet.
        encoded: of a link, the bytes put on the wire so far; edges that go together are sent once, and each has them all.
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
    encoded: int = 0


class Status(msgspec.Struct, frozen=True):
    """The Manager's view of everything: `nodes` by name, `edges` by (source, target), `workers` by name."""

    state: str
    workers: dict[str, WorkerStatus]
    nodes: dict[str, NodeStatus]
    edges: dict[tuple[str, str], EdgeStatus]

    @property
    def conserves(self) -> bool:
        """Whether sent = received + dropped + in_flight on every edge. It does not for a moment after a stop that could
        not wait: chunks between two paused nodes are counted when they arrive."""
        return all(
            edge.sent == edge.received + sum(edge.dropped.values()) + edge.in_flight for edge in self.edges.values()
        )


def status_of(machine: ManagerMachine) -> Status:
    """The present state, with the counters that the workers reported last."""
    counts = {name: count for report in machine.reports.values() for name, count in report.nodes.items()}
    plan, members = machine.plan, dict(machine.members)
    nodes = {
        spec.name: node_status(spec, members[spec.name].state.value, counts.get(spec.name))
        for spec in (plan.nodes if plan else ())
    }
    workers = {
        name: WorkerStatus(
            name,
            worker.pid,
            tuple(n for n, member in members.items() if member.worker == name),
            worker.id,
            worker.pickle,
        )
        for name, worker in dict(machine.registry.workers).items()
    }
    edges = edge_statuses(plan.edges if plan else (), counts, machine.at_rest)
    return Status(machine.state.value, workers, nodes, edges)


def node_status(spec: NodeSpec, state: str, count: NodeCounters | None) -> NodeStatus:
    """A node whose counters may not (or no longer) be known; the Manager knows its `state` best."""
    if count is None:
        return NodeStatus(spec.name, state, spec.worker)
    return NodeStatus(
        spec.name, state, spec.worker, count.pid, count.steps, count.errors, count.rate,
        count.p50, count.p95, count.cpu, count.memory, count.busy,
    )  # fmt: skip


def edge_statuses(
    edges: Iterable[EdgePlan], counts: Mapping[str, NodeCounters], at_rest: Container[str]
) -> dict[tuple[str, str], EdgeStatus]:
    """All edges, each from the counters of its two ends. `at_rest`: the nodes that have counted their chunks."""
    return {(edge.spec.source, edge.spec.target): _edge_status(edge, counts, at_rest) for edge in edges}


def _edge_status(edge: EdgePlan, counts: Mapping[str, NodeCounters], at_rest: Container[str]) -> EdgeStatus:
    spec = edge.spec
    nothing = EdgeCounters()
    target, source = counts.get(spec.target), counts.get(spec.source)
    arriving = target.inputs.get(spec.index, nothing) if target else nothing
    leaving = source.outputs.get(spec.index, nothing) if source else nothing
    dropped = dict(leaving.dropped)
    for reason, count in arriving.dropped.items():
        dropped[reason] = dropped.get(reason, 0) + count
    counted = edge.transport != "link" and spec.source in at_rest and spec.target in at_rest
    derived = max(0, leaving.sent - arriving.received - sum(dropped.values()))
    in_flight = leaving.waiting + arriving.waiting if counted else derived
    return EdgeStatus(
        spec.source, spec.target, leaving.sent, arriving.received, dropped, in_flight, leaving.bytes, arriving.copied,
        spec.policy, edge.transport, _codec(leaving.codecs), not counted,
        encoded=leaving.encoded,
    )  # fmt: skip


def _codec(used: int) -> str | None:
    """The names of the codecs whose bits are set; raw ones that go beside others are small change."""
    from .codecs.registry import CODECS  # numpy: commands that only show a status are to be there at once

    names = [codec.name for number, codec in sorted(CODECS.items()) if used >> number & 1]
    return "+".join(names[1:] if len(names) > 1 and names[0] == "raw" else names) or None
