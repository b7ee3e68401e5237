"""The Machine of a worker: forks, set-up and kills of its processes, and reports to the Manager. No I/O."""

from __future__ import annotations

from ...wire.messages import (
    AnyMessage,
    Call,
    Deploy,
    Dismiss,
    Gather,
    MetricsRequest,
    NodeFailure,
    NodeNews,
    PauseBlocked,
    PeerGateways,
    Refusal,
    Rejoin,
    Reply,
    SetUp,
    Start,
    Stop,
    TearDown,
)
from ...wire.plan_specs import Plan
from ...wire.states import NODE, NodeState, move
from ..worker.effects import (
    AnswerBusy,
    ExpectChannel,
    ForkNode,
    KillNode,
    Leave,
    OpenChannel,
    RegisterAgain,
    ReleaseGraph,
    ReportMetrics,
    RewireNode,
    SendToManager,
    SendToNode,
    SetUpNode,
    WorkerEffect,
)
from .exit_reasons import cause, ended_by
from .gateway_supervisor import GatewaySupervisor
from .node_record import NodeRecord, edge_end


class WorkerMachine:
    """One graph at a time. `members` are its nodes here, kept with their last state until the next graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.plan: Plan | None = None
        self.nodes: dict[str, NodeRecord] = {}
        self._stop_timeout = 5.0
        self._gateway = GatewaySupervisor(name)
        self._ending = False  # what is here is being torn down
        self._rejoining = False
        self._leaving = False
        self._asked: dict[int, tuple[str, float]] = {}

    # --- from the Manager --------------------------------------------------------------------------------------------

    def received_from_manager(self, message: AnyMessage, now: float) -> list[WorkerEffect]:
        """Handle a message from the Manager."""
        match message:
            case Deploy(plan=plan):
                return [] if self._leaving or self._is_mine(plan.graph) else self._deploy(message, now)
            case MetricsRequest(call_id=call_id):
                return [ReportMetrics(call_id)]
            case Start() | Stop():
                return self._tell_all(message) if self._is_mine(message.graph) else []
            case PauseBlocked(graph=graph, node=node):
                there = self._is_mine(graph) and node in self.nodes and not self.nodes[node].gone
                return [SendToNode(node, message)] if there else []
            case TearDown(graph=graph):
                return self.tear_down(now) if self._is_mine(graph) else []
            case Call(graph=graph, node=node, call_id=call_id) | Gather(graph=graph, node=node, call_id=call_id):
                member = self.nodes.get(node) if self._is_mine(graph) else None
                if member is None or member.state in (NodeState.CLOSED, NodeState.DEAD):
                    return [SendToManager(_no_more(call_id, node))]
                self._asked[call_id] = (node, now + message.timeout)
                return [SendToNode(node, message)]
            case PeerGateways(graph=graph):
                return self._gateway.peers_changed(message) if self._is_mine(graph) else []
            case Rejoin():
                self._rejoining = True
                return self.tear_down(now)
            case Dismiss(at_once=at_once):
                return self.leave(now, at_once=at_once)
            case Refusal():  # when it came back: its name has been taken
                return self.leave(now)
            case _:
                return []

    def _is_mine(self, graph: str) -> bool:
        return self.plan is not None and self.plan.graph == graph

    def _tell_all(self, message: Start | Stop) -> list[WorkerEffect]:
        return [SendToNode(name, message) for name, member in self.nodes.items() if not member.gone]

    def _deploy(self, deploy: Deploy, now: float) -> list[WorkerEffect]:
        plan = deploy.plan
        effects: list[WorkerEffect] = [KillNode(name) for name, member in self.nodes.items() if not member.gone]
        effects += self._gateway.end_graph()
        self.plan = plan
        self._stop_timeout = deploy.stop_timeout
        self._ending = False
        self._asked = {}
        self.nodes = {spec.name: NodeRecord(spec, plan) for spec in plan.nodes}
        effects.append(ReleaseGraph())
        effects += [ForkNode(spec.name) for spec in plan.nodes]
        effects += [SetUpNode(spec.name) for spec in plan.nodes if not self.nodes[spec.name].missing]
        channels = [edge for edge in plan.edges if edge.transport != "link"]
        ours = [edge for edge in channels if edge.source_worker == self.name]
        effects += [OpenChannel(edge.spec.index) for edge in ours]
        effects += [ExpectChannel(edge.spec.index) for edge in channels if edge not in ours]
        return effects + self._gateway.begin_graph(plan, deploy.address, now)

    def set_up_message(self, name: str) -> SetUp:
        """The first message to the node."""
        assert self.plan is not None
        member = self.nodes[name]
        return SetUp(
            graph=self.plan.graph,
            node=member.spec,
            worker=self.name,
            run=self.plan.run,
            epoch=1,
            names=self.plan.names,
            stop_timeout=self._stop_timeout,
            inputs=tuple(edge_end(edge, edge.spec.source, again=self._gateway.restarts > 0) for edge in member.inputs),
            outputs=tuple(edge_end(edge, edge.spec.target) for edge in member.outputs),
        )

    def tear_down(self, now: float) -> list[WorkerEffect]:
        """Tear down every node; one that has not left in time is killed."""
        return self._tear_down_nodes(now) + self._left()

    def _tear_down_nodes(self, now: float) -> list[WorkerEffect]:
        self._ending = True
        effects: list[WorkerEffect] = []
        for name, member in self.nodes.items():
            if member.gone:
                continue
            if member.kill_at is None:
                member.kill_at = now + self._stop_timeout
            if member.missing:  # it was never set up: it has no stepper to receive it
                effects.append(KillNode(name))
                member.killed = True
            else:
                effects.append(SendToNode(name, TearDown(graph=self.plan.graph if self.plan else "")))
        return effects

    def leave(self, now: float, *, at_once: bool = False) -> list[WorkerEffect]:
        """End the worker: it is dismissed, interrupted, or its script has gone."""
        self._leaving = True
        return (self._kill_all() if at_once else self._tear_down_nodes(now)) + self._left()

    def _kill_all(self) -> list[WorkerEffect]:
        self._ending = True
        effects: list[WorkerEffect] = []
        for name, member in self.nodes.items():
            if not member.gone and not member.killed:
                member.killed = True
                effects.append(KillNode(name))
        return effects

    # --- from the nodes ----------------------------------------------------------------------------------------------

    def channel_end_arrived(self, edge: int, side: str) -> list[WorkerEffect]:
        """Note that one end of an edge's channel is there. A restarted gateway brings new ones."""
        for name, member in self.nodes.items():
            if (edge, side) in member.missing and not member.killed:
                member.missing.discard((edge, side))
                return [] if member.missing else [SetUpNode(name)]
            if not member.missing and not member.gone and member.has_linked(edge, side):
                return [RewireNode(name, edge, side)]
        return []

    def node_forked(self, node: str, pid: int) -> list[WorkerEffect]:
        """Note that the node process was forked."""
        member = self.nodes[node]
        member.pid = pid
        return [SendToManager(self._news(node, member))]

    def received_from_node(self, node: str, message: AnyMessage) -> list[WorkerEffect]:
        """Handle a message from a node; the worker and the Manager know its state by its NodeNews."""
        member = self.nodes.get(node)
        if member is None:
            return []
        if isinstance(message, NodeNews):
            member.state = message.state
            member.start_id = message.start_id
            return [SendToManager(self._news(node, member))]
        if isinstance(message, Reply):
            self._asked.pop(message.call_id, None)
        return [SendToManager(message)]

    def received_from_gateway(self, message: AnyMessage) -> list[WorkerEffect]:
        """Handle a message from the gateway."""
        return self._gateway.gateway_reported(message)

    def gateway_exited(self, status: int, now: float) -> list[WorkerEffect]:
        """Handle the end of the gateway; `status` as for `node_exited`."""
        return self._gateway.gateway_ended(ended_by(status), now)

    def gateway_failed_to_start(self, why: str, now: float) -> list[WorkerEffect]:
        """Handle a gateway that could not be started."""
        return self._gateway.gateway_ended(f"can't be started: {why}", now)

    def node_exited(self, node: str, status: int, crash: str, now: float) -> list[WorkerEffect]:
        """Handle the end of a node process. `status` is as from `Popen.returncode`: negative is a signal."""
        member = self.nodes.get(node)
        if member is None:
            return self._left()
        member.gone = True
        member.pid = 0
        effects: list[WorkerEffect] = []
        if member.missing and member.killed:
            member.state = move(NODE, member.state, "closed")
        elif member.state is not NodeState.CLOSED and self.plan is not None:
            before, member.state = member.state, move(NODE, member.state, "died")
            text = cause(status, before, member.killed, self._stop_timeout) + (f"\n{crash}" if crash else "")
            effects.append(SendToManager(NodeFailure(self.plan.graph, node, self.name, "process", 0, text)))
        for call_id in [call_id for call_id, (name, _) in self._asked.items() if name == node]:
            del self._asked[call_id]
            effects.append(SendToManager(_no_more(call_id, node)))
        return [*effects, SendToManager(self._news(node, member)), *self._left()]

    @property
    def due(self) -> float:
        """When `tick` has something to do; infinity for never."""
        killed = [member.kill_at for member in self.nodes.values() if not member.gone and not member.killed]
        asked = (deadline for _, deadline in self._asked.values())
        return min([self._gateway.due, *asked, *(at for at in killed if at is not None)])

    def tick(self, now: float) -> list[WorkerEffect]:
        """Handle the passing of time."""
        effects = self._gateway.tick(now)
        for name, member in self.nodes.items():
            if member.kill_at is not None and now >= member.kill_at and not member.gone and not member.killed:
                member.killed = True
                effects.append(KillNode(name))
        for call_id, (name, deadline) in list(self._asked.items()):
            if now >= deadline:
                del self._asked[call_id]
                effects.append(AnswerBusy(call_id, name))
        return effects

    def _left(self) -> list[WorkerEffect]:
        """The effects that are due once all nodes of the graph that is torn down have gone."""
        if not (self._ending and all(member.gone for member in self.nodes.values())):
            return []
        effects = self._gateway.end_graph()
        if self._leaving:
            return [*effects, Leave()]
        again, self._rejoining = self._rejoining, False
        return [*effects, RegisterAgain()] if again else effects

    def _news(self, node: str, member: NodeRecord) -> NodeNews:
        graph = self.plan.graph if self.plan else ""
        return NodeNews(graph, node, member.state, member.start_id, member.pid, member.gone)


def _no_more(call_id: int, node: str) -> Reply:
    return Reply(call_id=call_id, error=f"node {node!r} does not run any more")
