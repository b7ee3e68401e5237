"""The loop of a node's process: the user's code on the main thread, one step after the other. One wait serves all.

Between two steps it reads one cell of the counter page; the message socket to the worker is read only when that cell
says that something was sent, or when there is nothing else to do.
"""

from __future__ import annotations

import inspect
import logging
import pickle
import select
import threading
import time
from collections.abc import Callable, Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel.counters import BUSY, CONTROL, ERRORS, FIRST, HELD, HISTOGRAM, LAST, PACED, STEPS, CounterPage, bucket
from ..channel.message_socket import MessageSocket
from ..channel.packet_socket import PacketSocket, PeerGone
from ..channel.wallclock import wall_offset
from ..chunk import DataChunk
from ..control.node.effects import CloseInputs, ExitProcess, NodeEffect, RunTearDown, SendMarker, SendToWorker
from ..control.node.machine import NodeMachine
from ..edges.input_edge import InputEdge
from ..edges.output_edge import OutputEdge
from ..edges.remote_input import RemoteInputEdge
from ..edges.remote_output import LossyRemoteOutputEdge, RemoteOutputEdge
from ..errors import ChunkError, EndOfStream, StateError
from ..failures import chunks
from ..node import Node
from ..wire import code_objects
from ..wire.messages import (
    AnyMessage,
    Call,
    Gather,
    LogLine,
    NodeFailure,
    NodeNews,
    PauseBlocked,
    Reply,
    Rewire,
    Start,
    Stop,
    TearDown,
    decode,
    encode,
)
from ..wire.packets import DONE, Origins
from .inputs import Inputs
from .outputs import Outputs
from .polling import poller, wait
from .tracebacks import describe

if TYPE_CHECKING:
    import asyncio

_now = time.monotonic_ns
_wall = wall_offset()  # taken once, in the fork server: all nodes of a worker have the same
_NO_ORIGIN: Origins = {}  # a source's chunk is one
_CLOCK_EVERY = 500_000_000  # ns: as often as the worker writes the offset of the Manager's clock
_NOT_STEPPING = -1
_QUICK = 20_000  # ns: a step that takes less is quick
_UNTIMED = 7  # quick steps that follow a timed one at once, and are not
_LONGEST_WAIT = 3600.0  # seconds: poll takes no more than some weeks, and a rate may ask for years
_CATCH_UP = 1.0  # seconds by which a paced source may be late and still make up for it

_TO_TELL = 0.5  # seconds before a late process is killed in which it tells what it waits for


class Stepper:
    """The loop of one node, until its Machine ends the process."""

    def __init__(
        self, node: Node, graph: str, worker: str, machine: NodeMachine, pipe: MessageSocket, page: CounterPage
    ) -> None:
        self._node = node
        self._step_method = node.step
        self._graph = graph
        self._worker = worker
        self._machine = machine
        self._pipe = pipe
        self._page = page
        self._cells = page.cells
        self._inputs: Inputs | None = None
        self._marking: Inputs | None = None  # the same, if a join downstream needs this node's watermarks
        self._outputs: Outputs
        self._heard = 0
        self._unhandled: list[AnyMessage] = []
        self._interrupted = False
        self._yield: PauseBlocked | None = None  # whether a consumer has paused already
        self._torn_down_at = time.monotonic()
        self._leaving = False
        self._setup_begun = False
        self._thread = 0
        self._newest: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0  # of a source's step
        self._steps = 0
        self._ended = 0  # when the last step did, if nothing has come between
        self._untimed = 0  # how many steps are still not timed
        self._waited = False  # whether an emission of the step had to: that is no part of the next
        self._emissions = _NOT_STEPPING  # of the present step
        self._said_last = False  # whether the step's last emission carried that all of its origin is complete
        self._offset, self._bound = 0, 0  # from our clock to the Manager's, and the bound of that
        self._newest_preset = 0  # the newest time sent, in ns, once the node has set one itself
        self._clock_due = 0  # when that is read again
        self._tick = 0.0  # when a paced source's next step is due
        self._worker_gone = False
        self._pollers: dict[int, select.poll] = {}  # by how many edges they wait for: with the inputs, or without

    def attach(self, inputs: Inputs | None, outputs: Outputs) -> None:
        """Attach the channels; None as inputs makes the node a source."""
        self._inputs = inputs
        self._marking = inputs if inputs is not None and inputs.says else None
        self._outputs = outputs

    def run(self) -> None:
        """Set up, step, tear down; returns when the process is to end."""
        self._setup_begun = True
        self._thread = threading.get_ident()
        if self._guard("setup", self._node.setup):
            self._do(self._machine.set_up())
        while not self._leaving:
            if self._cells[CONTROL] != self._heard or self._unhandled:
                self._listen()
            elif not self._machine.may_step:
                self._idle()
            elif self._outputs.all_closed:
                self._do(self._machine.node_ended())
            elif self._inputs is None:
                self._step_source()
            else:
                self._step_inputs(self._inputs)
        self._pipe.flush(within=2.0)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _step_source(self) -> None:
        """Step, and go on while nothing else is due."""
        rate, machine, outputs = self._node.rate, self._machine, self._outputs
        if rate and not self._is_due(rate):
            return
        goes_on = True
        while goes_on:
            self._number += 1
            goes_on = self._step() and self._cells[CONTROL] == self._heard
            goes_on = goes_on and not (rate or machine.counts_steps or outputs.all_closed)
        self._do(machine.step_done())
        self._rest()

    def _step_inputs(self, inputs: Inputs) -> None:
        """Step for all that has come, while nothing else is due; then receive."""
        while (data := inputs.next_step()) is not None:
            goes_on = self._step(data)
            del data  # a lease must not last until the next step
            if inputs.says and (news := inputs.step_completed(self._said_last)):
                self._outputs.send_marker(DONE, 0, news)
            if not goes_on or self._cells[CONTROL] != self._heard or self._outputs.all_closed:
                self._rest()
                return
        self._rest()
        arrived = inputs.receive()
        if inputs.says and (news := inputs.new_watermark()):
            self._outputs.send_marker(DONE, 0, news)
        if arrived:
            return
        if inputs.finished:
            if inputs.never_fires is not None:
                self.warn(
                    f"ends without a step: {inputs.never_fires!r}, whose newest chunk each step sees, ended without one"
                )
            self._do(self._machine.node_ended())
            return
        self._do(self._machine.on_inputs_idle(inputs.missing))
        if self._machine.may_step:
            self._wait(None)

    def _step(self, *data: dict[str, DataChunk]) -> bool:
        """Do one step; returns whether the next may follow at once. Where it does, the end of one step is the beginning
        of the next, and only one of several quick steps is timed: reading the clock is expensive."""
        cells = self._cells
        timed = not self._untimed
        if timed:
            begun = cells[BUSY] = self._ended or _now()
        self._emissions = ended = 0
        self._said_last = False
        goes_on = True
        try:
            value = self._step_method(*data)
            if value is not None:
                if type(value) is CoroutineType:
                    value = self._await(value)
                ended = _now()
                if value is not None:
                    self._said_last = last = self._marking is None or self._marking.completes()
                    self._send(value, last, ended)
        except EndOfStream:
            if data:
                self.warn("has ended its stream: what still comes to it is dropped, counted as after_end")
            self._do(self._machine.node_ended())
            return False
        except BaseException as error:
            self._raised(error, *data)
            goes_on = False
        finally:
            self._emissions = _NOT_STEPPING
        self._steps = cells[STEPS] = self._steps + 1
        if timed:
            ended = ended or _now()
            took = ended - begun
            cells[HISTOGRAM + bucket(took)] += 1
            if took < _QUICK:
                self._untimed = _UNTIMED
        else:
            self._untimed -= 1
        self._ended = 0 if self._waited else ended
        self._waited = False
        return goes_on

    def _rest(self) -> None:
        """Note that no step follows at once."""
        cells = self._cells
        if cells[BUSY]:
            cells[BUSY] = self._ended = self._untimed = 0
            cells[LAST] = _now()

    def _raised(self, error: BaseException, data: Mapping[str, DataChunk] | None = None) -> None:
        self._cells[ERRORS] += 1
        text = describe(error)
        number, inputs = self._number, self._inputs
        numbers: dict[str, int] = {}
        if inputs is not None and data is not None:
            number = inputs.trigger.number
            numbers = {inputs.edges[inputs.triggering].peer: number}
            numbers |= {name: chunk.number for name, chunk in data.items() if name not in numbers}
        if self._node.on_error == "skip" and isinstance(error, Exception):
            skipped = f"node {self._node.name!r}: step raised at {chunks(number, numbers)}, which is skipped:\n{text}"
            self._do([SendToWorker(LogLine(node=self._node.name, worker=self._worker, level=40, text=skipped))])
            return
        self._fail("step", number, text, numbers)

    def _is_due(self, rate: float) -> bool:
        """Whether a paced source may step; waits for the remaining time, while nothing else is due."""
        now = time.monotonic()
        late = now - self._tick
        if late < 0:
            self._wait(min(-late, _LONGEST_WAIT))
            if time.monotonic() < self._tick:
                return False
        elif late > _CATCH_UP:
            self._tick = now
        self._tick += 1.0 / rate
        return True

    # --- the interface to the node (NodeHost) ------------------------------------------------------------------------

    def emit(self, value: Any) -> None:
        self._check_stepping("emit")
        self._send(value, False, _now())

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self._check_stepping("allocate")
        return self._outputs.allocate(shape, dtype)

    def _check_stepping(self, verb: str) -> None:
        if self._emissions == _NOT_STEPPING:
            raise StateError(f"{self._node.name}: {verb}() works only inside step()")
        if threading.get_ident() != self._thread:
            raise StateError(
                f"{self._node.name}: {verb}() works only in step's own thread: put what other threads bring into a queue, "
                "and let step take it from there"
            )

    def _send(self, value: Any, last: bool, now: int) -> None:
        inputs, emission = self._inputs, self._emissions
        self._emissions = emission + 1
        self._newest = value
        if now >= self._clock_due:
            self._read_clock(now)
        if inputs is None:
            index, number, origin = -1, self._number, _NO_ORIGIN
        else:
            index, number, origin = inputs.triggering, inputs.trigger.number, inputs.origin
        created = now + _wall
        if self._newest_preset or (isinstance(value, DataChunk) and value.preset_created):
            created = self._checked_created(value, created)
        self._outputs.emit(value, (index, number, emission, last, created, self._offset, self._bound, origin))
        if self._waited:
            self._cells[HELD] = 0

    def _checked_created(self, value: Any, now: int) -> int:
        """Check the time of a chunk on an output whose times the node sets: they must not go back."""
        created = (value.preset_created if isinstance(value, DataChunk) else 0) or now
        if created < self._newest_preset:
            raise ChunkError(
                f"{self._node.name}: a chunk's time must not be earlier than that of the last one, "
                f"got {created} after {self._newest_preset}"
            )
        self._newest_preset = created
        return created

    def _read_clock(self, now: int) -> None:
        """Read the offset of the Manager's clock that the worker has written."""
        offset, bound = self._page.clock()
        self._offset, self._bound = (offset - _wall, bound) if bound else (0, 0)
        self._clock_due = now + _CLOCK_EVERY

    # --- waiting -----------------------------------------------------------------------------------------------------

    def wait_for_room(self, edges: list[OutputEdge], bell: int) -> bool:
        """Wait while an emission can't go on; False when it must not wait any longer. The outputs call it. `bell` is a
        doorbell, an eventfd that rings when a slot may be free; -1 when none is waited for."""
        if self._yield is not None and not self._interrupted:
            self._interrupted = True
            self._unhandled.append(self._yield)
            self._heard -= 1  # it was counted when it came
        if not self._interrupted:
            self._waited = True
            slowest = max(edges, key=lambda edge: edge.window.sent - edge.window.taken, default=None)
            self._cells[HELD] = 1 + self._outputs.edges.index(slowest) if slowest else 0
            bells = (self._pipe.fileno(), bell) if bell >= 0 else (self._pipe.fileno(),)
            wait(poller(edges, *bells), None, edges)
            self._hear()
        return not self._interrupted

    def left_to_end(self, stop_timeout: float) -> float:
        """Seconds until the worker kills this process, less what it takes to name the reason; at least half a second."""
        return max(0.5, self._torn_down_at + stop_timeout - _TO_TELL - time.monotonic())

    def warn(self, text: str) -> None:
        """Send a warning about this node to the Manager's log."""
        self._do(
            [SendToWorker(LogLine(self._node.name, self._worker, logging.WARNING, f"node {self._node.name!r} {text}"))]
        )

    def _idle(self) -> None:
        """Wait for a message: there is nothing to step."""
        if not self._receive():
            self._account()
            self._wait(None)

    def _receive(self) -> bool:
        """Receive in a node that does not step: chunks wait, or are dropped once the node has ended. Returns whether
        any came."""
        if self._machine.may_step or self._inputs is None or not self._inputs.receive():
            return False
        self._inputs.make_room()
        return True

    def _account(self) -> None:
        """Record how many chunks lie here: they are in flight at rest."""
        if self._inputs is not None:
            self._inputs.account()
        self._outputs.account()

    def _wait(self, seconds: float | None) -> None:
        """Wait once for inputs, credit, room and messages."""
        sources: list[InputEdge] = []
        if self._inputs is not None:
            self._inputs.retry()
            sources = self._inputs.edges
        edges: list[InputEdge | OutputEdge] = [*sources, *self._outputs.edges]
        held_back = [edge for edge in self._outputs.edges if edge.backlog]
        ready = wait(self._poller(edges, bool(held_back)), seconds, [*sources, *held_back])
        if held_back or any(edge.end.fileno() in ready for edge in self._outputs.edges):
            self._outputs.flush()
        if self._pipe.fileno() in ready:
            self._hear()

    def _poller(self, edges: list[InputEdge | OutputEdge], held_back: bool) -> select.poll:
        """The poll object to wait with; the usual one, with no peer gone and no edge that wants room, is made once."""
        usual = not held_back and not any(edge.gone or edge.wants_room for edge in edges)
        made = self._pollers.get(len(edges)) if usual else None
        if made is None:
            made = poller(edges, self._pipe.fileno())
            if usual:
                self._pollers[len(edges)] = made
        return made

    # --- messages ----------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Read the worker's messages; they are handled between two steps."""
        try:
            while (received := self._pipe.receive()) is not None:
                message = decode(received[0])
                if isinstance(message, Rewire):  # at once: an emission may wait for it
                    self._rewire(message, received[1])
                    continue
                if isinstance(message, PauseBlocked):  # it concerns the next emission that has to wait
                    self._yield = message
                    self._heard += 1
                    continue
                self._unhandled.append(message)
                if isinstance(message, TearDown) or (isinstance(message, Stop) and message.now):
                    self._interrupted = True
        except PeerGone:
            if not self._worker_gone:
                self._worker_gone = True
                self._interrupted = True
                self._unhandled.append(TearDown(self._graph))
                self._heard -= 1  # the worker will not count this one

    def _rewire(self, message: Rewire, files: list[int]) -> None:
        """Give an edge a new channel: the gateway was replaced."""
        self._heard += 1
        self._pollers.clear()
        sources = self._inputs.edges if self._inputs is not None else []
        for edge in sources if message.side == "in" else self._outputs.edges:
            if (
                isinstance(edge, RemoteInputEdge | RemoteOutputEdge | LossyRemoteOutputEdge)
                and edge.spec.index == message.edge
            ):
                edge.rewire(*map(PacketSocket, files))

    def _listen(self) -> None:
        self._hear()
        messages, self._unhandled = self._unhandled, []
        for message in messages:
            self._heard += 1
            self._handle(message)

    def _handle(self, message: AnyMessage) -> None:
        match message:
            case Start(start_id=turn, steps=steps):
                self._tick = time.monotonic()
                self._cells[FIRST] = self._cells[FIRST] or _now()
                self._cells[PACED] = bool(self._node.rate or self._node.live)
                self._interrupted = False
                self._yield = None
                self._do(self._machine.start(turn, steps))
                if self._machine.may_step:
                    self._outputs.settle()  # what the stop has delayed is sent before anything new is made
            case Stop(start_id=turn, now=now):
                self._do(self._machine.stop(turn, now))
            case PauseBlocked():
                self._do(self._machine.on_blocked_by_paused())
            case TearDown():
                self._torn_down_at = time.monotonic()
                while self._receive():
                    pass
                self._do(self._machine.tear_down())
            case Call(call_id=call_id, method=method, arguments=arguments):
                self._answer(call_id, lambda: self._call(method, arguments))
            case Gather(call_id=call_id):
                self._answer(call_id, self._newest_chunk)
            case _:
                pass

    def _call(self, name: str, arguments: bytes) -> Any:
        method = getattr(self._node, name, None)
        if not getattr(method, "__flowmesh_registered__", False):
            raise StateError(f"{name!r} is not a registered method of {self._node!r}: mark it with @flowmesh.register")
        value = method(**pickle.loads(arguments))  # type: ignore[misc]
        return self._await(value) if inspect.iscoroutine(value) else value

    def _newest_chunk(self) -> DataChunk | None:
        return None if self._newest is None else DataChunk.of(self._newest)

    def _answer(self, call_id: int, make: Callable[[], Any]) -> None:
        try:
            reply = Reply(call_id=call_id, value=code_objects.dumps(make()))
        except BaseException as error:
            reply = Reply(call_id=call_id, error=f"node {self._node.name!r}: {describe(error)}")
        self._do([SendToWorker(reply)])

    # --- effects -----------------------------------------------------------------------------------------------------

    def _do(self, effects: list[NodeEffect]) -> None:
        for effect in effects:
            match effect:
                case SendToWorker(message=message):
                    if isinstance(message, NodeNews):
                        self._account()
                    self._pipe.send(encode(message))
                case SendMarker(kind=kind, number=number):
                    self._outputs.send_marker(kind, number, {})
                case CloseInputs(reason=reason):
                    if self._inputs is not None:
                        self._inputs.close(reason)
                case RunTearDown():
                    if self._setup_begun:
                        self._guard("teardown", self._node.teardown)
                case ExitProcess():
                    self._leaving = True

    def _guard(self, phase: str, code: Callable[[], Any]) -> bool:
        """Run the user's code; returns whether it returned. An exception is reported to the Manager."""
        try:
            value = code()
            if inspect.iscoroutine(value):
                self._await(value)
            return True
        except BaseException as error:
            self._fail(phase, 0, describe(error))
            return False

    def _fail(self, phase: str, number: int, text: str, inputs: dict[str, int] | None = None) -> None:
        failure = NodeFailure(self._graph, self._node.name, self._worker, phase, number, text, inputs or {})
        self._do([SendToWorker(failure), *self._machine.step_failed()])

    def _await(self, coroutine: Any) -> Any:
        if self._loop is None:
            import asyncio  # few nodes need it, and all would share its memory

            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)
