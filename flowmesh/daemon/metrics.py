"""The metrics report of a worker: each node's counter page, and the gateway's counters for edges that cross hosts.

Received chunks are read before dropped ones, and those before sent ones: so the number in flight is never negative.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..wire.messages import EdgeCounters, MetricsReport, NodeCounters
from ..wire.plan_specs import Plan
from .gateway_process import GatewayProcess
from .node_process import NodeProcess


def report(
    call_id: int, plan: Plan | None, seats: Mapping[str, NodeProcess], link: GatewayProcess, now: float
) -> MetricsReport:
    """The answer to MetricsRequest."""
    transfers = plan.transfers if plan else ()
    left = {transfer.index: link.leaving(transfer) for transfer in transfers if transfer.source in seats}
    counts = {name: seats[name].count(now) for name in reversed(list(seats))}  # consumers first
    for transfer in transfers:
        if transfer.source in counts:
            count = counts[transfer.source]
            sent = _joined(count.outputs[transfer.edges[0].index], left[transfer.index])
            counts[transfer.source] = _with(count, "outputs", {edge.index: sent for edge in transfer.edges})
        else:
            for edge, dropped in zip(transfer.edges, link.arriving(transfer), strict=True):
                count = counts[edge.target]
                received = _joined(count.inputs[edge.index], dropped)
                counts[edge.target] = _with(count, "inputs", {edge.index: received})
    return MetricsReport(call_id, plan.graph if plan else "", counts)


def _with(count: NodeCounters, side: str, edges: dict[int, EdgeCounters]) -> NodeCounters:
    return msgspec.structs.replace(count, **{side: getattr(count, side) | edges})


def _joined(count: EdgeCounters, link: EdgeCounters) -> EdgeCounters:
    """A node's counters of an edge, with the gateway's drops and encodings."""
    both = {**link.dropped, **count.dropped}
    dropped = {reason: count.dropped.get(reason, 0) + link.dropped.get(reason, 0) for reason in both}
    return msgspec.structs.replace(count, dropped=dropped, encoded=link.encoded, codecs=link.codecs)
