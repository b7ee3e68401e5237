"""A small world to try the Machines in: a Manager, workers and their nodes' processes joined by lists, time a number.

Order is kept between two speakers, and only there: with a seed, any of them may be next. No thread, no socket, no clock.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

from msgspec.structs import replace

from flowmesh.control.effect import Log
from flowmesh.control.manager import effects as manager_effects
from flowmesh.control.manager.effects import AnswerCall, FailCall, ManagerEffect
from flowmesh.control.manager.machine import ManagerMachine
from flowmesh.control.worker import effects as worker_effects
from flowmesh.control.worker.effects import WorkerEffect
from flowmesh.control.worker.machine import WorkerMachine
from flowmesh.planning import placement
from flowmesh.wire.messages import (
    Departure,
    GatewayOpened,
    Heartbeat,
    LinkNews,
    Message,
    MetricsReport,
    PeerGateways,
    Registration,
    Reply,
)
from flowmesh.wire.plan_specs import Code, EdgePlan, EdgeSpec, Host, LinkAddress, NodeSpec, Plan, Transfer, Versions
from flowmesh.wire.states import NODE, GraphState, NodeState

from .fakes import STEPS_A_BEAT, Behaviour, Edge, Process

BEAT = 0.5  # seconds of the world's time from heartbeat to heartbeat; it is looked at twice as often
VERSIONS = Versions("1.0", "3.11")
Act = Callable[[], None]


def host(name: str, worker: str) -> Host:
    return Host(name, 1, 0, f"address of {worker}")


def plan(
    edges: Iterable[str], workers: Mapping[str, str], graph: str = "graph.1", hosts: Mapping[str, str] | None = None
) -> Plan:
    """A placed graph of edges like "film > show". `workers` are those of the nodes, in the graph's order; `hosts` says of
    some workers that they are on another host."""
    pairs = [tuple(edge.split(" > ")) for edge in edges]
    sources, targets = {source for source, _ in pairs}, {target for _, target in pairs}
    kinds = {name: "source" if name not in targets else "step" if name in sources else "sink" for name in workers}
    nodes = [NodeSpec(i, name, kinds[name], b"", worker) for i, (name, worker) in enumerate(workers.items())]
    where = {worker: host((hosts or {}).get(worker, "boot"), worker) for worker in workers.values()}
    numbers = count()
    specs = [EdgeSpec(i, source, target) for i, (source, target) in enumerate(pairs)]
    placed = placement.place_edges(specs, workers, where, lambda: "")
    placed = tuple(replace(edge, nonce=f"{graph}/{next(numbers)}") for edge in placed)
    crossing = placement.transfers(list(workers), placed, dict.fromkeys(workers, 4))
    run = int(graph.rpartition(".")[2])
    return Plan(graph, run, tuple(workers), tuple(nodes), placed, Code(b""), crossing)


class Link:
    """A worker's link's process: it comes up with every peer that it is told of and that is there, unless it is walled off."""

    def __init__(self, address: LinkAddress) -> None:
        self.address = address
        self.peers: dict[str, LinkAddress] = {}
        self.says: deque[Any] = deque()


def registration(name: str, boot: str = "boot", life: str = "") -> Registration:
    """What the daemon process of that life says of itself."""
    return Registration(name, 7, host(boot, name), VERSIONS, life=life)


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
        self.link: Link | None = None
        self.links = 0  # processes of it that there ever were
        self.walled = False  # no other link reaches this host's
        self.rewired: list[tuple[str, int, str]] = []
        self.unclaimed: set[str] = set()
        self.expected: dict[str, int] = {}


class World:
    """Everything. `answers` has what became of each verb, by its token; `notes` what the user was told."""

    def __init__(
        self, *workers: str, seed: int | None = None, hosts: Mapping[str, str] | None = None, **behaviours: Behaviour
    ) -> None:
        self.now = 1000.0
        self.hosts = hosts or {}
        self.manager = ManagerMachine(VERSIONS)
        self.workers: dict[str, Worker] = {}
        self.processes: list[Process] = []  # all that there ever were
        self.edges: dict[str, Edge] = {}  # by their nonce
        self.behaviours = dict(behaviours)
        self.answers: dict[int, list[AnswerCall | FailCall]] = defaultdict(list)
        self.due: dict[int, float] = {}
        self.notes: list[Log] = []
        self._random = None if seed is None else random.Random(seed)
        self._states: dict[object, NodeState] = {}
        self._wanted: dict[str, dict[str, LinkAddress]] = {}  # by a link's key, whom it was told of
        for name in workers:
            self.hire(name)
        self.settle()

    # --- what a test does --------------------------------------------------------------------------------------------

    def hire(self, name: str) -> Worker:
        """A new worker of that name wants to join."""
        worker = self.workers[name] = Worker(name)
        if name in self.manager.registry.workers:
            worker.key += "'s successor"
        self.register(worker)
        return worker

    def register(self, worker: Worker) -> None:
        worker.up.append(registration(worker.machine.name, self.hosts.get(worker.machine.name, "boot")))

    def manager_receives(self, worker: Worker, message: Message) -> None:
        """A message that this worker's process did not send, under its key."""
        self._manager_does(self.manager.received_from_peer(worker.key, message, self.now))

    def vanish(self, name: str) -> None:
        """The worker's host is switched off."""
        worker = self.workers[name]
        worker.alive = False
        worker.up.clear()
        worker.link = None
        self.reconnect()
        for process in worker.processes.values():
            process.end(-9)

    def kill_link(self, name: str) -> None:
        """The process of a worker's link dies."""
        worker = self.workers[name]
        worker.link = None
        self.reconnect()
        self.does(worker, worker.machine.gateway_exited(-9, self.now))

    def interrupt(self, name: str) -> None:
        """The worker is told to leave by its own host: Ctrl+C, SIGTERM, the end of its script."""
        worker = self.workers[name]
        self.does(worker, worker.machine.leave(self.now))

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
        if isinstance(answer, FailCall):
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
            self.does(worker, worker.machine.tick(self.now))
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
            if worker.link is not None and worker.link.says:
                yield partial(self._link_says, worker)
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
            self._manager_does(self.manager.received_from_peer(worker.key, worker.up.popleft(), self.now))

    def _down(self, worker: Worker) -> None:
        if worker.down and worker.alive:
            self.does(worker, worker.machine.received_from_manager(worker.down.popleft(), self.now))

    def _spawned(self, worker: Worker) -> None:
        if not worker.spawner or not worker.alive:
            return
        what, process = worker.spawner.popleft()
        if worker.processes.get(process.name) is not process:
            return  # of a graph that was released
        if what == "forked":
            self.does(worker, worker.machine.node_forked(process.name, 1 + self.processes.index(process)))
            return
        while process.outbox:
            self._node_says(worker, process)
        self.does(worker, worker.machine.node_exited(process.name, process.status, "", self.now))

    def _arrived(self, worker: Worker) -> None:
        if worker.arrivals and worker.alive:
            nonce = worker.arrivals.popleft()
            if nonce in worker.expected:
                self.does(worker, worker.machine.channel_end_arrived(worker.expected.pop(nonce), "in"))
            else:
                worker.unclaimed.add(nonce)

    def _link_says(self, worker: Worker) -> None:
        if worker.link is not None and worker.link.says:
            self.does(worker, worker.machine.received_from_gateway(worker.link.says.popleft()))

    def _node_says(self, worker: Worker, process: Process) -> None:
        if process.outbox and worker.alive:
            self.does(worker, worker.machine.received_from_node(process.name, process.outbox.popleft()))

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
                case manager_effects.SendToPeer(key=key, message=message):
                    for worker in self._alive():
                        if worker.key == key:
                            worker.down.append(message)
                case manager_effects.SendClock(key=key, sent=sent):
                    for worker in self._alive():
                        if worker.key == key:
                            worker.down.append(Heartbeat(sent, round(self.now * 1e9)))
                case AnswerCall(call_id=token) | FailCall(call_id=token):
                    self.answers[token].append(effect)
                case Log():
                    self.notes.append(effect)
        self._watch(self.manager.members.values())

    def does(self, worker: Worker, effects: list[WorkerEffect]) -> None:
        machine = worker.machine
        for effect in effects:
            match effect:
                case worker_effects.SendToManager(message=message):
                    worker.up.append(message)
                case worker_effects.SendToNode(node=node, message=message):
                    worker.processes[node].inbox.append(message)
                case worker_effects.ForkNode(node=node):
                    process = worker.processes[node] = Process(node, self.behaviours.get(node, Behaviour()))
                    self.processes.append(process)
                    worker.spawner.append(("forked", process))
                case worker_effects.SetUpNode(node=node):
                    self._set_up(worker, node)
                case worker_effects.OpenChannel(edge=index):
                    self._open(worker, self._edge(worker, index))
                case worker_effects.ExpectChannel(edge=index):
                    self._claim(worker, self._edge(worker, index))
                case worker_effects.KillNode(node=node):
                    if worker.processes[node].alive and not worker.processes[node].behaviour.immortal:
                        self._exit(worker.processes[node], -9)
                case worker_effects.ReportMetrics(call_id=token):
                    worker.up.append(MetricsReport(token, machine.plan.graph if machine.plan else ""))
                case worker_effects.AnswerBusy(call_id=token, node=node):
                    worker.up.append(Reply(token, error=f"node {node!r} is busy in step"))
                case worker_effects.ReleaseGraph():
                    worker.processes = {}
                    worker.expected = {}
                case worker_effects.StartGateway():
                    worker.links += 1
                    address = LinkAddress(f"{worker.key} {worker.links}", machine.name, worker.links)
                    worker.link = Link(address)
                    worker.link.says.append(GatewayOpened(machine.name, address))
                case worker_effects.ConnectProducer(transfer=index):
                    self._wire(worker, self._transfer(worker, index), "out")
                case worker_effects.ConnectConsumers(transfer=index):
                    self._wire(worker, self._transfer(worker, index), "in")
                case worker_effects.SendToGateway(message=PeerGateways(links=links)):
                    assert worker.link is not None
                    self._told_peers(worker.link, links)
                case worker_effects.RewireNode(node=node, edge=edge, side=side):
                    worker.rewired.append((node, edge, side))
                case worker_effects.EndGateway():
                    worker.link = None
                    self.reconnect()
                case worker_effects.RegisterAgain():
                    self.register(worker)
                case worker_effects.Leave():
                    worker.up.append(Departure(machine.name))
                    worker.alive = False
        self._watch(machine.nodes.values())

    def _edge(self, worker: Worker, index: int) -> EdgePlan:
        assert worker.machine.plan is not None
        return next(edge for edge in worker.machine.plan.edges if edge.spec.index == index)

    def _open(self, worker: Worker, edge: EdgePlan) -> None:
        index = edge.spec.index
        self.edges[edge.nonce] = Edge()
        if edge.target_worker == edge.source_worker:
            self.does(worker, worker.machine.channel_end_arrived(index, "in"))
        elif self.workers[edge.target_worker].alive:
            self.workers[edge.target_worker].arrivals.append(edge.nonce)
        self.does(worker, worker.machine.channel_end_arrived(index, "out"))

    def _transfer(self, worker: Worker, index: int) -> Transfer:
        assert worker.machine.plan is not None
        return next(part for part in worker.machine.plan.transfers if part.index == index)

    def _wire(self, worker: Worker, transfer: Transfer, side: str) -> None:
        """The links between are left out: what one end sends is at the other's at once."""
        (spec,) = transfer.edges
        self.edges.setdefault(self._edge(worker, spec.index).nonce, Edge())
        self.does(worker, worker.machine.channel_end_arrived(spec.index, side))

    def _told_peers(self, link: Link, peers: dict[str, LinkAddress]) -> None:
        for name, before in list(link.peers.items()):
            if name not in peers or peers[name] != before:
                self._lose(link, name)
        self._wanted[link.address.key] = peers
        self.reconnect()

    def reconnect(self) -> None:
        """Links that know of each other come up; those whose peer has gone are lost."""
        there = {name: worker for name, worker in self.workers.items() if worker.link is not None}
        for name, worker in there.items():
            assert worker.link is not None
            for peer, address in self._wanted.get(worker.link.address.key, {}).items():
                other = there[peer].link if peer in there else None
                knows = other is not None and name in self._wanted.get(other.address.key, {})
                reached = knows and other is not None and other.address == address
                if reached and not worker.walled and not there[peer].walled:
                    self._come_up(worker.link, peer, address)
                elif other is None:
                    self._lose(worker.link, peer)

    @property
    def links_are_up(self) -> bool:
        """Whether each of two links that are told of each other is at the other's present address."""
        there = {name: worker.link for name, worker in self.workers.items() if worker.link is not None}
        return len(there) > 1 and all(
            link.peers == {name: other.address for name, other in there.items() if other is not link}
            for link in there.values()
        )

    def _come_up(self, link: Link, peer: str, address: LinkAddress) -> None:
        if link.peers.get(peer) != address:
            link.peers[peer] = address
            link.says.append(LinkNews("", peer, True))

    def _lose(self, link: Link, peer: str) -> None:
        if link.peers.pop(peer, None) is not None:
            link.says.append(LinkNews("", peer, False))

    def _claim(self, worker: Worker, edge: EdgePlan) -> None:
        worker.expected[edge.nonce] = edge.spec.index
        if edge.nonce in worker.unclaimed:
            worker.unclaimed.discard(edge.nonce)
            worker.arrivals.append(edge.nonce)

    def _set_up(self, worker: Worker, node: str) -> None:
        member, process = worker.machine.nodes[node], worker.processes[node]
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
