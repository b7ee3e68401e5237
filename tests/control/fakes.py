"""Simulated processes of nodes, and the edges between them: the real NodeMachine, join, window and intake on plain lists.

A process acts as `runtime/stepper.py` does, one small thing at a time, so that a schedule can put anything in between.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from flowmesh.control.node.effects import CloseInputs, ExitProcess, NodeEffect, RunTearDown, SendMarker, SendToWorker
from flowmesh.control.node.flow_control import ReceiveWindow, SendWindow
from flowmesh.control.node.joins import AnyJoin
from flowmesh.control.node.machine import NodeMachine
from flowmesh.control.node.pairing import ZipJoin
from flowmesh.wire.messages import Call, Gather, Message, NodeFailure, PauseBlocked, Reply, SetUp, Start, Stop, TearDown
from flowmesh.wire.packets import END
from flowmesh.wire.states import NodeState

DEPTH = 4
STEPS_A_BEAT = 3  # of a source: what is endless goes on from beat to beat


@dataclass
class Behaviour:
    """What a node's code does: "returns", "raises" or "hangs". Steps are counted from 1, and 0 is never."""

    setup: str = "returns"
    teardown: str = "returns"
    chunks: int | None = None  # of a source: None has no end
    raises_at: int = 0
    hangs_at: int = 0
    zips: bool = False  # it steps with the same number of each input
    immortal: bool = False  # it hangs in the kernel, where no signal reaches it


class Edge:
    """The channel between two nodes, and both ends' accounts of it."""

    def __init__(self) -> None:
        self.packets: deque[int | SendMarker] = deque()
        self.window = SendWindow(DEPTH, DEPTH)
        self.intake = ReceiveWindow(DEPTH, lossless=True)
        self.closed = False  # nobody takes anything any more
        self.gone = False  # nobody sends anything any more
        self.dropped = 0

    @property
    def has_room(self) -> bool:
        return self.closed or self.window.has_room(shared=False)

    @property
    def unread(self) -> int:
        return sum(isinstance(packet, int) for packet in self.packets)

    def send(self, number: int) -> None:
        if not self.closed:
            self.window.record_sent(number, shared=False)
            self.packets.append(number)

    def taken(self, number: int) -> None:
        credit = self.intake.record_taken(number, shared=False)
        self.window.receive_credit(credit)


class Process:
    """The process of a node. `inbox` and `outbox` are the two ways of its worker's pipe."""

    def __init__(self, name: str, behaviour: Behaviour) -> None:
        self.name = name
        self.alive = True
        self.stuck = False
        self.status = 0
        self.inbox: deque[Message] = deque()
        self.outbox: deque[Any] = deque()
        self.calls: list[str] = []  # of the user's methods, steps left out
        self.took: list[tuple[int, int]] = []  # (input, number) of all chunks that were stepped
        self.steps = 0
        self.allowance = 0
        self.inputs: list[Edge] = []
        self.outputs: list[Edge] = []
        self.machine: NodeMachine
        self.behaviour = behaviour
        self._setup: SetUp | None = None
        self._join: AnyJoin[int] | ZipJoin[int] = AnyJoin(0)
        self._starves = False  # nothing came since the join had nothing
        self._yields = False
        self.waiting = 0  # items in the join
        self._noticed: set[int] = set()  # inputs whose end of file was read

    # --- what is done to it ------------------------------------------------------------------------------------------

    def attach(self, inputs: list[Edge], outputs: list[Edge]) -> None:
        self.inputs, self.outputs = inputs, outputs
        zips = self.behaviour.zips
        self._join = ZipJoin(len(inputs), lambda index, number: number) if zips else AnyJoin(len(inputs))

    def end(self, status: int) -> None:
        """It exits, or is killed: the kernel closes its ends."""
        self.alive = False
        self.status = status
        for edge in self.inputs:
            edge.closed = True
        for edge in self.outputs:
            edge.gone = True

    # --- what it does ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> NodeState:
        return self.machine.state if self._setup else NodeState.STARTING

    @property
    def is_ready(self) -> bool:
        """Whether `act` has anything to do."""
        if not self.alive or self.stuck or self._setup is None:
            return self.alive and not self.stuck and bool(self.inbox)
        if self.inbox:
            return True
        unread = any(
            edge.packets or (edge.gone and index not in self._noticed) for index, edge in enumerate(self.inputs)
        )
        if not self.machine.may_step:
            return unread and self.machine.state in (NodeState.ENDED, NodeState.FAILED)
        if self._nobody_listens or self._held_up:
            return True
        if not self.inputs:
            return self.allowance > 0 and self._has_room
        return unread or (self.waiting > 0 and self._has_room and not self._starves)

    def act(self) -> None:
        if not self.is_ready:
            return
        if self.inbox:
            self._hear(self.inbox.popleft())
        elif not self.machine.may_step:
            self._read()
        elif self._nobody_listens:
            self._do(self.machine.node_ended())
        elif self._held_up:
            self._do(self.machine.on_blocked_by_paused())
        elif self.inputs:
            self._step_inputs()
        else:
            self._step_source()

    @property
    def _nobody_listens(self) -> bool:
        return bool(self.outputs) and all(edge.closed for edge in self.outputs)

    @property
    def _has_room(self) -> bool:
        return all(edge.has_room for edge in self.outputs)

    @property
    def _held_up(self) -> bool:
        return self._yields and not self._has_room

    def _hear(self, message: Message) -> None:
        match message:
            case SetUp():
                self._set_up(message)
            case Start(start_id=turn, steps=steps):
                self._yields = False
                self._do(self.machine.start(turn, steps))
            case Stop(start_id=turn, now=now):
                self._do(self.machine.stop(turn, now))
            case PauseBlocked():
                self._yields = True
            case TearDown():
                self._do(self.machine.tear_down())
            case Call(call_id=token, method=method):
                self._do([SendToWorker(Reply(token, value=f"{self.name}.{method}".encode()))])
            case Gather(call_id=token):
                self._do([SendToWorker(Reply(token, value=self.name.encode()))])
            case _:
                raise AssertionError(f"{self.name} was told {message}")

    def _set_up(self, message: SetUp) -> None:
        assert self._setup is None, "set up twice"
        self._setup = message
        self.machine = NodeMachine(message.graph, self.name, len(message.inputs))
        if self._run("setup", self.behaviour.setup):
            self._do(self.machine.set_up())

    def _run(self, phase: str, how: str) -> bool:
        """The user's method; whether it returned."""
        self.calls.append(phase)
        if how == "hangs":
            self.stuck = True
        elif how == "raises":
            self._raised(phase, 0)
        return how == "returns"

    def _raised(self, phase: str, number: int) -> None:
        assert self._setup is not None
        failure = NodeFailure(self._setup.graph, self.name, self._setup.worker, phase, number, "ValueError: no")
        self._do([SendToWorker(failure), *self.machine.step_failed()])

    def _step_source(self) -> None:
        self.allowance -= 1
        if self.steps == self.behaviour.chunks:
            self._do(self.machine.node_ended())
        else:
            self._step()
            if not self.stuck:
                self._do(self.machine.step_done())

    def _step_inputs(self) -> None:
        if self._has_room and (taken := self._join.next_step()) is not None:
            for index, number in taken[1].items():
                self.waiting -= 1
                self.took.append((index, number))
                self.inputs[index].taken(number)
            self._step()
            return
        self._read()
        missing = self._join.missing if isinstance(self._join, ZipJoin) else ()
        self._starves = bool(missing) or not self.waiting
        if self._starves and not any(edge.packets for edge in self.inputs):
            self._do(self.machine.node_ended() if self._join.finished else self.machine.on_inputs_idle(missing))

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.behaviour.hangs_at:
            self.stuck = True
        elif self.steps == self.behaviour.raises_at:
            self._raised("step", self.steps)
        else:
            for edge in self.outputs:
                edge.send(edge.window.sent + 1)

    def _read(self) -> None:
        """A packet of each input, or its end of file."""
        for index, edge in enumerate(self.inputs):
            if edge.packets:
                self._arrived(index, edge, edge.packets.popleft())
            elif edge.gone and index not in self._noticed:
                self._noticed.add(index)
                self._end(index)

    def _arrived(self, index: int, edge: Edge, packet: int | SendMarker) -> None:
        if isinstance(packet, int):
            edge.intake.record_arrival(packet)
            if edge.closed:
                edge.dropped += 1
            else:
                self._join.add_chunk(index, packet)
                self.waiting += 1
        elif packet.kind == END:
            self._end(index)
        else:
            self.machine.input_paused(index, packet.number)

    def _end(self, index: int) -> None:
        self._join.end_input(index)
        self.machine.input_ended(index)

    def _do(self, effects: list[NodeEffect]) -> None:
        for effect in effects:
            match effect:
                case SendToWorker(message=message):
                    self.outbox.append(message)
                case SendMarker():
                    for edge in self.outputs:
                        if not edge.closed:
                            edge.packets.append(effect)
                case CloseInputs():
                    self._close_inputs()
                case RunTearDown():
                    self._run("teardown", self.behaviour.teardown)
                    if self.stuck:
                        return
                case ExitProcess():
                    self.end(0)

    def _close_inputs(self) -> None:
        for edge in self.inputs:
            edge.closed = True
        for index, _ in self._join.drain_rest():
            self.inputs[index].dropped += 1
        self.waiting = 0
