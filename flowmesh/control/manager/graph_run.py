"""One run of one graph, from commit to reset: verbs, reports of nodes, deadlines. No I/O.

The states are the table GRAPH in `wire/states.py`, and only `_become` moves in it. `deployment.py` keeps the states of
the nodes, `waiters.py` the verbs that wait.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from ...errors import DeadlineError, FlowmeshError, StateError, WorkerError
from ...failures import add_note, listed
from ...wire.messages import Deploy, Message, MetricsReport, NodeNews, PauseBlocked, Start, Stop, TearDown
from ...wire.plan_specs import Plan
from ...wire.states import GRAPH, GraphState, NodeState, move
from ..effect import Log
from ..manager.effects import AnswerCall, FailCall, ManagerEffect
from .deployment import Deployment, NodeView
from .requests import PendingRequests
from .waiters import Waiters
from .workers import WorkerRegistry

_NEEDED = (GraphState.COMMITTING, GraphState.READY, GraphState.RUNNING, GraphState.STOPPING)
_ACTIVE = (*_NEEDED, GraphState.ENDING)
_SHIP_AGAIN = 2.0  # seconds: a worker reports its first process long before


class GraphRun:
    """The run of the committed graph, if there is one.

    Args:
        roster: the workers that it may be committed to.
        requests: the requests that end when a node does.
        drain: how long a stop waits for the graph to drain, in seconds.
        stop_timeout: how long a step and a teardown may take before the node's process is killed, in seconds.
        address: where other machines reach this one, "" where they can't.
    """

    def __init__(
        self, roster: WorkerRegistry, requests: PendingRequests, *, drain: float, stop_timeout: float, address: str = ""
    ) -> None:
        self._registry = roster
        self._requests = requests
        self._drain = drain
        self._stop_timeout = stop_timeout
        self._address = address
        self._waiters = Waiters()
        self.state = GraphState.EMPTY
        self.deployment = Deployment()
        self.error: FlowmeshError | None = None
        self.reports: dict[str, MetricsReport] = {}
        self._ship_again = 0.0
        self._setup_timeout = 60.0
        self._deadline: float | None = None  # of the state that the graph is in
        self._drain_cut_short = False  # whether a drain that took too long was cut short
        self._closing = False  # in FAILING: whether the teardown has begun

    # --- verbs -------------------------------------------------------------------------------------------------------

    def commit(self, call_id: int, plan: Plan, timeout: float, now: float) -> list[ManagerEffect]:
        """Ship the plan and set its nodes up."""
        if self.state not in (GraphState.EMPTY, GraphState.FINISHED):
            return [
                FailCall(
                    call_id, StateError(f"the graph is {self.state.value}: reset() it before another is committed")
                )
            ]
        return self._deploy(call_id, "commit", plan, timeout, now)

    def start(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Let every node step. What has finished begins a new run."""
        if self.state is GraphState.FINISHED and self.deployment.plan is not None:
            return self._deploy(call_id, "start", _next_run(self.deployment.plan), self._setup_timeout, now)
        if self.state is GraphState.RUNNING:
            return [AnswerCall(call_id)]
        return self._refuse(call_id, "start", (GraphState.READY,)) or [*self._begin(None), AnswerCall(call_id)]

    def step(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Let every source do one step, and drain what follows from it."""
        refusal = self._refuse(call_id, "step", (GraphState.READY,))
        if refusal:
            return refusal
        self._waiters.add("stop", call_id)
        return self._begin(1)

    def stop(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Pause the sources and drain what is in flight."""
        if self.state in (GraphState.READY, GraphState.FINISHED):
            return [AnswerCall(call_id)]
        refusal = self._refuse(call_id, "stop", (GraphState.RUNNING, GraphState.STOPPING, GraphState.ENDING))
        if refusal:
            return refusal
        self._waiters.add("stop", call_id)
        if self.state is not GraphState.RUNNING:
            if self._deadline is None:  # an earlier stop has failed at a node that is stuck; this one fails too
                self._deadline = now + self._stop_timeout
            return []
        return self._pause(now + self._drain)

    def halt(self, call_id: int, drain: float | None, now: float) -> list[ManagerEffect]:
        """Stop, tear down and finish, as if all sources had ended. Answers with the state that is reached."""
        self._waiters.add("halt", call_id)
        match self.state:
            case GraphState.COMMITTING:
                return self._forget(now)
            case GraphState.READY:
                return self._end("halt", now)
            case GraphState.RUNNING:
                return self._pause(now + (self._drain if drain is None else drain))
            case GraphState.EMPTY | GraphState.FINISHED | GraphState.FAILED:
                return self._waiters.answer("halt", self.state.value)
            case _:  # it is on its way to an end; a STOPPING one goes on to it
                return []

    def wait(self, call_id: int) -> list[ManagerEffect]:
        """Answer when the graph has finished, fail when it has failed."""
        if self.state is GraphState.FINISHED:
            return [AnswerCall(call_id, True)]
        if self.state is GraphState.FAILED and self.error is not None:
            return [FailCall(call_id, self.error)]
        if self.state in (GraphState.EMPTY, GraphState.RESETTING):
            return [
                FailCall(call_id, StateError("there is no graph to wait for: commit_graph() and start() come first"))
            ]
        self._waiters.add("wait", call_id)
        return []

    def stop_waiting(self, call_id: int) -> list[ManagerEffect]:
        """The caller of this `wait` has given up."""
        self._waiters.discard("wait", call_id)
        return []

    def reset(self, call_id: int, now: float) -> list[ManagerEffect]:
        """Tear down whatever there is, and forget it."""
        if self.state is GraphState.EMPTY:
            return [AnswerCall(call_id)]
        self._waiters.add("reset", call_id)
        return [] if self.state is GraphState.RESETTING else self._forget(now)

    # --- events ------------------------------------------------------------------------------------------------------

    def node_changed(self, news: NodeNews, now: float) -> list[ManagerEffect]:
        """Handle a change of a node's state."""
        member = self.deployment.node_changed(news)
        if member is None:
            return []
        effects: list[ManagerEffect] = []
        for sender in self.deployment.unpaused_senders(member):  # it will not make room for what they still emit
            effects += self._registry.send_to_workers([sender.worker], PauseBlocked(news.graph, sender.name))
        return effects + self.advance(now)

    def worker_lost(self, worker: str) -> list[NodeView]:
        """Handle the loss of a worker; returns the nodes that are lost with it."""
        return self.deployment.worker_lost_nodes(worker, needed=self.state in _NEEDED)

    def node_failed(self, error: FlowmeshError, now: float) -> list[ManagerEffect]:
        """Handle a node that has failed, or is lost."""
        if self.state not in _ACTIVE:
            if self.error is not None and self.state is GraphState.FAILING:
                add_note(self.error, f"afterwards: {error}")
                return [Log(logging.ERROR, str(error), raised=self.error)]
            return [Log(logging.ERROR, str(error))]
        note = Log(logging.ERROR, str(error), raised=error)
        flowing = self.state in (GraphState.RUNNING, GraphState.STOPPING)
        self.error = error
        self._closing = False
        self._become("failed", now + self._drain)
        effects: list[ManagerEffect] = [
            note,
            *self._waiters.fail("stop", error=error),
        ]  # a pause will not come any more
        effects += self._tell(Stop(self.deployment.graph, self.deployment.start_id)) if flowing else self._close(now)
        return effects + self.advance(now)

    def advance(self, now: float) -> list[ManagerEffect]:
        """Move on if the graph has reached what it was waiting for."""
        nodes = self.deployment
        match self.state:
            case GraphState.COMMITTING if nodes.all_are(NodeState.READY) and nodes.links.ready:
                return self._set_up()
            case GraphState.RUNNING | GraphState.STOPPING if nodes.all_are(NodeState.ENDED):
                return self._end("ended", now)
            case GraphState.STOPPING if "halt" in self._waiters and not nodes.busy:
                return self._end("halt", now)
            case GraphState.RUNNING | GraphState.STOPPING if not nodes.busy:
                self._become("paused", None)
                return self._waiters.answer("stop")
            case GraphState.ENDING | GraphState.FAILING | GraphState.RESETTING if nodes.gone:
                return self._closed()
            case GraphState.FAILING if not self._closing and nodes.still:
                return self._close(now)
            case _:
                return []

    def tick(self, now: float) -> list[ManagerEffect]:
        """Handle the passing of time."""
        effects: list[ManagerEffect] = []
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            effects += self._late(now)
        if self.state is GraphState.COMMITTING:
            effects += [Log(logging.WARNING, sentence) for sentence in self.deployment.links.overdue(now)]
            if now >= self._ship_again:
                effects += self._ship(self.deployment.workers_without_news, now)
        return effects

    @property
    def at_rest(self) -> frozenset[str]:
        """The nodes that have counted what lies with them, and nothing moves any more."""
        if self.state not in (GraphState.READY, GraphState.FINISHED, GraphState.FAILED):
            return frozenset()
        members = self.deployment.nodes
        return frozenset(name for name, member in members.items() if member.state is not NodeState.DEAD)

    # --- from state to state -----------------------------------------------------------------------------------------

    def _become(self, event: str, deadline: float | None) -> None:
        self.state = move(GRAPH, self.state, event)
        self._deadline = deadline
        self._drain_cut_short = False

    def _deploy(self, call_id: int, verb: str, plan: Plan, timeout: float, now: float) -> list[ManagerEffect]:
        committed = Deployment(plan)
        lost = [name for name in committed.workers if name not in self._registry.workers]
        if lost:
            return [
                FailCall(
                    call_id,
                    WorkerError(f"{verb}(): nodes are mapped to {listed(lost)}, which is not registered any more"),
                )
            ]
        self._become("commit" if self.state is GraphState.EMPTY else "start", now + timeout)
        self._waiters.add(verb, call_id)
        self._setup_timeout = timeout
        self.deployment, self.error, self.reports = committed, None, {}
        return self._ship(committed.workers, now)

    def _ship(self, workers: Iterable[str], now: float) -> list[ManagerEffect]:
        """Send the plan. A worker whose connection breaks meanwhile never gets it: it is sent again, and ignored by a
        worker that has it."""
        self._ship_again = now + _SHIP_AGAIN
        plan = self.deployment.plan
        assert plan is not None
        effects: list[ManagerEffect] = []
        for name in workers:
            effects += self._registry.send_to_workers(
                [name], Deploy(plan.for_worker(name), self._stop_timeout, self._address)
            )
        return effects

    def _tell(self, message: Message) -> list[ManagerEffect]:
        return self._registry.send_to_workers(self.deployment.workers, message)

    def _begin(self, steps: int | None) -> list[ManagerEffect]:
        self.deployment.start_id += 1
        self._become("start", None)
        return self._tell(Start(self.deployment.graph, self.deployment.start_id, steps))

    def _pause(self, deadline: float) -> list[ManagerEffect]:
        self._become("stop", deadline)
        return self._tell(Stop(self.deployment.graph, self.deployment.start_id))

    def _set_up(self) -> list[ManagerEffect]:
        self._become("set up", None)
        if "start" in self._waiters:
            return [*self._begin(None), *self._waiters.answer("start")]
        return self._waiters.answer("commit")

    def _end(self, event: str, now: float) -> list[ManagerEffect]:
        self._become(event, now + self._stop_timeout + 1.0)
        return self._tell(TearDown(self.deployment.graph))

    def _close(self, now: float) -> list[ManagerEffect]:
        self._closing = True
        self._deadline = now + self._stop_timeout + 1.0
        return self._tell(TearDown(self.deployment.graph))

    def _closed(self) -> list[ManagerEffect]:
        self._become("closed", None)
        verbs = self._waiters
        if self.state is GraphState.FAILED and self.error is not None:
            return verbs.fail("commit", "start", "wait", error=self.error) + verbs.answer("halt", self.state.value)
        if self.state is GraphState.EMPTY:
            self.deployment, self.error = Deployment(), None
            return verbs.answer("reset") + verbs.answer("halt", self.state.value)
        return verbs.answer("stop") + verbs.answer("wait", True) + verbs.answer("halt", self.state.value)

    def _forget(self, now: float) -> list[ManagerEffect]:
        self._become("reset", now + self._stop_timeout + 1.0)
        gone = StateError("the graph was reset")
        effects = self._requests.parts_lost(self.deployment.nodes, gone)
        effects += self._waiters.fail("commit", "start", "stop", "wait", error=gone)
        return effects + self._tell(TearDown(self.deployment.graph)) + self.advance(now)

    def _late(self, now: float) -> list[ManagerEffect]:
        """Handle a state that has lasted too long."""
        match self.state:
            case GraphState.COMMITTING:
                error = DeadlineError(self.deployment.not_set_up(self._setup_timeout))
                return self._waiters.fail("commit", "start", error=error) + self.node_failed(error, now)
            case GraphState.STOPPING if not self._drain_cut_short:
                self._drain_cut_short = True
                self._deadline = now + self._stop_timeout
                return self._tell(Stop(self.deployment.graph, self.deployment.start_id, now=True))
            case GraphState.STOPPING if "halt" in self._waiters:  # a stuck node is killed by its worker
                return self._end("halt", now)
            case GraphState.STOPPING:
                busy = listed(member.name for member in self.deployment.busy)
                return self._waiters.fail("stop", error=DeadlineError(f"stop(): still busy in a step: {busy}"))
            case GraphState.FAILING if not self._closing:
                return self._close(now)
            case _:  # ENDING, FAILING, RESETTING: no other state has a deadline
                return self._give_up(now)

    def _give_up(self, now: float) -> list[ManagerEffect]:
        """Go on without a worker that has not reported the end of its nodes although it had to kill them."""
        names = ", ".join(f"{member.name!r} on {member.worker!r}" for member in self.deployment.give_up())
        return [Log(logging.ERROR, f"the end of these nodes was not reported: {names}"), *self.advance(now)]

    def _refuse(self, call_id: int, verb: str, allowed: Iterable[GraphState]) -> list[ManagerEffect]:
        if self.state in allowed:
            return []
        if self.state in (GraphState.FAILED, GraphState.FAILING) and self.error is not None:
            return [FailCall(call_id, self.error)]
        return [FailCall(call_id, StateError(f"{verb}() is not possible while the graph is {self.state.value}"))]


def _next_run(plan: Plan) -> Plan:
    run = plan.run + 1
    graph = f"{plan.graph.rsplit('.', 1)[0]}.{run}"
    return msgspec.structs.replace(plan, graph=graph, run=run)
