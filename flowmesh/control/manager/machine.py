"""The Machine of the Manager: workers, operators, tokens, and what is asked of the nodes that run.

The graph that they serve lives in `life.py`; what is heard of it is handed on to there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from ...errors import FlowmeshError, GraphError, NodeDied, NodeError, StateError, WorkerError
from ...failures import LONGEST, chunks, shortened
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
    Rejoin,
    Reply,
)
from ...wire.plan_specs import Plan, Versions
from ...wire.states import GraphState
from ..effect import Log
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
    """Told what was asked, heard and how late it is, it returns what to do.

    `drain` is how long a stop waits until all that is in flight is worked off, `stop_timeout` how long a step and a
    teardown may take before the node's process is killed; both in seconds. `standing` is the key that operators use, and
    workers of the same user on the same host; `admit` is asked last whether the holder of a key may register under a
    name; `kept` are the keys that were let in for good, with their names; `address` is where other machines reach this
    one, "" where they can't.
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
        self.operators = AdminClients(standing)
        self.roster = WorkerRegistry(versions, frozenset({standing} - {""}), admit, kept or {})
        self._requests = PendingRequests()
        self._life = GraphRun(self.roster, self._requests, drain=drain, stop_timeout=stop_timeout, address=address)
        self._farewell: tuple[int, float] | None = None

    # --- the graph: its life decides ---------------------------------------------------------------------------------

    @property
    def state(self) -> GraphState:
        return self._life.state

    @property
    def plan(self) -> Plan | None:
        """What is committed."""
        return self._life.committed.plan

    @property
    def members(self) -> dict[str, NodeView]:
        """Its nodes, by name."""
        return self._life.committed.members

    @property
    def error(self) -> FlowmeshError | None:
        """Why it has failed."""
        return self._life.error

    @property
    def reports(self) -> dict[str, MetricsReport]:
        """The counters that workers have reported last, by worker."""
        return self._life.reports

    @property
    def at_rest(self) -> frozenset[str]:
        """The nodes that have counted what lies with them, and nothing moves any more."""
        return self._life.at_rest

    def commit(self, token: int, plan: Plan, timeout: float, now: float) -> list[ManagerEffect]:
        """Ship the plan and set its nodes up."""
        return self._life.commit(token, plan, timeout, now)

    def start(self, token: int, now: float) -> list[ManagerEffect]:
        """Let every node step. What has finished begins a new run."""
        return self._life.start(token, now)

    def step(self, token: int, now: float) -> list[ManagerEffect]:
        """Let every source do one step, and what follows from it."""
        return self._life.step(token, now)

    def stop(self, token: int, now: float) -> list[ManagerEffect]:
        """Pause the sources and work off what is in flight."""
        return self._life.stop(token, now)

    def halt(self, token: int, drain: float | None, now: float) -> list[ManagerEffect]:
        """Stop, tear down and be finished, as if all sources had ended. Answers with the state that is reached."""
        return self._life.halt(token, drain, now)

    def wait(self, token: int) -> list[ManagerEffect]:
        """Answer when the graph has finished, fail when it has failed."""
        return self._life.wait(token)

    def reset(self, token: int, now: float) -> list[ManagerEffect]:
        """Tear down whatever there is, and forget it."""
        return self._life.reset(token, now)

    # --- the workers, and who may join them --------------------------------------------------------------------------

    def dismiss(self, *, at_once: bool = False) -> list[ManagerEffect]:
        """Send all workers home, and tell the operators; `at_once`, without any teardown."""
        workers = [SendToPeer(worker.key, Dismiss(at_once)) for worker in self.roster.workers.values()]
        return [*workers, *self.operators.dismiss()]

    def make_token(
        self, token: int, key: str, lifetime: float, now: float, *, keep: bool = False
    ) -> list[ManagerEffect]:
        """Let the holder of `key`, a token's public half, hand in a key of its own, once, within so many seconds; `keep`:
        which is then let in by later Managers, too."""
        return [*self.roster.tokens.made(key, lifetime, now, keep=keep), AnswerCall(token)]

    def list_tokens(self, token: int, now: float) -> list[ManagerEffect]:
        """Answer with the TokenStatus of each."""
        return [AnswerCall(token, self.roster.tokens.listing(now))]

    def revoke(self, token: int, which: str, now: float) -> list[ManagerEffect]:
        """Strike off a worker, by its name, or a token, by its id, with the worker that it let in."""
        struck = self.roster.revoked(which)
        if struck is None:
            there = ", ".join(map(repr, self.roster.workers)) or "none"
            ids = ", ".join(each.id for each in self.roster.tokens.listing(now)) or "none"
            return [
                FailCall(token, WorkerError(f"nothing to revoke is called {which!r}; workers: {there}; tokens: {ids}"))
            ]
        effects, worker = struck
        if worker is None:
            return [*effects, AnswerCall(token)]
        # The last word goes out before nothing more is sent to it; whether it obeys does not matter.
        dismissed = SendToPeer(worker.key, Dismiss(at_once=True, reason="its access was revoked"))
        return [dismissed, *effects, *self._worker_gone(worker, "was revoked", now), AnswerCall(token)]

    def all_gone(self, token: int, deadline: float) -> list[ManagerEffect]:
        """Answer when no worker is registered any more, or at the deadline."""
        self._farewell = (token, deadline)
        return self._take_leave(deadline - 1e9)

    def _take_leave(self, now: float) -> list[ManagerEffect]:
        if self._farewell is None or (self.roster.workers and now < self._farewell[1]):
            return []
        token, self._farewell = self._farewell[0], None
        return [AnswerCall(token)]

    # --- what is asked of nodes and workers --------------------------------------------------------------------------

    def call(
        self, token: int, node: str, method: str, arguments: bytes, timeout: float, now: float
    ) -> list[ManagerEffect]:
        """Call a registered method of a node."""

        def ask(part: str, number: int) -> ManagerEffect:
            return SendToPeer(self._key_of(part), Call(self._graph, number, part, timeout, method, arguments))

        return self._ask(token, f"{node}.{method}()", [node], timeout, now, ask)

    def gather(self, token: int, timeout: float, now: float) -> list[ManagerEffect]:
        """Ask every node for its newest value."""

        def ask(part: str, number: int) -> ManagerEffect:
            return SendToPeer(self._key_of(part), Gather(self._graph, number, part, timeout))

        return self._ask(token, "gather()", list(self.members), timeout, now, ask)

    def inspect(self, token: int, timeout: float, now: float) -> list[ManagerEffect]:
        """Ask every worker that runs nodes for its counters; who does not answer in time is left out."""
        concerned = {member.worker for member in self.members.values()} & self.roster.workers.keys()

        def ask(part: str, number: int) -> ManagerEffect:
            return SendToPeer(self.roster.workers[part].key, MetricsRequest(number))

        return self._requests.ask(token, "status()", sorted(concerned), now + timeout, ask, partial=True)

    def _ask(
        self,
        token: int,
        what: str,
        nodes: list[str],
        timeout: float,
        now: float,
        ask: Callable[[str, int], ManagerEffect],
    ) -> list[ManagerEffect]:
        if self.state not in _ASKABLE:
            return [
                FailCall(token, StateError(f"{what} needs a graph that is ready or running; it is {self.state.value}"))
            ]
        for node in nodes:
            if node not in self.members:
                return [FailCall(token, GraphError(f"{what}: no node {node!r} is committed"))]
            if self.members[node].gone:
                return [FailCall(token, NodeError(f"{what}: node {node!r} does not run any more", node=node))]
        # The worker answers for a node that is busy; this deadline is for a worker that does not answer either.
        return self._requests.ask(token, what, nodes, now + timeout + 0.7, ask)

    # --- what is heard -----------------------------------------------------------------------------------------------

    def heard(self, key: str, message: AnyMessage, now: float) -> list[ManagerEffect]:
        """A worker, known by its key, has said something."""
        if self.operators.concerns(key, message):
            return self.operators.heard(key, message, now)
        effects = self.roster.heard(key, message, now)
        worker = self.roster.by_key(key)
        if worker is None:
            if isinstance(message, Heartbeat):  # it was given up, and so were its nodes: none may run on unseen
                effects.append(SendToPeer(key, Rejoin()))
            return effects
        match message:
            case NodeNews() if message.graph == self._graph:
                effects += self._life.news(message, now)
            case NodeFailure() if message.graph == self._graph:
                effects += self._life.failed(_error_of(message), now)
            case Reply(token=number, value=value, error=""):
                effects += self._requests.answered(number, value)
            case Reply(token=number, error=error):
                effects += self._requests.failed(number, NodeError(error, worker=worker.name))
            case MetricsReport(token=number):
                self.reports[worker.name] = message
                effects += self._requests.answered(number, message)
            case GatewayOpened(link=link) if message.graph == self._graph:
                effects += self._tell_peers(self._links.opened(worker.name, link, now))
            case LinkNews() if message.graph == self._graph:
                effects += self._peer_news(worker, message, now)
            case LogLine(node=node, level=level, text=text):
                effects.append(Log(level, text, node, worker.name))
            case Departure():
                effects += self.roster.departed(worker)
                effects += self._worker_gone(worker, "left", now) + self._take_leave(now)
        return effects

    def overslept(self, seconds: float) -> None:
        """The Manager itself stood still for so long, as the whole machine may have."""
        self.roster.overslept(seconds)

    def tick(self, now: float) -> list[ManagerEffect]:
        """Time has passed: who has been silent, what has taken too long?"""
        effects = self._requests.tick(now) + self.operators.tick(now) + self.roster.tokens.tick(now)
        for worker in self.roster.silent(now):
            effects += self._worker_gone(
                worker, "vanished (it was killed, or its network is cut): start it again and commit anew", now
            )
        effects += self._life.tick(now)
        return effects + self._take_leave(now)

    def _peer_news(self, worker: RegisteredWorker, news: LinkNews, now: float) -> list[ManagerEffect]:
        text = self._links.told(worker.name, news.peer, news.up)
        notes: list[ManagerEffect] = []
        if text and self.state in _LINKED:
            notes.append(Log(logging.INFO if news.up else logging.WARNING, text))
        return notes + self._life.look(now)

    def _worker_gone(self, worker: RegisteredWorker, how: str, now: float) -> list[ManagerEffect]:
        text = f"worker {worker.name!r} (pid {worker.pid}) {how}"
        theirs = self._life.lost(worker.name)
        error = WorkerError(f"{text}; it ran {', '.join(repr(member.name) for member in theirs) or 'no node'}")
        effects: list[ManagerEffect] = [Log(logging.WARNING if theirs else logging.INFO, text)]
        effects += self._requests.lost([worker.name, *(member.name for member in theirs)], error)
        if theirs:
            effects += self._life.failed(error, now)
            effects += self._tell_peers(self._links.gone(worker.name))
        return effects + self._life.look(now)

    # --- small things ------------------------------------------------------------------------------------------------

    def _tell_peers(self, peers: PeersOf) -> list[ManagerEffect]:
        tell, graph = self.roster.tell, self._graph
        return [effect for name, theirs in peers.items() for effect in tell([name], PeerGateways(graph, theirs))]

    def _key_of(self, node: str) -> str:
        return self.roster.workers[self.members[node].worker].key

    @property
    def _graph(self) -> str:
        return self._life.committed.graph

    @property
    def _links(self) -> LinkTable:
        return self._life.committed.links


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
