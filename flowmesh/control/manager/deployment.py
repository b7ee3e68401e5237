"""A deployed plan, its nodes and the links between its workers, as the Manager sees them. No I/O.

It records reports and answers how far the nodes are; `graph_run.py` decides what follows.
"""

from __future__ import annotations

from ...wire.messages import NodeNews
from ...wire.plan_specs import Plan
from ...wire.states import NodeState
from .link_table import LinkTable

_QUIET = (NodeState.READY, NodeState.ENDED, NodeState.FAILED, NodeState.CLOSED, NodeState.DEAD)


class NodeView:
    """A node as the Manager sees it. `start_id` is the last start that it has paused after."""

    def __init__(self, name: str, worker: str) -> None:
        self.name = name
        self.worker = worker
        self.state = NodeState.STARTING
        self.start_id = 0
        self.pid = 0
        self.gone = False


class Deployment:
    """One run of a graph; without a plan, nothing is committed.

    Attributes:
        start_id: the number of its latest start, from 1.
        links: the links between its workers.
    """

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan
        self.nodes = {node.name: NodeView(node.name, node.worker) for node in (plan.nodes if plan else ())}
        self.links = LinkTable(plan.transfers if plan else ())
        self.start_id = 0

    @property
    def graph(self) -> str:
        """The graph's id in messages."""
        return self.plan.graph if self.plan else ""

    @property
    def workers(self) -> list[str]:
        """The workers that its nodes are mapped to."""
        return list(dict.fromkeys(member.worker for member in self.nodes.values()))

    @property
    def workers_without_news(self) -> list[str]:
        """The workers that have not reported anything of it yet: their nodes have no process."""
        heard = {member.worker for member in self.nodes.values() if member.pid or member.gone}
        return [worker for worker in self.workers if worker not in heard]

    # --- reports -----------------------------------------------------------------------------------------------------

    def node_changed(self, news: NodeNews) -> NodeView | None:
        """Record a node's state; None if the node was given up: its news comes too late."""
        member = self.nodes.get(news.node)
        if member is None or member.gone:
            return None
        member.state = news.state
        member.start_id = news.start_id
        member.gone = news.gone
        member.pid = news.pid
        return member

    def worker_lost_nodes(self, worker: str, *, needed: bool) -> list[NodeView]:
        """Record the loss of a worker; returns the nodes lost with it. Unless all are `needed`, those that have left in
        order are no loss."""
        theirs = [member for member in self.nodes.values() if member.worker == worker and (needed or not member.gone)]
        for member in theirs:
            member.gone = True
            member.pid = 0
            if member.state is not NodeState.CLOSED:
                member.state = NodeState.DEAD
        return theirs

    def give_up(self) -> list[NodeView]:
        """Give up the nodes whose end will not be reported any more; returns them."""
        stuck = [member for member in self.nodes.values() if not member.gone]
        for member in stuck:
            member.gone = True
        return stuck

    # --- how far the nodes are ---------------------------------------------------------------------------------------

    def all_are(self, state: NodeState) -> bool:
        """Whether all nodes are in that state."""
        return all(member.state is state for member in self.nodes.values())

    @property
    def busy(self) -> list[NodeView]:
        """The nodes that have neither paused since the last start nor ended."""
        return [member for member in self.nodes.values() if not self._has_paused(member)]

    @property
    def still(self) -> bool:
        """Whether no node steps any more, although some may have failed."""
        return all(
            member.gone
            or (member.state in _QUIET and (member.state is not NodeState.READY or member.start_id == self.start_id))
            for member in self.nodes.values()
        )

    @property
    def gone(self) -> bool:
        """Whether no node is there any more."""
        return all(member.gone for member in self.nodes.values())

    def unpaused_senders(self, member: NodeView) -> list[NodeView]:
        """The nodes that send to a paused node and have not paused themselves."""
        if self.plan is None or member.state is not NodeState.READY or not 0 < self.start_id == member.start_id:
            return []
        senders = [self.nodes[edge.spec.source] for edge in self.plan.edges if edge.spec.target == member.name]
        return [sender for sender in senders if not sender.gone and not self._has_paused(sender)]

    def not_set_up(self, timeout: float) -> str:
        """A sentence that names the setups and links that are missing after `timeout` seconds."""
        late = [member for member in self.nodes.values() if member.state is NodeState.STARTING]
        names = ", ".join(f"{member.name!r} on worker {member.worker!r}" for member in late)
        nodes = [f"setup did not end within {timeout:g} s in: {names}"] if late else []
        return "\n".join([*nodes, *(f"after {timeout:g} s {text}" for text in self.links.missing())])

    def _has_paused(self, member: NodeView) -> bool:
        return member.state is NodeState.ENDED or (member.state is NodeState.READY and member.start_id == self.start_id)
