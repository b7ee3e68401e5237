"""A small world to try the Machines in: a Manager, workers and their nodes' processes joined by lists, time a number.

Order is kept between two speakers, and only there: with a seed, any of them may be next. No thread, no socket, no clock.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from flowmesh.control import effects as do
from flowmesh.control.effects import Answer, Fail, ManagerEffect, Note, WorkerEffect
from flowmesh.control.manager import ManagerMachine
from flowmesh.control.worker import WorkerMachine
from flowmesh.wire.lifecycle import NODE, GraphState, NodeState
from flowmesh.wire.messages import Departure, Heartbeat, Registration, Reply, Report
from flowmesh.wire.specs import Code, EdgePlan, EdgeSpec, Host, NodeSpec, Plan, Versions

from .processes import STEPS_A_BEAT, Behaviour, Edge, Process

BEAT = 0.5  # seconds of the world's time from heartbeat to heartbeat; it is looked at twice as often
VERSIONS = Versions("1.0", "3.11")
Act = Callable[[], None]


def plan(edges: Iterable[str], workers: Mapping[str, str], graph: str = "graph.1") -> Plan:
    """A placed graph of edges like "film > show". `workers` are those of the nodes, in the graph's order."""
    pairs = [tuple(edge.split(" > ")) for edge in edges]
    sources, targets = {source for source, _ in pairs}, {target for _, target in pairs}
    kinds = {name: "source" if name not in targets else "step" if name in sources else "sink" for name in workers}
    nodes = [NodeSpec(i, name, kinds[name], b"", worker) for i, (name, worker) in enumerate(workers.items())]
    placed = [
        EdgePlan(EdgeSpec(i, source, target), workers[source], workers[target], nonce=f"{graph}/{i}")
        for i, (source, target) in enumerate(pairs)
    ]
    return Plan(graph, int(graph.rpartition(".")[2]), tuple(workers), tuple(nodes), tuple(placed), Code(b""))


class Worker:
    """A worker's daemon. `up` and `down` are the two ways of its link; a link that is cut delivers nothing, yet."""

    def __init__(self, name: str) -> None:
        self.machine = WorkerMachine(name)
        self.key = f"key of {name}"
        self.alive = True
        self.cut = False
        self.up: deque[Any] = deque()
        self.down: deque[Any] = deque()
        self.processes: dict[str, Process] = {}
        self.spawner: deque[tuple[str, Process]] = deque()
        self.arrivals: deque[str] = deque()  # nonces of edges whose ends another worker has brought
        self.unclaimed: set[str] = set()
        self.expected: dict[str, int] = {}


class World:
    """Everything. `answers` has what became of each verb, by its token; `notes` what the user was told."""

    def __init__(self, *workers: str, seed: int | None = None, **behaviours: Behaviour) -> None:
        self.now = 1000.0
        self.manager = ManagerMachine(VERSIONS)
        self.workers: dict[str, Worker] = {}
        self.processes: list[Process] = []  # all that there ever were
        self.edges: dict[str, Edge] = {}  # by their nonce
        self.behaviours = dict(behaviours)
        self.answers: dict[int, list[Answer | Fail]] = defaultdict(list)
        self.due: dict[int, float] = {}
        self.notes: list[Note] = []
        self._random = None if seed is None else random.Random(seed)
        self._states: dict[object, NodeState] = {}
        for name in workers:
            self.hire(name)
        self.settle()

    # --- what a test does --------------------------------------------------------------------------------------------

    def hire(self, name: str) -> Worker:
        """A new worker of that name wants to join."""
        worker = self.workers[name] = Worker(name)
        if name in self.manager.roster.workers:
            worker.key += "'s successor"
        host = Host("boot", 1, 0, f"address of {name}")
        worker.up.append(Registration(name, 7, host, VERSIONS))
        return worker

    def vanish(self, name: str) -> None:
        """The worker's host is switched off."""
        worker = self.workers[name]
        worker.alive = False
        worker.up.clear()
        for process in worker.processes.values():
            process.end(-9)

    def interrupt(self, name: str) -> None:
        """The worker is told to leave by its own host: Ctrl+C, SIGTERM, the end of its script."""
        worker = self.workers[name]
        self._worker_does(worker, worker.machine.leave(self.now))

    def process(self, node: str) -> Process:
        """The newest process of a node."""
        return next(process for process in reversed(self.processes) if process.name == node)

    def crash(self, node: str, status: int = -11) -> None:
        """A node's process dies."""
        self._exit(self.process(node), status)

    def commit(self, plan: Plan, timeout: float = 60.0) -> int:
        return self.ask(lambda manager, token: manager.commit(token, plan, timeout, self.now), timeout + 12)

    def start(self) -> int:
        return self.ask(lambda manager, token: manager.start(token, self.now), 60 + 12)

    def step(self) -> int:
        return self.ask(lambda manager, token: manager.step(token, self.now))

    def stop(self) -> int:
        return self.ask(lambda manager, token: manager.stop(token, self.now), 20)

    def wait(self) -> int:
        return self.ask(lambda manager, token: manager.wait(token))

    def reset(self) -> int:
        return self.ask(lambda manager, token: manager.reset(token, self.now), 10)

    def gather(self, timeout: float = 2.0) -> int:
        return self.ask(lambda manager, token: manager.gather(token, timeout, self.now), timeout + 1.5)

    def call(self, node: str, timeout: float = 2.0) -> int:
        return self.ask(
            lambda manager, token: manager.call(token, node, "method", b"", timeout, self.now), timeout + 1.5
        )

    def inspect(self, timeout: float = 1.0) -> int:
        return self.ask(lambda manager, token: manager.inspect(token, timeout, self.now), timeout + 1.5)

    def leave(self, within: float, at_once: bool = False) -> int:
        """Send all workers home, and wait until they have gone."""
        self._manager_does(self.manager.dismiss(at_once=at_once))
        return self.ask(lambda manager, token: manager.all_gone(token, self.now + within), within + 1)

    def ask(self, verb: Callable[[ManagerMachine, int], list[ManagerEffect]], within: float | None = None) -> int:
        """Have the Manager do something; returns the token. It must be answered within so many seconds, if given."""
        token = len(self.answers)
        self.answers[token] = []
        if within is not None:
            self.due[token] = self.now + within
        self._manager_does(verb(self.manager, token))
        return token

    def result(self, token: int, within: float = 90.0) -> Any:
        """What the verb returns, or raises, in the end."""
        self.until(lambda: bool(self.answers[token]), within)
        (answer,) = self.answers[token]
        if isinstance(answer, Fail):
            raise answer.error
        return answer.value

    # --- time --------------------------------------------------------------------------------------------------------

    def until(self, happened: Callable[[], bool], within: float = 30.0) -> None:
        deadline = self.now + within
        self.settle()
        while not happened():
            assert self.now < deadline, f"not within {within:g} s; the graph is {self.manager.state}"
            self.pass_time(BEAT)

    def until_state(self, state: GraphState, within: float = 30.0) -> None:
        self.until(lambda: self.manager.state is state, within)

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, and all happen that happens meanwhile."""
        for _ in range(round(seconds / BEAT)):
            for half in range(2):
                self.now += BEAT / 2
                if not half:
                    self._beat()
                self.settle()
                self._tick()
            self._check_deadlines()

    def jump(self, seconds: float) -> None:
        """Nobody is given the processor for so long: afterwards, what should have been done long ago is due."""
        self.now += seconds
        self.due = {token: due + seconds for token, due in self.due.items()}
        self._beat()
        self.settle()
        self._tick()

    def settle(self) -> None:
        """Let happen what can happen now; with a seed, not always all of it."""
        sweeps = 10_000 if self._random is None else self._random.randint(4, 40)
        while sweeps and (acts := list(self._acts())):
            sweeps -= 1
            if self._random is not None:
                self._random.shuffle(acts)
                acts = acts[: self._random.randint(1, len(acts))]
            for act in acts:
                act()
        assert sweeps or self._random, "it never comes to rest"

    def _beat(self) -> None:
        for worker in self._alive():
            worker.up.append(Heartbeat())
        for process in self.processes:
            process.allowance = STEPS_A_BEAT

    def _tick(self) -> None:
        for worker in self._alive():
            self._worker_does(worker, worker.machine.tick(self.now))
        self._manager_does(self.manager.tick(self.now))

    def _check_deadlines(self) -> None:
        late = [token for token, due in self.due.items() if self.now > due and not self.answers[token]]
        assert not late, f"not answered in time: {late}; the graph is {self.manager.state}"
        assert all(len(answers) < 2 for answers in self.answers.values()), "a verb was answered twice"

    # --- who may be next ---------------------------------------------------------------------------------------------

    def _alive(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.alive]

    def _acts(self) -> Iterator[Act]:
        for worker in self.workers.values():
            if worker.up and not worker.cut:
                yield partial(self._up, worker)
            if not worker.alive:
                continue
            if worker.down and not worker.cut:
                yield partial(self._down, worker)
            if worker.spawner:
                yield partial(self._spawned, worker)
            if worker.arrivals:
                yield partial(self._arrived, worker)
            for process in worker.processes.values():
                if process.outbox:
                    yield partial(self._node_says, worker, process)
        for process in self.processes:
            if process.is_ready:
                yield partial(self._act, process)

    def _up(self, worker: Worker) -> None:
        if worker.up:
            self._manager_does(self.manager.heard(worker.key, worker.up.popleft(), self.now))

    def _down(self, worker: Worker) -> None:
        if worker.down and worker.alive:
            self._worker_does(worker, worker.machine.heard(worker.down.popleft(), self.now))

    def _spawned(self, worker: Worker) -> None:
        if not worker.spawner or not worker.alive:
            return
        what, process = worker.spawner.popleft()
        if worker.processes.get(process.name) is not process:
            return  # of a graph that was released
        if what == "forked":
            self._worker_does(worker, worker.machine.forked(process.name, 1 + self.processes.index(process)))
            return
        while process.outbox:
            self._node_says(worker, process)
        self._worker_does(worker, worker.machine.exited(process.name, process.status, "", self.now))

    def _arrived(self, worker: Worker) -> None:
        if worker.arrivals and worker.alive:
            nonce = worker.arrivals.popleft()
            if nonce in worker.expected:
                self._worker_does(worker, worker.machine.end_arrived(worker.expected.pop(nonce), "in"))
            else:
                worker.unclaimed.add(nonce)

    def _node_says(self, worker: Worker, process: Process) -> None:
        if process.outbox and worker.alive:
            self._worker_does(worker, worker.machine.node_said(process.name, process.outbox.popleft()))

    def _act(self, process: Process) -> None:
        process.act()
        if not process.alive:
            self._exit(process, 0)

    def _exit(self, process: Process, status: int) -> None:
        process.end(status)
        for worker in self._alive():
            if process in worker.processes.values():
                worker.spawner.append(("exited", process))

    # --- effects -----------------------------------------------------------------------------------------------------

    def _manager_does(self, effects: list[ManagerEffect]) -> None:
        for effect in effects:
            match effect:
                case do.Send(key=key, message=message):
                    for worker in self._alive():
                        if worker.key == key:
                            worker.down.append(message)
                case Answer(token=token) | Fail(token=token):
                    self.answers[token].append(effect)
                case Note():
                    self.notes.append(effect)
        self._watch(self.manager.members.values())

    def _worker_does(self, worker: Worker, effects: list[WorkerEffect]) -> None:
        machine = worker.machine
        for effect in effects:
            match effect:
                case do.Say(message=message):
                    worker.up.append(message)
                case do.Tell(node=node, message=message):
                    worker.processes[node].inbox.append(message)
                case do.Fork(node=node):
                    process = worker.processes[node] = Process(node, self.behaviours.get(node, Behaviour()))
                    self.processes.append(process)
                    worker.spawner.append(("forked", process))
                case do.SetUpNode(node=node):
                    self._set_up(worker, node)
                case do.Open(edge=index):
                    self._open(worker, self._edge(worker, index))
                case do.Claim(edge=index):
                    self._claim(worker, self._edge(worker, index))
                case do.Kill(node=node):
                    if worker.processes[node].alive and not worker.processes[node].behaviour.immortal:
                        self._exit(worker.processes[node], -9)
                case do.Report(token=token):
                    worker.up.append(Report(token, machine.plan.graph if machine.plan else ""))
                case do.AnswerBusy(token=token, node=node):
                    worker.up.append(Reply(token, error=f"node {node!r} is busy in step"))
                case do.Release():
                    worker.processes = {}
                    worker.expected = {}
                case do.Leave():
                    worker.up.append(Departure(machine.name))
                    worker.alive = False
        self._watch(machine.members.values())

    def _edge(self, worker: Worker, index: int) -> EdgePlan:
        assert worker.machine.plan is not None
        return next(edge for edge in worker.machine.plan.edges if edge.spec.index == index)

    def _open(self, worker: Worker, edge: EdgePlan) -> None:
        index = edge.spec.index
        self.edges[edge.nonce] = Edge()
        if edge.target_worker == edge.source_worker:
            self._worker_does(worker, worker.machine.end_arrived(index, "in"))
        elif self.workers[edge.target_worker].alive:
            self.workers[edge.target_worker].arrivals.append(edge.nonce)
        self._worker_does(worker, worker.machine.end_arrived(index, "out"))

    def _claim(self, worker: Worker, edge: EdgePlan) -> None:
        worker.expected[edge.nonce] = edge.spec.index
        if edge.nonce in worker.unclaimed:
            worker.unclaimed.discard(edge.nonce)
            worker.arrivals.append(edge.nonce)

    def _set_up(self, worker: Worker, node: str) -> None:
        member, process = worker.machine.members[node], worker.processes[node]
        process.attach(
            [self.edges[edge.nonce] for edge in member.inputs], [self.edges[edge.nonce] for edge in member.outputs]
        )
        if not process.alive:
            process.end(process.status)
        process.inbox.append(worker.machine.set_up_message(node))

    def _watch(self, members: Iterable[Any]) -> None:
        """States change by the table only."""
        for member in members:
            before = self._states.setdefault(member, NodeState.STARTING)
            if member.state is not before:
                assert member.state in NODE[before].values(), f"{before} became {member.state}"
                self._states[member] = member.state
