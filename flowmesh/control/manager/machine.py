"""The Machine of the Manager: workers, admin clients, tokens, and requests to running nodes. No I/O.

`graph_run.py` has the graph that they serve; what concerns it is passed on to there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import msgspec

from ...errors import FlowmeshError, GraphError, NodeDied, NodeError, StateError, WorkerError
from ...failures import LONGEST, chunks, listed, shortened
from ...wire.messages import (
    AnyMessage,
    Call,
    Departure,
    Dismiss,
    GatewayOpened,
    Gather,
    Heartbeat,
    LinkNews,
    LogLine,
    MetricsReport,
    MetricsRequest,
    NodeFailure,
    NodeNews,
    PeerGateways,
    Registration,
    Rejoin,
    Reply,
    TaskPacket,
)
from ...wire.plan_specs import Plan, Versions
from ...wire.states import GraphState
from ..effect import Log
from ..jobs.hub import JobsHub
from ..manager.effects import AnswerCall, FailCall, ManagerEffect, SendToPeer
from .admins import AdminClients
from .deployment import NodeView
from .graph_run import GraphRun
from .link_table import LinkTable, PeersOf
from .requests import PendingRequests
from .workers import Approve, RegisteredWorker, WorkerRegistry, everybody

_ASKABLE = (GraphState.READY, GraphState.RUNNING, GraphState.STOPPING, GraphState.ENDING)
_LINKED = (GraphState.READY, GraphState.RUNNING, GraphState.STOPPING)  # before and behind these, links come and go


class ManagerMachine:
    """The Machine of the Manager: verbs, messages and times in, effects out.

    `drain` is how long a stop waits for the graph to drain, `stop_timeout` how long a step and a
    teardown may take before the node's process is killed; both in seconds. `standing` is the key that admin clients
    use, and workers of the same user on the same host; `admit` decides last whether the holder of a key may register
    under a name; `kept` are the keys that were accepted permanently, with their names; `address` is where other
    machines reach this one, "" where they can't.
    """

    def __init__(
        self,
        versions: Versions,
        *,
        drain: float = 5.0,
        stop_timeout: float = 5.0,
        standing: str = "",
        admit: Approve = everybody,
        kept: Mapping[str, str] | None = None,
        address: str = "",
    ) -> None:
        self.admins = AdminClients(standing)
        self.registry = WorkerRegistry(versions, frozenset({standing} - {""}), admit, kept or {})
        self._requests = PendingRequests()
        self.jobs = JobsHub()
        self.run = GraphRun(self.registry, self._requests, drain=drain, stop_timeout=stop_timeout, address=address)
        self._farewell: tuple[int, float] | None = None
        self.ignored = 0  # what workers have said of nodes and calls that are not theirs

    # --- the graph: GraphRun decides ---------------------------------------------------------------------------------

    @property
    def state(self) -> GraphState:
        return self.run.state

    @property
    def plan(self) -> Plan | None:
        """The committed plan."""
        return self.run.deployment.plan

    @property
    def members(self) -> dict[str, NodeView]:
        """Its nodes, by name."""
        return self.run.deployment.nodes

    @property
    def error(self) -> FlowmeshError | None:
        """Why it has failed."""
        return self.run.error

    @property
    def reports(self) -> dict[str, MetricsReport]:
        """The counters that workers have reported last, by worker."""
        return self.run.reports

    @property
    def at_rest(self) -> frozenset[str]:
        """The nodes that have counted what lies with them, and nothing moves any more."""
        return self.run.at_rest

    def commit(self, call_id: int, plan: Plan, timeout: float, now: float) -> list[ManagerEffect]:
        """Ship the plan and set its nodes up."""
        return self.run.commit(call_id, plan, timeout, now)

    def start(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Let every node step. What has finished begins a new run."""
        return self.run.start(call_id, now)

    def step(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Let every source do one step, and drain what follows from it."""
        return self.run.step(call_id, now)

    def stop(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Pause the sources and drain what is in flight."""
        return self.run.stop(call_id, now)

    def halt(self, call_id: int, drain: float | None, now: float) -> list[ManagerEffect]:
        """Stop, tear down and finish, as if all sources had ended. Answers with the state that is reached."""
        return self.run.halt(call_id, drain, now)

    def wait(self, call_id: int) -> list[ManagerEffect]:
        """Answer when the graph has finished, fail when it has failed."""
        return self.run.wait(call_id)

    def reset(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Tear down whatever there is, and forget it."""
        return self.run.reset(call_id, now)

    # --- the workers, and who may join them --------------------------------------------------------------------------

    def dismiss(self, *, at_once: bool = False) -> list[ManagerEffect]:
        """Dismiss all workers and admin clients; `at_once`, without any teardown."""
        workers = [SendToPeer(worker.key, Dismiss(at_once)) for worker in self.registry.workers.values()]
        return [*workers, *self.admins.dismiss_admins()]

    def make_token(
        self, call_id: int, key: str, lifetime: float, now: float, *, keep: bool = False
    ) -> list[ManagerEffect]:
        """Let the holder of `key`, a token's public half, enroll one key of its own before the token expires; `keep`:
        later Managers accept that key, too."""
        return [*self.registry.tokens.token_made(key, lifetime, now, keep=keep), AnswerCall(call_id)]

    def list_tokens(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Answer with the TokenStatus of each."""
        return [AnswerCall(call_id, self.registry.tokens.listing(now))]

    def revoke(self, call_id: int, which: str, now: float) -> list[ManagerEffect]:
        """Revoke a worker, by its name, or a token, by its id, with the worker that it enrolled."""
        struck = self.registry.revoke_worker(which)
        if struck is None:
            there = listed(self.registry.workers)
            ids = ", ".join(each.id for each in self.registry.tokens.listing(now)) or "none"
            return [
                FailCall(
                    call_id, WorkerError(f"nothing to revoke is called {which!r}; workers: {there}; tokens: {ids}")
                )
            ]
        effects, worker = struck
        if worker is None:
            return [*effects, AnswerCall(call_id)]
        # The Dismiss is sent before the key is revoked; whether the worker obeys does not matter.
        dismissed = SendToPeer(worker.key, Dismiss(at_once=True, reason="its access was revoked"))
        return [dismissed, *effects, *self._worker_gone(worker, "was revoked", now), AnswerCall(call_id)]

    def all_gone(self, call_id: int, deadline: float) -> list[ManagerEffect]:
        """Answer when no worker is registered any more, or at the deadline."""
        self._farewell = (call_id, deadline)
        return self._take_leave(deadline - 1e9)

    def _take_leave(self, now: float) -> list[ManagerEffect]:
        if self._farewell is None or (self.registry.workers and now < self._farewell[1]):
            return []
        call_id, self._farewell = self._farewell[0], None
        return [AnswerCall(call_id)]

    # --- requests to nodes and workers -------------------------------------------------------------------------------

    def call(
        self, call_id: int, node: str, method: str, arguments: bytes, timeout: float, now: float
    ) -> list[ManagerEffect]:
        """Call a registered method of a node."""

        def ask(part: str, number: int) -> ManagerEffect:
            return SendToPeer(self._key_of(part), Call(self._graph, number, part, timeout, method, arguments))

        return self._ask(call_id, f"{node}.{method}()", [node], timeout, now, ask)

    def gather(self, call_id: int, timeout: float, now: float) -> list[ManagerEffect]:
        """Ask every node for its newest value."""

        def ask(part: str, number: int) -> ManagerEffect:
            return SendToPeer(self._key_of(part), Gather(self._graph, number, part, timeout))

        return self._ask(call_id, "gather()", list(self.members), timeout, now, ask)

    def inspect(self, call_id: int, timeout: float, now: float) -> list[ManagerEffect]:
        """Ask every worker that runs nodes for its counters; workers that do not answer in time are left out."""
        concerned = {member.worker for member in self.members.values()} & self.registry.workers.keys()

        def ask(part: str, number: int) -> ManagerEffect:
            return SendToPeer(self.registry.workers[part].key, MetricsRequest(number))

        return self._requests.ask(call_id, "status()", sorted(concerned), now + timeout, ask, partial=True)

    def _ask(
        self,
        call_id: int,
        what: str,
        nodes: list[str],
        timeout: float,
        now: float,
        ask: Callable[[str, int], ManagerEffect],
    ) -> list[ManagerEffect]:
        if self.state not in _ASKABLE:
            return [
                FailCall(
                    call_id, StateError(f"{what} needs a graph that is ready or running; it is {self.state.value}")
                )
            ]
        for node in nodes:
            if node not in self.members:
                return [FailCall(call_id, GraphError(f"{what}: no node {node!r} is committed"))]
            if self.members[node].gone:
                return [FailCall(call_id, NodeError(f"{what}: node {node!r} does not run any more", node=node))]
        # The worker answers for a node that is busy; this deadline is for a worker that does not answer either.
        return self._requests.ask(call_id, what, nodes, now + timeout + 0.7, ask)

    # --- messages and time -------------------------------------------------------------------------------------------

    def received_from_peer(self, key: str, message: AnyMessage, now: float) -> list[ManagerEffect]:
        """Handle a message from a peer, known by its key."""
        if self.admins.concerns(key, message):
            answers = self.admins.received_from_admin(key, message, now)
            if isinstance(message, TaskPacket) and key in self.admins:
                self.jobs.received(key, message, now)
            self._drop_clients(now)
            return answers
        effects: list[ManagerEffect] = []
        if isinstance(message, Registration):
            effects += self._replaced(key, message, now)
        before = self.registry.by_key(key)
        effects += self.registry.received_from_worker(key, message, now)
        worker = self.registry.by_key(key)
        if isinstance(message, Registration) and worker is not None and worker is not before:
            self.jobs.worker_joined(worker.name, key, message.capacity, now)
            return effects
        if worker is None:
            if isinstance(message, Heartbeat):  # it was given up, and so were its nodes: none may run on unsupervised
                effects.append(SendToPeer(key, Rejoin()))
            return effects
        match message:
            case NodeNews() if message.graph == self._graph and self._may_speak_for(worker, message.node):
                effects += self.run.node_changed(message, now)
            case NodeFailure() if message.graph == self._graph and self._may_speak_for(worker, message.node):
                effects += self.run.node_failed(_error_of(message), now)
            case Reply(call_id=number) | MetricsReport(call_id=number) if not self._was_asked(worker, number):
                self.ignored += 1
            case Reply(call_id=number, value=value, error=""):
                effects += self._requests.part_answered(number, value)
            case Reply(call_id=number, error=error):
                effects += self._requests.part_failed(number, NodeError(error, worker=worker.name))
            case MetricsReport(call_id=number):
                theirs = {name: count for name, count in message.nodes.items() if self._may_speak_for(worker, name)}
                self.reports[worker.name] = report = msgspec.structs.replace(message, nodes=theirs)
                effects += self._requests.part_answered(number, report)
            case GatewayOpened(link=link) if message.graph == self._graph:
                effects += self._tell_peers(self._links.gateway_opened(worker.name, link, now))
            case LinkNews() if message.graph == self._graph:
                effects += self._peer_news(worker, message, now)
            case LogLine(node=node, level=level, text=text) if not node or self._may_speak_for(worker, node):
                effects.append(Log(level, text, node, worker.name))
            case TaskPacket() if key in self.jobs.machine.workers:
                self.jobs.received(key, message, now)
            case Departure(reason=reason):
                effects += self.registry.worker_departed(worker)
                effects += self._worker_gone(worker, shortened(reason, 1000) or "left", now) + self._take_leave(now)
        return effects

    def _replaced(self, key: str, registration: Registration, now: float) -> list[ManagerEffect]:
        """A daemon process that registers under the key of another one: the other is dead, with all that it ran."""
        old = self.registry.take_predecessor(key, registration)
        return [] if old is None else self._worker_gone(old, "died, and another process has taken its place", now)

    def _was_asked(self, worker: RegisteredWorker, number: int) -> bool:
        """Whether that part of a request was asked of that worker; an answer that comes too late is nobody's any more."""
        part = self._requests.part(number)
        return part is None or part == worker.name or self._runs(worker, part)

    def _runs(self, worker: RegisteredWorker, node: str) -> bool:
        return node in self.members and self.members[node].worker == worker.name

    def _may_speak_for(self, worker: RegisteredWorker, node: str) -> bool:
        """Whether the node runs on that worker; what a worker says of others' nodes is ignored, and counted."""
        if self._runs(worker, node):
            return True
        self.ignored += 1
        return False

    def was_suspended(self, seconds: float) -> None:
        """Note that the Manager itself, perhaps the whole machine, was suspended for `seconds`."""
        self.registry.was_suspended(seconds)

    def tick(self, now: float) -> list[ManagerEffect]:
        """Handle the passing of time: silent peers and deadlines."""
        effects = self._requests.tick(now) + self.admins.tick(now) + self.registry.tokens.tick(now)
        for worker in self.registry.silent_workers(now):
            effects += self._worker_gone(
                worker, "vanished (it was killed, or its network is cut): start it again and commit anew", now
            )
        effects += self.run.tick(now)
        self._drop_clients(now)
        effects += self.jobs.tick(now)
        return effects + self._take_leave(now)

    def _drop_clients(self, now: float) -> None:
        """Cancel the tasks of admin clients that have left or were revoked."""
        for key in [key for key in self.jobs.machine.clients if key not in self.admins]:
            self.jobs.client_left(key, now)

    def _peer_news(self, worker: RegisteredWorker, news: LinkNews, now: float) -> list[ManagerEffect]:
        text = self._links.link_changed(worker.name, news.peer, news.up)
        notes: list[ManagerEffect] = []
        if text and self.state in _LINKED:
            notes.append(Log(logging.INFO if news.up else logging.WARNING, text))
        return notes + self.run.advance(now)

    def _worker_gone(self, worker: RegisteredWorker, how: str, now: float) -> list[ManagerEffect]:
        text = f"worker {worker.name!r} (pid {worker.pid}) {how}"
        theirs = self.run.worker_lost(worker.name)
        error = WorkerError(f"{text}; it ran {listed(member.name for member in theirs) if theirs else 'no node'}")
        effects: list[ManagerEffect] = [Log(logging.WARNING if theirs else logging.INFO, text)]
        self.jobs.worker_left(worker.key, now)
        effects += self._requests.parts_lost([worker.name, *(member.name for member in theirs)], error)
        if theirs:
            effects += self.run.node_failed(error, now)
            effects += self._tell_peers(self._links.worker_gone(worker.name))
        return effects + self.run.advance(now)

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _tell_peers(self, peers: PeersOf) -> list[ManagerEffect]:
        tell, graph = self.registry.send_to_workers, self._graph
        return [effect for name, theirs in peers.items() for effect in tell([name], PeerGateways(graph, theirs))]

    def _key_of(self, node: str) -> str:
        return self.registry.workers[self.members[node].worker].key

    @property
    def _graph(self) -> str:
        return self.run.deployment.graph

    @property
    def _links(self) -> LinkTable:
        return self.run.deployment.links


def _error_of(failure: NodeFailure) -> NodeError:
    if failure.phase == "process":
        text = f"the process of node {failure.node!r} on worker {failure.worker!r} {failure.text}"
        return NodeDied(text, node=failure.node, worker=failure.worker, phase="process", number=failure.number)
    where = f" ({chunks(failure.number, failure.inputs)})" if failure.phase == "step" and failure.number else ""
    text = f"node {failure.node!r} on worker {failure.worker!r} failed in {failure.phase}{where}:\n{failure.text}"
    return NodeError(
        shortened(text, LONGEST), node=failure.node, worker=failure.worker, phase=failure.phase, number=failure.number,
        inputs=failure.inputs,
    )  # fmt: skip
