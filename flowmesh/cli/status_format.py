"""A Manager's status as text and as plain values for JSON. No I/O besides `survey`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from ..status import EdgeStatus, Status
from ..transport.admin_link import AdminLink
from ..wire.messages import StatusRequest
from .table import milliseconds, size, table


def survey(link: AdminLink) -> Status:
    """The Manager's present status.

    Raises:
        LinkError: it does not answer.
    """
    return link.ask(StatusRequest, Status)


def as_json(status: Status, **more: Any) -> str:
    """One line of JSON: `more`, the state, and lists of workers, nodes and edges, with the names of `Manager.status()`."""
    parts: dict[str, Mapping[Any, Any]] = {"workers": status.workers, "nodes": status.nodes, "edges": status.edges}
    lists = {part: [msgspec.to_builtins(each) for each in values.values()] for part, values in parts.items()}
    return json.dumps({**more, "state": status.state, **lists})


def as_text(status: Status) -> list[str]:
    """Tables of workers, nodes and edges."""
    return ["\n".join(part) for part in (_workers(status), _nodes(status), _edges(status)) if len(part) > 1]


def dropped(edge: EdgeStatus) -> str:
    """The dropped chunks of an edge, with reasons."""
    reasons = ", ".join(f"{reason} {count}" for reason, count in edge.dropped.items() if count)
    return f"{sum(edge.dropped.values())} ({reasons})" if reasons else "0"


def way(edge: EdgeStatus) -> str:
    """The transport of an edge, and its codec."""
    return f"{edge.transport}, {edge.codec}" if edge.codec else edge.transport


def _workers(status: Status) -> list[str]:
    rows = [(worker.name, worker.pid, " ".join(worker.nodes)) for worker in status.workers.values()]
    return table(("WORKER", ">PROCESS", "NODES"), rows)


def _nodes(status: Status) -> list[str]:
    heading = ("NODE", "WORKER", "STATE", ">STEPS", ">PER S", ">P50 MS", ">P95 MS", ">CPU S", ">MEMORY", ">ERRORS")
    rows = [
        (
            node.name, node.worker, node.state, node.steps, node.rate, milliseconds(node.p50), milliseconds(node.p95),
            node.cpu, size(node.memory), node.errors,
        )
        for node in status.nodes.values()
    ]  # fmt: skip
    return table(heading, rows)


def _edges(status: Status) -> list[str]:
    heading = ("EDGE", "POLICY", ">SENT", ">RECEIVED", ">WAITING", ">BYTES", ">COPIED", "DROPPED", "WAY")
    rows = [
        (
            arrow(edge), edge.policy, edge.sent, edge.received, edge.in_flight, size(edge.bytes), edge.copied,
            dropped(edge), way(edge),
        )
        for edge in status.edges.values()
    ]  # fmt: skip
    return table(heading, rows)


def arrow(edge: EdgeStatus) -> str:
    return f"{edge.source} -> {edge.target}"


def total_dropped(edges: Mapping[tuple[str, str], EdgeStatus]) -> int:
    return sum(sum(edge.dropped.values()) for edge in edges.values())
