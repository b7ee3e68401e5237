"""The Machine of the Manager: the life of one graph at a time, on the workers that are registered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ..errors import DeadlineError, FlowmeshError, GraphError, NodeDied, NodeError, StateError, WorkerError
from ..wire.lifecycle import GRAPH, GraphState, NodeState, move
from ..wire.messages import (
    AnyMessage,
    Call,
    Departure,
    Deploy,
    Dismiss,
    Failure,
    Gather,
    Heartbeat,
    Inspect,
    LogLine,
    Message,
    NodeNews,
    Reply,
    Report,
    Start,
    Stop,
    TearDown,
)
from ..wire.specs import Plan, Versions
from .effects import Answer, Fail, ManagerEffect, Note, Send
from .requests import Requests
from .roster import Registered, Roster

_NEEDED = (GraphState.COMMITTING, GraphState.READY, GraphState.RUNNING, GraphState.STOPPING)
_ACTIVE = (*_NEEDED, GraphState.ENDING)
_QUIET = (NodeState.READY, NodeState.ENDED, NodeState.FAILED, NodeState.CLOSED, NodeState.DEAD)


class Member:
    """A node as the Manager sees it. `turn` is the last start that it has paused after."""

    def __init__(self, name: str, worker: str) -> None:
        self.name = name
        self.worker = worker
        self.state = NodeState.STARTING
        self.turn = 0
        self.pid = 0
        self.gone = False


class ManagerMachine:
    """Told what was asked, heard and how late it is, it returns what to do.

    `drain` is how long a stop waits until all that is in flight is worked off, `stop_timeout` how long a step and a
    teardown may take before the node's process is killed; both in seconds.
    """

    def __init__(self, versions: Versions, *, drain: float = 5.0, stop_timeout: float = 5.0) -> None:
        self.roster = Roster(versions)
        self.state = GraphState.EMPTY
        self.plan: Plan | None = None
        self.members: dict[str, Member] = {}
        self.error: FlowmeshError | None = None
        self.reports: dict[str, Report] = {}
        self._requests = Requests()
        self._drain = drain
        self._stop_timeout = stop_timeout
        self._turn = 0
        self._setup_timeout = 60.0
        self._deadline: float | None = None  # of the state that the graph is in
        self._told_now = False  # whether a drain that took too long was cut short
        self._closing = False  # in FAILING: whether the teardown has begun
        self._farewell: tuple[int, float] | None = None
        self._waiting: dict[str, set[int]] = {verb: set() for verb in ("commit", "start", "stop", "wait", "reset")}

    # --- verbs -------------------------------------------------------------------------------------------------------

    def commit(self, token: int, plan: Plan, timeout: float, now: float) -> list[ManagerEffect]:
        """Ship the plan and set its nodes up."""
        if self.state not in (GraphState.EMPTY, GraphState.FINISHED):
            return [Fail(token, StateError(f"the graph is {self.state.value}: reset() it before another is committed"))]
        return self._deploy(token, "commit", plan, timeout, now)

    def start(self, token: int, now: float) -> list[ManagerEffect]:
        """Let every node step. What has finished begins a new run."""
        if self.state is GraphState.FINISHED and self.plan is not None:
            return self._deploy(token, "start", _next_run(self.plan), self._setup_timeout, now)
        if self.state is GraphState.RUNNING:
            return [Answer(token)]
        return self._refuse(token, "start", (GraphState.READY,)) or [*self._begin(None), Answer(token)]

    def step(self, token: int, now: float) -> list[ManagerEffect]:
        """Let every source do one step, and what follows from it."""
        refusal = self._refuse(token, "step", (GraphState.READY,))
        if refusal:
            return refusal
        self._waiting["stop"].add(token)
        return self._begin(1)

    def stop(self, token: int, now: float) -> list[ManagerEffect]:
        """Pause the sources and work off what is in flight."""
        if self.state in (GraphState.READY, GraphState.FINISHED):
            return [Answer(token)]
        refusal = self._refuse(token, "stop", (GraphState.RUNNING, GraphState.STOPPING, GraphState.ENDING))
        if refusal:
            return refusal
        self._waiting["stop"].add(token)
        if self.state is not GraphState.RUNNING:
            if self._deadline is None:  # an earlier stop has failed at a node that is stuck; this one is told so too
                self._deadline = now + self._stop_timeout
            return []
        self._become("stop", now + self._drain)
        return self._tell(Stop(self._graph, self._turn))

    def wait(self, token: int) -> list[ManagerEffect]:
        """Answer when the graph has finished, fail when it has failed."""
        if self.state is GraphState.FINISHED:
            return [Answer(token, True)]
        if self.state is GraphState.FAILED and self.error is not None:
            return [Fail(token, self.error)]
        if self.state in (GraphState.EMPTY, GraphState.RESETTING):
            return [Fail(token, StateError("there is no graph to wait for: commit_graph() and start() come first"))]
        self._waiting["wait"].add(token)
        return []

    def reset(self, token: int, now: float) -> list[ManagerEffect]:
        """Tear down whatever there is, and forget it."""
        if self.state is GraphState.EMPTY:
            return [Answer(token)]
        self._waiting["reset"].add(token)
        if self.state is GraphState.RESETTING:
            return []
        self._become("reset", now + self._stop_timeout + 1.0)
        gone = StateError("the graph was reset")
        effects = [*self._requests.lost(self.members, gone), *self._fail("commit", "start", "stop", "wait", error=gone)]
        return effects + self._tell(TearDown(self._graph)) + self._look(now)

    def dismiss(self, *, at_once: bool = False) -> list[ManagerEffect]:
        """Send all workers home; `at_once`, without any teardown."""
        return [Send(worker.key, Dismiss(at_once)) for worker in self.roster.workers.values()]

    def all_gone(self, token: int, deadline: float) -> list[ManagerEffect]:
        """Answer when no worker is registered any more, or at the deadline."""
        self._farewell = (token, deadline)
        return self._take_leave(deadline - 1e9)

    def _take_leave(self, now: float) -> list[ManagerEffect]:
        if self._farewell is None or (self.roster.workers and now < self._farewell[1]):
            return []
        token, self._farewell = self._farewell[0], None
        return [Answer(token)]

    def call(
        self, token: int, node: str, method: str, arguments: bytes, timeout: float, now: float
    ) -> list[ManagerEffect]:
        """Call a registered method of a node."""

        def ask(part: str, number: int) -> ManagerEffect:
            return Send(self._key_of(part), Call(self._graph, number, part, timeout, method, arguments))

        return self._ask(token, f"{node}.{method}()", [node], timeout, now, ask)

    def gather(self, token: int, timeout: float, now: float) -> list[ManagerEffect]:
        """Ask every node for its newest value."""

        def ask(part: str, number: int) -> ManagerEffect:
            return Send(self._key_of(part), Gather(self._graph, number, part, timeout))

        return self._ask(token, "gather()", list(self.members), timeout, now, ask)

    def inspect(self, token: int, timeout: float, now: float) -> list[ManagerEffect]:
        """Ask every worker that runs nodes for its counters; who does not answer in time is left out."""
        concerned = {member.worker for member in self.members.values()} & self.roster.workers.keys()

        def ask(part: str, number: int) -> ManagerEffect:
            return Send(self.roster.workers[part].key, Inspect(number))

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
        if self.state not in _ACTIVE or self.state is GraphState.COMMITTING:
            return [Fail(token, StateError(f"{what} needs a graph that is ready or running; it is {self.state.value}"))]
        for node in nodes:
            if node not in self.members:
                return [Fail(token, GraphError(f"{what}: no node {node!r} is committed"))]
            if self.members[node].gone:
                return [Fail(token, NodeError(f"{what}: node {node!r} does not run any more", node=node))]
        # The worker answers for a node that is busy; this deadline is for a worker that does not answer either.
        return self._requests.ask(token, what, nodes, now + timeout + 0.7, ask)

    # --- what is heard -----------------------------------------------------------------------------------------------

    def heard(self, key: str, message: AnyMessage, now: float) -> list[ManagerEffect]:
        """A worker, known by its key, has said something."""
        effects = self.roster.heard(key, message, now)
        worker = self.roster.by_key(key)
        if worker is None:
            if isinstance(message, Heartbeat):  # it was given up, and so were its nodes: none may run on unseen
                effects.append(Send(key, Dismiss()))
            return effects
        match message:
            case NodeNews() if message.graph == self._graph:
                effects += self._news(message, now)
            case Failure() if message.graph == self._graph:
                effects += self._failure(message, now)
            case Reply(token=number, value=value, error=""):
                effects += self._requests.answered(number, value)
            case Reply(token=number, error=error):
                effects += self._requests.failed(number, NodeError(error, worker=worker.name))
            case Report(token=number):
                self.reports[worker.name] = message
                effects += self._requests.answered(number, message)
            case LogLine(node=node, level=level, text=text):
                effects.append(Note(level, text, node, worker.name))
            case Departure():
                self.roster.departed(worker)
                effects += self._worker_gone(worker, "left", now) + self._take_leave(now)
        return effects

    def tick(self, now: float) -> list[ManagerEffect]:
        """Time has passed: who has been silent, what has taken too long?"""
        effects = self._requests.tick(now)
        for worker in self.roster.silent(now):
            effects += self._worker_gone(
                worker, "vanished (it was killed, or its network is cut): start it again and commit anew", now
            )
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            effects += self._late(now)
        return effects + self._take_leave(now)

    def _news(self, news: NodeNews, now: float) -> list[ManagerEffect]:
        member = self.members.get(news.node)
        if member is None or member.gone:  # it was given up: what it still says comes too late
            return []
        member.state = news.state
        member.turn = news.turn
        member.gone = news.gone
        member.pid = news.pid
        return self._look(now)

    def _failure(self, failure: Failure, now: float) -> list[ManagerEffect]:
        return self._failed(_error_of(failure), now)

    def _worker_gone(self, worker: Registered, how: str, now: float) -> list[ManagerEffect]:
        text = f"worker {worker.name!r} (pid {worker.pid}) {how}"
        theirs = [member for member in self.members.values() if member.worker == worker.name]
        if self.state not in _NEEDED:  # nodes that have left in order are no loss
            theirs = [member for member in theirs if not member.gone]
        for member in theirs:
            member.gone = True
            member.pid = 0
            if member.state is not NodeState.CLOSED:
                member.state = NodeState.DEAD
        error = WorkerError(f"{text}; it ran {', '.join(repr(member.name) for member in theirs) or 'no node'}")
        effects: list[ManagerEffect] = [Note(logging.WARNING if theirs else logging.INFO, text)]
        effects += self._requests.lost([worker.name, *(member.name for member in theirs)], error)
        if theirs:
            effects += self._failed(error, now)
        return effects + self._look(now)

    # --- the life of the graph ---------------------------------------------------------------------------------------

    def _deploy(self, token: int, verb: str, plan: Plan, timeout: float, now: float) -> list[ManagerEffect]:
        workers = dict.fromkeys(node.worker for node in plan.nodes)
        lost = ", ".join(repr(name) for name in workers if name not in self.roster.workers)
        if lost:
            return [Fail(token, WorkerError(f"{verb}(): nodes are mapped to {lost}, which is not registered any more"))]
        self._become("commit" if self.state is GraphState.EMPTY else "start", now + timeout)
        self._waiting[verb].add(token)
        self._setup_timeout = timeout
        self.plan = plan
        self.error = None
        self._turn = 0
        self.reports = {}
        self.members = {node.name: Member(node.name, node.worker) for node in plan.nodes}
        return [
            Send(self.roster.workers[name].key, Deploy(plan.for_worker(name), self._stop_timeout)) for name in workers
        ]

    def _begin(self, steps: int | None) -> list[ManagerEffect]:
        self._turn += 1
        self._become("start", None)
        return self._tell(Start(self._graph, self._turn, steps))

    def _look(self, now: float) -> list[ManagerEffect]:
        """Has the graph reached what it was waiting for?"""
        match self.state:
            case GraphState.COMMITTING if self._all(NodeState.READY):
                return self._set_up()
            case GraphState.RUNNING | GraphState.STOPPING if self._all(NodeState.ENDED):
                self._become("ended", now + self._stop_timeout + 1.0)
                return self._tell(TearDown(self._graph))
            case GraphState.RUNNING | GraphState.STOPPING if self._paused():
                self._become("paused", None)
                return self._answer("stop")
            case GraphState.ENDING | GraphState.FAILING | GraphState.RESETTING if self._gone():
                return self._closed()
            case GraphState.FAILING if not self._closing and self._still():
                return self._close(now)
            case _:
                return []

    def _set_up(self) -> list[ManagerEffect]:
        self._become("set up", None)
        if self._waiting["start"]:
            return [*self._begin(None), *self._answer("start")]
        return self._answer("commit")

    def _failed(self, error: FlowmeshError, now: float) -> list[ManagerEffect]:
        note = Note(logging.ERROR, str(error))
        if self.state not in _ACTIVE:
            if self.error is not None and self.state is GraphState.FAILING:
                self.error.add_note(f"afterwards: {error}")
            return [note]
        flowing = self.state in (GraphState.RUNNING, GraphState.STOPPING)
        self.error = error
        self._closing = False
        self._become("failed", now + self._drain)
        effects: list[ManagerEffect] = [note, *self._fail("stop", error=error)]  # a pause will not come any more
        effects += self._tell(Stop(self._graph, self._turn)) if flowing else self._close(now)
        return effects + self._look(now)

    def _close(self, now: float) -> list[ManagerEffect]:
        self._closing = True
        self._deadline = now + self._stop_timeout + 1.0
        return self._tell(TearDown(self._graph))

    def _closed(self) -> list[ManagerEffect]:
        self._become("closed", None)
        if self.state is GraphState.FAILED and self.error is not None:
            return self._fail("commit", "start", "wait", error=self.error)
        if self.state is GraphState.EMPTY:
            self.plan, self.members, self.error = None, {}, None
            return self._answer("reset")
        return self._answer("stop") + self._answer("wait", True)

    def _late(self, now: float) -> list[ManagerEffect]:
        """The present state has lasted too long."""
        match self.state:
            case GraphState.COMMITTING:
                late = [member for member in self.members.values() if member.state is NodeState.STARTING]
                names = ", ".join(f"{member.name!r} on worker {member.worker!r}" for member in late)
                error = DeadlineError(f"setup did not end within {self._setup_timeout:g} s in: {names}")
                return self._fail("commit", "start", error=error) + self._failed(error, now)
            case GraphState.STOPPING if not self._told_now:
                self._told_now = True
                self._deadline = now + self._stop_timeout
                return self._tell(Stop(self._graph, self._turn, now=True))
            case GraphState.STOPPING:
                busy = ", ".join(repr(name) for name, member in self.members.items() if not self._has_paused(member))
                return self._fail("stop", error=DeadlineError(f"stop(): still busy in a step: {busy}"))
            case GraphState.FAILING if not self._closing:
                return self._close(now)
            case _:  # ENDING, FAILING, RESETTING: no other state has a deadline
                return self._give_up(now)

    def _give_up(self, now: float) -> list[ManagerEffect]:
        """A worker has not reported the end of its nodes although it had to kill them: go on without."""
        stuck = [member for member in self.members.values() if not member.gone]
        for member in stuck:
            member.gone = True
        names = ", ".join(f"{member.name!r} on {member.worker!r}" for member in stuck)
        return [Note(logging.ERROR, f"the end of these nodes was not reported: {names}"), *self._look(now)]

    # --- small things ------------------------------------------------------------------------------------------------

    @property
    def _graph(self) -> str:
        return self.plan.graph if self.plan else ""

    def _all(self, state: NodeState) -> bool:
        return all(member.state is state for member in self.members.values())

    def _has_paused(self, member: Member) -> bool:
        return member.state is NodeState.ENDED or (member.state is NodeState.READY and member.turn == self._turn)

    def _paused(self) -> bool:
        return all(self._has_paused(member) for member in self.members.values())

    def _still(self) -> bool:
        return all(
            member.gone
            or (member.state in _QUIET and (member.state is not NodeState.READY or member.turn == self._turn))
            for member in self.members.values()
        )

    def _gone(self) -> bool:
        return all(member.gone for member in self.members.values())

    def _key_of(self, node: str) -> str:
        return self.roster.workers[self.members[node].worker].key

    def _tell(self, message: Message) -> list[ManagerEffect]:
        names = dict.fromkeys(member.worker for member in self.members.values())
        return [Send(self.roster.workers[name].key, message) for name in names if name in self.roster.workers]

    def _become(self, event: str, deadline: float | None) -> None:
        self.state = move(GRAPH, self.state, event)
        self._deadline = deadline
        self._told_now = False

    def _refuse(self, token: int, verb: str, allowed: Iterable[GraphState]) -> list[ManagerEffect]:
        if self.state in allowed:
            return []
        if self.state in (GraphState.FAILED, GraphState.FAILING) and self.error is not None:
            return [Fail(token, self.error)]
        return [Fail(token, StateError(f"{verb}() is not possible while the graph is {self.state.value}"))]

    def _answer(self, verb: str, value: object = None) -> list[ManagerEffect]:
        tokens, self._waiting[verb] = self._waiting[verb], set()
        return [Answer(token, value) for token in sorted(tokens)]

    def _fail(self, *verbs: str, error: FlowmeshError) -> list[ManagerEffect]:
        effects: list[ManagerEffect] = []
        for verb in verbs:
            tokens, self._waiting[verb] = self._waiting[verb], set()
            effects += [Fail(token, error) for token in sorted(tokens)]
        return effects


def _next_run(plan: Plan) -> Plan:
    run = plan.run + 1
    return Plan(f"{plan.graph.rsplit('.', 1)[0]}.{run}", run, plan.names, plan.nodes, plan.edges, plan.code)


def _error_of(failure: Failure) -> NodeError:
    if failure.phase == "process":
        text = f"the process of node {failure.node!r} on worker {failure.worker!r} {failure.text}"
        return NodeDied(text, node=failure.node, worker=failure.worker, phase="process", number=failure.number)
    where = f" (chunk {failure.number})" if failure.phase == "step" and failure.number else ""
    text = f"node {failure.node!r} on worker {failure.worker!r} failed in {failure.phase}{where}:\n{failure.text}"
    return NodeError(text, node=failure.node, worker=failure.worker, phase=failure.phase, number=failure.number)
