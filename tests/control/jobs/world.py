"""A Manager, workers and clients on a virtual clock, joined by a network that loses, repeats, delays and is cut.

The Machines are the real ones. Processes of tasks are simulated: they run `programs`. After each event the invariants that
hold at all times are checked.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count

from flowmesh.control.jobs.hub import JobsHub
from flowmesh.control.jobs.session import Session
from flowmesh.control.jobs.slots import ForkSlot, SendToJobs, SendToSlot, SignalSlot, SlotEffect, SlotsMachine
from flowmesh.control.manager.effects import SendToPeer
from flowmesh.wire.capacity import Capacity
from flowmesh.wire.job_messages import (
    AttemptBegan,
    AttemptOutcome,
    CancelTask,
    FromTask,
    JobMessage,
    OpenExecutor,
    RunTask,
    SubmitTask,
    TaskEnded,
    TaskFailure,
    TaskOptions,
    TaskStarted,
    ToTask,
)
from flowmesh.wire.messages import TaskPacket

from . import programs
from .programs import Program


class Broken(AssertionError):
    """An invariant does not hold."""


class World:
    """All parts, one heap of events."""

    def __init__(self, seed: int, *, faults: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.faults = faults
        self.now = 100.0
        self.hub = JobsHub()
        self.workers: dict[str, SimulatedWorker] = {}
        self.clients: dict[str, SimulatedClient] = {}
        self.starts: Counter[int] = Counter()
        self.started_attempts: set[tuple[int, int]] = set()
        self.allowed: dict[int, int] = {}
        self.cut: set[str] = set()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._ticking = False

    # --- time -----------------------------------------------------------------------------------------------------------

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), what))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass; an event a time."""
        end = self.now + seconds
        while not until():
            at = min(self._events[0][0] if self._events else end, self._due())
            if at >= end:
                self.now = end
                return
            self.now = max(self.now, at)
            if self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            else:
                self._tick()
                if self._due() <= at <= self.now and not self._changed(at):
                    raise Broken(f"a Machine is due at {at:.3f} and does nothing: it would spin")
            self.check()

    def _changed(self, at: float) -> bool:
        """Whether ticks have come to an end within a few rounds."""
        for _ in range(20):
            if self._due() > self.now:
                return True
            self._tick()
        return False

    def _due(self) -> float:
        parts = [self.hub.due, *(w.machine.due for w in self.workers.values() if not w.paused)]
        return min([*parts, *(client.session.due for client in self.clients.values())])

    def _tick(self) -> None:
        self.send(self.hub.tick(self.now))
        for worker in list(self.workers.values()):
            if not worker.paused and worker.machine.due <= self.now:
                worker.do(worker.machine.tick(self.now))
        for client in list(self.clients.values()):
            client.flush()

    # --- network --------------------------------------------------------------------------------------------------------

    def carry(self, key: str, deliver: Callable[[], None]) -> None:
        """Bring a packet from or to the peer with this key, or not, or twice, or late."""
        if key in self.cut or self.rng.random() < self.faults:
            return
        for _ in range(2 if self.rng.random() < self.faults else 1):
            late = self.rng.random() < self.faults
            self.after(self.rng.uniform(0.5, 3.0) if late else 0.001, deliver)

    def send(self, packets: list[SendToPeer]) -> None:
        for each in packets:
            self.carry(each.key, lambda each=each: self._arrive(each))  # type: ignore[misc]

    def _arrive(self, each: SendToPeer) -> None:
        if (worker := self.workers.get(each.key)) is not None:
            worker.arrived(each.message)
        elif (client := self.clients.get(each.key)) is not None:
            client.arrived(each.message)

    def to_manager(self, key: str, packet: TaskPacket) -> None:
        def arrive() -> None:
            if key in self.hub.machine.workers or key in self.clients:  # else: a key that was struck off
                self.hub.received(key, packet, self.now)

        self.carry(key, arrive)

    # --- peers ----------------------------------------------------------------------------------------------------------

    def add_worker(self, name: str, slots: int = 1, **capacity: object) -> SimulatedWorker:
        key = f"{name}#{next(self._order)}"
        worker = self.workers[key] = SimulatedWorker(self, name, key, Capacity(slots=slots, **capacity))  # type: ignore[arg-type]
        self.hub.worker_joined(name, key, worker.capacity, self.now)
        return worker

    def add_client(self, **executor: object) -> SimulatedClient:
        key = f"client#{next(self._order)}"
        client = self.clients[key] = SimulatedClient(self, key)
        client.say(OpenExecutor(1, **executor))  # type: ignore[arg-type]
        return client

    def silence(self, key: str) -> None:
        """The Manager has not heard this worker for too long; it may still run, and register again."""
        self.hub.worker_left(key, self.now)

    # --- invariants -----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What holds at all times."""
        queue = self.hub.machine.queue
        if sum(queue.counts.values()) != queue.accepted or min(queue.counts.values()) < 0:
            raise Broken(f"accepted {queue.accepted}, counted {queue.counts}")
        running: Counter[int] = Counter()
        for worker in self.hub.machine.workers.values():
            holding = [attempt for attempt in worker.attempts.values() if attempt.holds_slot]
            if worker.busy != len(holding):
                raise Broken(f"{worker.name} counts {worker.busy} busy slots, {len(holding)} attempts hold one")
            for attempt in holding:
                running[id(attempt.task.executor)] += 1
        for client in self.hub.machine.clients.values():
            for executor in client.executors.values():
                if executor.running != running[id(executor)]:
                    raise Broken(f"an executor counts {executor.running} running, {running[id(executor)]} are")
                if executor.budget is not None and executor.reserved + executor.spent > executor.budget + 1e-6:
                    raise Broken(f"reserved {executor.reserved} + spent {executor.spent} > budget {executor.budget}")

    def began(self, run: RunTask) -> None:
        """A process has begun an attempt."""
        self.starts[run.task] += 1
        if (run.task, run.attempt) in self.started_attempts:
            raise Broken(f"attempt {run.attempt} of task {run.task} was started twice")
        self.started_attempts.add((run.task, run.attempt))
        retries = programs.decode(run.call).retries
        if self.starts[run.task] > retries + 1:
            raise Broken(f"task {run.task} was started {self.starts[run.task]} times with retries={retries}")


class SimulatedWorker:
    """A daemon with the real Machine of slots, and simulated processes."""

    def __init__(self, world: World, name: str, key: str, capacity: Capacity) -> None:
        self.world = world
        self.name = name
        self.key = key
        self.capacity = capacity
        self.machine = SlotsMachine(name, capacity.slots)
        self.processes: dict[int, SimulatedProcess] = {}
        self.paused = False
        self._missed: list[TaskPacket] = []

    def arrived(self, packet: TaskPacket) -> None:
        if self.paused:
            self._missed.append(packet)
        else:
            self.do(self.machine.received(packet, self.world.now))

    def pause(self, seconds: float) -> None:
        """Hear and do nothing for a while; its processes go on."""
        self.paused = True

        def resume() -> None:
            self.paused = False
            missed, self._missed = self._missed, []
            for packet in missed:
                self.arrived(packet)

        self.world.after(seconds, resume)

    def kill(self) -> None:
        """The daemon and its processes die; the Manager notices 1.5 s later."""
        del self.world.workers[self.key]
        self.processes.clear()
        self.world.after(1.5, lambda: self.world.silence(self.key))

    def register_again(self) -> None:
        """It hears that it was given up, kills what it runs, and registers."""
        if self.key not in self.world.workers:
            return
        self.do(self.machine.disowned(self.world.now))
        self.world.hub.worker_joined(self.name, self.key, self.capacity, self.world.now)

    def do(self, effects: list[SlotEffect]) -> None:
        for effect in effects:
            match effect:
                case SendToJobs(packet=packet):
                    self.world.to_manager(self.key, packet)
                case ForkSlot(slot=slot):
                    self.processes[slot] = SimulatedProcess(self, slot)
                case SendToSlot(slot=slot, message=message):
                    if slot in self.processes:
                        self.processes[slot].heard(message)
                case SignalSlot(slot=slot, kill=kill):
                    if slot in self.processes:
                        self.processes[slot].signalled(kill)

    def said(self, slot: int, message: JobMessage) -> None:
        if self.key in self.world.workers and slot in self.processes:
            self.do(self.machine.slot_said(slot, message, self.world.now))  # type: ignore[arg-type]

    def exited(self, slot: int, status: int) -> None:
        if self.key in self.world.workers and self.processes.pop(slot, None) is not None:
            self.do(self.machine.exited(slot, status, "", self.world.now))


class SimulatedProcess:
    """A slot's process: it runs the program of its task."""

    def __init__(self, worker: SimulatedWorker, slot: int) -> None:
        self.worker = worker
        self.slot = slot
        self.run: RunTask | None = None
        self.program = Program()
        self.open: set[int] = set()
        self.ended: dict[int, TaskEnded] = {}

    def heard(self, message: JobMessage) -> None:
        if isinstance(message, RunTask):
            if self.run is not None:
                raise Broken("a process was given a second task while it runs one")
            self.run, self.program = message, programs.decode(message.call)
            self.open, self.ended = set(), {}
            self.worker.world.began(message)
            self.worker.said(self.slot, AttemptBegan(message.task, message.attempt))
            self._at(self.program.seconds, self._computed)
        elif isinstance(message, ToTask) and isinstance(message.message, TaskEnded) and self.run is not None:
            self.open.discard(message.message.task)
            self.ended[message.message.task] = message.message
            if not self.open and self.program.joins == "wait":
                self._finish()

    def _at(self, seconds: float, what: Callable[[], None]) -> None:
        run = self.run

        def happens() -> None:
            if self.run is run and self.worker.processes.get(self.slot) is self:
                what()

        self.worker.world.after(seconds, happens)

    def _computed(self) -> None:
        assert self.run is not None
        end = self.program.end_of(self.run.attempt)
        if end == "die":
            self.worker.exited(self.slot, -11)
        elif end == "raise":
            failure = TaskFailure("raised", "ValueError", worker=self.worker.name, attempt=self.run.attempt)
            self._outcome(AttemptOutcome(self.run.task, self.run.attempt, "raised", 0.01, failure=failure))
        elif end == "done":
            for number, child in enumerate(self.program.children, 1):
                self.open.add(number)
                self._submit(number, child)
            if not self.open or self.program.joins != "wait":
                self._finish()

    def _submit(self, number: int, child: Program) -> None:
        assert self.run is not None
        options = TaskOptions(
            retries=child.retries, timeout=child.timeout, detached=self.program.joins == "leave", backoff=0.1
        )
        submitted = SubmitTask(
            self.run.executor, number, programs.encode(child), 0, f"{self.run.name}.{number}", options
        )
        self.worker.said(self.slot, FromTask(self.run.task, self.run.attempt, submitted))

    def _finish(self) -> None:
        assert self.run is not None
        run = self.run
        failed = [ended for ended in self.ended.values() if ended.value is None]
        if failed:  # as a call that takes results: the first failure raises
            failure = failed[0].failure or TaskFailure("raised", "CancelledError")
            self._outcome(AttemptOutcome(run.task, run.attempt, "raised", 0.01, failure=failure))
            return
        refers = tuple(range(1, len(self.program.children) + 1)) if self.program.joins == "return" else ()
        data = f"{run.name}@{run.attempt}".encode()
        self._outcome(AttemptOutcome(run.task, run.attempt, "done", 0.01, data, refers))

    def _outcome(self, outcome: AttemptOutcome) -> None:
        self.run = None
        self.worker.said(self.slot, outcome)

    def signalled(self, kill: bool) -> None:
        stubborn = self.run is not None and self.program.end_of(self.run.attempt) == "stubborn"
        if kill or not stubborn:
            self.worker.world.after(0.001, lambda: self.worker.exited(self.slot, -9 if kill else -15))


class SimulatedClient:
    """A submitting program."""

    def __init__(self, world: World, key: str) -> None:
        self.world = world
        self.key = key
        self.session = Session()
        self.submitted: dict[int, Program] = {}
        self.ended: dict[int, TaskEnded] = {}
        self.last_attempt: dict[int, int] = {}
        self.cancelled: set[int] = set()
        self._numbers = count(1)

    def submit(self, program: Program, needs: tuple[int, ...] = (), **options: object) -> int:
        number = next(self._numbers)
        self.submitted[number] = program
        given = TaskOptions(retries=program.retries, timeout=program.timeout, backoff=0.1, **options)  # type: ignore[arg-type]
        self.say(SubmitTask(1, number, programs.encode(program), 0, f"t{number}", given, needs))
        return number

    def cancel(self, number: int) -> None:
        self.cancelled.add(number)
        self.say(CancelTask(number))

    def say(self, message: JobMessage) -> None:
        self.session.put(message)
        self.flush()

    def flush(self) -> None:
        for packet in self.session.packets(self.world.now):
            self.world.to_manager(self.key, packet)

    def arrived(self, packet: TaskPacket) -> None:
        for message in self.session.received(packet, self.world.now):
            if isinstance(message, TaskStarted):
                self.last_attempt[message.task] = message.attempt
            elif isinstance(message, TaskEnded):
                if message.task in self.ended:
                    raise Broken(f"the end of task {message.task} was reported twice")
                self.ended[message.task] = message
                self._check_value(message)
        self.flush()

    def _check_value(self, ended: TaskEnded) -> None:
        if ended.value is None:
            return
        told = ended.value.data.decode()
        if told != f"t{ended.task}@{self.last_attempt.get(ended.task)}":
            raise Broken(f"task {ended.task} ended with {told!r}: an outcome of another attempt")
        program = self.submitted[ended.task]
        expected = len(program.children) if program.joins == "return" else 0
        if len(ended.value.parts) != expected:
            raise Broken(f"task {ended.task} lacks the values of tasks that it returned")

    @property
    def is_served(self) -> bool:
        return len(self.ended) == len(self.submitted)

    def leave(self) -> None:
        """The program dies; the Manager notices 10 s later."""
        del self.world.clients[self.key]
        self.world.after(10.0, lambda: self.world.hub.client_left(self.key, self.world.now))
