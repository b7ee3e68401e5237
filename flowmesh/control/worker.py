"""The Machine of a worker: which processes are to be forked, told, killed, and what the Manager must hear of them."""

from __future__ import annotations

import signal

from ..wire.lifecycle import NODE, NodeState, move
from ..wire.messages import (
    AnyMessage,
    Call,
    Deploy,
    Dismiss,
    EdgeEnd,
    Failure,
    Gather,
    Inspect,
    NodeNews,
    Reply,
    SetUp,
    Start,
    Stop,
    TearDown,
)
from ..wire.specs import EdgePlan, NodeSpec, Plan
from .effects import AnswerBusy, Claim, Fork, Kill, Leave, Open, Release, Report, Say, SetUpNode, Tell, WorkerEffect


class Member:
    """A node on this worker, as the worker sees it."""

    def __init__(self, spec: NodeSpec, inputs: tuple[EdgePlan, ...], outputs: tuple[EdgePlan, ...]) -> None:
        self.spec = spec
        self.inputs = inputs
        self.outputs = outputs
        self.state = NodeState.STARTING
        self.turn = 0
        self.pid = 0
        self.gone = False
        self.kill_at: float | None = None
        self.killed = False
        self.missing = {(edge.spec.index, "in") for edge in inputs} | {(edge.spec.index, "out") for edge in outputs}


class WorkerMachine:
    """One graph at a time. `members` are its nodes here, kept with their last state until the next graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.plan: Plan | None = None
        self.members: dict[str, Member] = {}
        self._stop_timeout = 5.0
        self._leaving = False
        self._asked: dict[int, tuple[str, float]] = {}

    # --- from the Manager --------------------------------------------------------------------------------------------

    def heard(self, message: AnyMessage, now: float) -> list[WorkerEffect]:
        """The Manager has said something."""
        match message:
            case Deploy(plan=plan, stop_timeout=stop_timeout):
                return [] if self._leaving else self._deploy(plan, stop_timeout)
            case Inspect(token=token):
                return [Report(token)]
            case Start() | Stop():
                return self._tell_all(message) if self._is_mine(message.graph) else []
            case TearDown(graph=graph):
                return self.tear_down(now) if self._is_mine(graph) else []
            case Call(graph=graph, node=node, token=token) | Gather(graph=graph, node=node, token=token):
                member = self.members.get(node) if self._is_mine(graph) else None
                if member is None or member.state in (NodeState.CLOSED, NodeState.DEAD):
                    return [Say(_no_more(token, node))]
                self._asked[token] = (node, now + message.timeout)
                return [Tell(node, message)]
            case Dismiss(at_once=at_once):
                return self.leave(now, at_once=at_once)
            case _:
                return []

    def _is_mine(self, graph: str) -> bool:
        return self.plan is not None and self.plan.graph == graph

    def _tell_all(self, message: Start | Stop) -> list[WorkerEffect]:
        return [Tell(name, message) for name, member in self.members.items() if not member.gone]

    def _deploy(self, plan: Plan, stop_timeout: float) -> list[WorkerEffect]:
        effects: list[WorkerEffect] = [Kill(name) for name, member in self.members.items() if not member.gone]
        self.plan = plan
        self._stop_timeout = stop_timeout
        self.members = {}
        self._asked = {}
        for spec in plan.nodes:
            inputs = tuple(edge for edge in plan.edges if edge.spec.target == spec.name)
            outputs = tuple(edge for edge in plan.edges if edge.spec.source == spec.name)
            self.members[spec.name] = Member(spec, inputs, outputs)
        effects.append(Release())
        effects += [Fork(spec.name) for spec in plan.nodes]
        effects += [SetUpNode(spec.name) for spec in plan.nodes if not self.members[spec.name].missing]
        ours = [edge for edge in plan.edges if edge.source_worker == self.name]
        effects += [Open(edge.spec.index) for edge in ours]
        effects += [Claim(edge.spec.index) for edge in plan.edges if edge not in ours]
        return effects

    def set_up_message(self, name: str) -> SetUp:
        """What the node gets first."""
        assert self.plan is not None
        member = self.members[name]
        return SetUp(
            graph=self.plan.graph,
            node=member.spec,
            worker=self.name,
            run=self.plan.run,
            epoch=1,
            names=self.plan.names,
            inputs=tuple(_end(edge, edge.spec.source) for edge in member.inputs),
            outputs=tuple(_end(edge, edge.spec.target) for edge in member.outputs),
        )

    def tear_down(self, now: float) -> list[WorkerEffect]:
        """Tear down every node; one that has not left in time is killed."""
        effects: list[WorkerEffect] = []
        for name, member in self.members.items():
            if member.gone:
                continue
            if member.kill_at is None:
                member.kill_at = now + self._stop_timeout
            if member.missing:  # it was never set up: it has no stepper that could listen
                effects.append(Kill(name))
                member.killed = True
            else:
                effects.append(Tell(name, TearDown(graph=self.plan.graph if self.plan else "")))
        return effects

    def leave(self, now: float, *, at_once: bool = False) -> list[WorkerEffect]:
        """The worker is to end: dismissed, interrupted, or its script has gone."""
        self._leaving = True
        return (self._kill_all() if at_once else self.tear_down(now)) + self._left()

    def _kill_all(self) -> list[WorkerEffect]:
        effects: list[WorkerEffect] = []
        for name, member in self.members.items():
            if not member.gone and not member.killed:
                member.killed = True
                effects.append(Kill(name))
        return effects

    # --- from the nodes ----------------------------------------------------------------------------------------------

    def end_arrived(self, edge: int, side: str) -> list[WorkerEffect]:
        """One end of an edge's channel is there."""
        for name, member in self.members.items():
            if (edge, side) in member.missing and not member.killed:
                member.missing.discard((edge, side))
                return [] if member.missing else [SetUpNode(name)]
        return []

    def forked(self, node: str, pid: int) -> list[WorkerEffect]:
        """The node's process is there."""
        member = self.members[node]
        member.pid = pid
        return [Say(self._news(node, member))]

    def node_said(self, node: str, message: AnyMessage) -> list[WorkerEffect]:
        """A node has said something; its news is what the worker and the Manager know it by."""
        member = self.members.get(node)
        if member is None:
            return []
        if isinstance(message, NodeNews):
            member.state = message.state
            member.turn = message.turn
            return [Say(self._news(node, member))]
        if isinstance(message, Reply):
            self._asked.pop(message.token, None)
        return [Say(message)]

    def exited(self, node: str, status: int, crash: str, now: float) -> list[WorkerEffect]:
        """A node's process has ended. `status` is as from `Popen.returncode`: negative is a signal."""
        member = self.members.get(node)
        if member is None:
            return self._left()
        member.gone = True
        member.pid = 0
        effects: list[WorkerEffect] = []
        if member.missing and member.killed:
            member.state = move(NODE, member.state, "closed")
        elif member.state is not NodeState.CLOSED and self.plan is not None:
            before, member.state = member.state, move(NODE, member.state, "died")
            text = _cause(status, before, member.killed, self._stop_timeout) + (f"\n{crash}" if crash else "")
            effects.append(Say(Failure(self.plan.graph, node, self.name, "process", 0, text)))
        for token in [token for token, (name, _) in self._asked.items() if name == node]:
            del self._asked[token]
            effects.append(Say(_no_more(token, node)))
        return [*effects, Say(self._news(node, member)), *self._left()]

    def tick(self, now: float) -> list[WorkerEffect]:
        """Time has passed."""
        effects: list[WorkerEffect] = []
        for name, member in self.members.items():
            if member.kill_at is not None and now >= member.kill_at and not member.gone and not member.killed:
                member.killed = True
                effects.append(Kill(name))
        for token, (name, deadline) in list(self._asked.items()):
            if now >= deadline:
                del self._asked[token]
                effects.append(AnswerBusy(token, name))
        return effects

    def _left(self) -> list[WorkerEffect]:
        alive = any(not member.gone for member in self.members.values())
        return [Leave()] if self._leaving and not alive else []

    def _news(self, node: str, member: Member) -> NodeNews:
        graph = self.plan.graph if self.plan else ""
        return NodeNews(graph, node, member.state, member.turn, member.pid, member.gone)


def _no_more(token: int, node: str) -> Reply:
    return Reply(token=token, error=f"node {node!r} does not run any more")


def _end(edge: EdgePlan, peer: str) -> EdgeEnd:
    spec = edge.spec
    return EdgeEnd(
        index=spec.index, peer=peer, policy=spec.policy, depth=spec.depth, slots=spec.slots, follow=spec.follow
    )


def _cause(status: int, state: NodeState, killed: bool, stop_timeout: float) -> str:
    if killed:
        doing = {NodeState.STARTING: "its setup", NodeState.RUNNING: "a step"}.get(state, "its teardown or a step")
        return f"did not end within {stop_timeout:g} s of being told to, and was killed: it was in {doing}"
    if status >= 0:
        return f"ended by itself with exit status {status} (something in it called os._exit?)"
    if status == -signal.SIGKILL:
        return "was ended by SIGKILL (by somebody, or by the kernel because memory ran out: see its log)"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
