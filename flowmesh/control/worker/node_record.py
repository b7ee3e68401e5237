"""A node on a worker, as the worker's Machine sees it. No I/O."""

from __future__ import annotations

from ...wire.messages import EdgeEnd
from ...wire.plan_specs import EdgePlan, NodeSpec, Plan
from ...wire.states import NodeState


class NodeRecord:
    """A node, from its fork to its end.

    Attributes:
        inputs: its incoming edges, each with a channel.
        outputs: its outgoing edges; of those of one transfer to another host only the first, whose channel all share.
        missing: the ends of channels that are not yet here: (edge, "in" or "out").
    """

    def __init__(self, spec: NodeSpec, plan: Plan) -> None:
        self.spec = spec
        first = {part.edges[0].index for part in plan.transfers}
        self.inputs = tuple(edge for edge in plan.edges if edge.spec.target == spec.name)
        self.outputs = tuple(
            edge
            for edge in plan.edges
            if edge.spec.source == spec.name and (edge.transport != "link" or edge.spec.index in first)
        )
        self.state = NodeState.STARTING
        self.start_id = 0
        self.pid = 0
        self.gone = False
        self.kill_at: float | None = None
        self.killed = False
        self.missing = {(edge.spec.index, "in") for edge in self.inputs}
        self.missing |= {(edge.spec.index, "out") for edge in self.outputs}

    def has_linked(self, edge: int, side: str) -> bool:
        """Whether that is the end of an edge from or to another host."""
        edges = self.inputs if side == "in" else self.outputs
        return any(plan.spec.index == edge and plan.transport == "link" for plan in edges)


def edge_end(edge: EdgePlan, peer: str, *, again: bool = False) -> EdgeEnd:
    """An edge's end as the node gets it. `again`: a gateway that served it has died."""
    spec = edge.spec
    return EdgeEnd(
        index=spec.index,
        peer=peer,
        policy=spec.policy,
        depth=spec.depth,
        slots=spec.slots,
        follow=spec.follow,
        linked=edge.transport == "link",
        pickle=edge.pickle,
        restarted=again and edge.transport == "link",
        bytes=spec.bytes,
        max_waiting=spec.max_waiting,
        ring=edge.transport == "ring",
        keeps_alive=spec.keeps_alive,
    )
