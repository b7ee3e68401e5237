"""The loop of a node's process: the user's code on the main thread, one step after the other. One wait serves all.

Between two steps it looks at one cell of the counters' page; the pipe to the worker is read only when that cell says
that something was sent, or when nothing else is to be done.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle
import select
import threading
import time
from collections.abc import Callable
from types import CoroutineType
from typing import Any

import cloudpickle
import numpy as np

from ..channel.packets import PeerGone
from ..channel.page import BUSY, CONTROL, ERRORS, FIRST, HELD, HISTOGRAM, LAST, PACED, STEPS, Page, bucket
from ..channel.pipe import Pipe
from ..chunk import DEFAULT_NAME, DataChunk
from ..control.effects import CloseInputs, Leave, NodeEffect, Pass, RunTearDown, Say
from ..control.node import NodeMachine
from ..errors import EndOfStream, StateError
from ..node import Node
from ..wire.framing import DONE
from ..wire.lifecycle import NodeState
from ..wire.messages import AnyMessage, Call, Failure, Gather, LogLine, Reply, Start, Stop, TearDown, decode, encode
from .explain import describe
from .inputs import Inputs
from .outedge import OutEdge
from .outputs import Cause, Outputs

_now = time.monotonic_ns
_wall = time.time_ns() - time.monotonic_ns()  # taken once, in the fork server: all nodes of a worker have the same
_CATCH_UP = 1.0  # seconds by which a paced source may be late and still make up for it


class Stepper:
    """Runs one node until it is told to leave."""

    def __init__(self, node: Node, graph: str, worker: str, machine: NodeMachine, pipe: Pipe, page: Page) -> None:
        self._node = node
        self._step_method = node.step
        self._graph = graph
        self._worker = worker
        self._machine = machine
        self._pipe = pipe
        self._cells = page.cells
        self._inputs: Inputs | None = None
        self._outputs: Outputs
        self._heard = 0
        self._unhandled: list[AnyMessage] = []
        self._interrupted = False
        self._leaving = False
        self._stepping = False
        self._setup_begun = False
        self._thread = 0
        self._newest: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cause: Cause = (-1, 0, {})
        self._emissions = 0
        self._said_last = False  # whether the step's last emission said that all of its origin is done
        self._tick = 0.0  # when a paced source's next step is due
        self._worker_gone = False
        self._pollers: dict[bool, select.poll] = {}

    def attach(self, inputs: Inputs | None, outputs: Outputs) -> None:
        """The channels; None as inputs makes it a source."""
        self._inputs = inputs
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
                self._do(self._machine.ended())
            elif self._inputs is None:
                self._step_source()
            else:
                self._step_inputs(self._inputs)
        self._pipe.flush(within=2.0)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _step_source(self) -> None:
        rate = self._node.rate
        if rate and not self._is_due(rate):
            return
        self._step((-1, self._cells[STEPS] + 1, {}))
        self._do(self._machine.stepped())

    def _step_inputs(self, inputs: Inputs) -> None:
        taken = inputs.take()
        if taken is not None:
            data, place, number, origin = taken
            self._step((place, number, origin), data)
            if inputs.says and (news := inputs.stepped(self._said_last)):
                self._outputs.mark(DONE, 0, news)
            return
        arrived = inputs.receive()
        if inputs.says and (news := inputs.news()):
            self._outputs.mark(DONE, 0, news)
        if arrived:
            return
        if inputs.over:
            if inputs.barren is not None:
                self.warn(
                    f"ends without a step: {inputs.barren!r}, whose newest chunk each step sees, ended without one"
                )
            self._do(self._machine.ended())
            return
        self._do(self._machine.dry())
        if self._machine.may_step:
            self._wait(None)

    def _step(self, cause: Cause, *data: dict[str, DataChunk]) -> None:
        cells = self._cells
        self._cause = cause
        self._emissions = 0
        self._stepping = True
        self._said_last = False
        ended = 0
        begun = cells[BUSY] = _now()
        try:
            value = self._step_method(*data)
            if value is not None:
                if type(value) is CoroutineType:
                    value = self._await(value)
                ended = _now()
                if value is not None:
                    last = self._inputs is None or not self._inputs.says or self._inputs.completes()
                    self._send(value, last, ended)
                    self._said_last = last
        except EndOfStream:
            if data:
                self.warn("has ended its stream: what still comes to it is dropped, counted as after_end")
            self._do(self._machine.ended())
            return
        except BaseException as error:
            self._raised(error, cause[1])
        finally:
            self._stepping = False
            cells[BUSY] = 0
        ended = cells[LAST] = ended or _now()
        cells[STEPS] += 1
        cells[HISTOGRAM + bucket(ended - begun)] += 1

    def _raised(self, error: BaseException, number: int) -> None:
        self._cells[ERRORS] += 1
        text = describe(error)
        if self._node.on_error == "skip" and isinstance(error, Exception):
            skipped = f"node {self._node.name!r}: step raised at chunk {number}, which is skipped:\n{text}"
            self._do([Say(LogLine(node=self._node.name, worker=self._worker, level=40, text=skipped))])
            return
        self._fail("step", number, text)

    def _is_due(self, rate: float) -> bool:
        """Whether a paced source may step; waits for what is left, as far as nothing else comes up."""
        now = time.monotonic()
        late = now - self._tick
        if late < 0:
            self._wait(-late)
            if time.monotonic() < self._tick:
                return False
        elif late > _CATCH_UP:
            self._tick = now
        self._tick += 1.0 / rate
        return True

    # --- what the node asks of its host ------------------------------------------------------------------------------

    def emit(self, value: Any) -> None:
        self._check_stepping("emit")
        self._send(value, False, _now())

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self._check_stepping("allocate")
        return self._outputs.allocate(shape, dtype)

    def _check_stepping(self, verb: str) -> None:
        if not self._stepping:
            raise StateError(f"{self._node.name}: {verb}() works only inside step()")
        if threading.get_ident() != self._thread:
            raise StateError(
                f"{self._node.name}: {verb}() works only in step's own thread: put what other threads bring into a queue, "
                "and let step take it from there"
            )

    def _send(self, value: Any, last: bool, now: int) -> None:
        records = value.records() if isinstance(value, DataChunk) else ((DEFAULT_NAME, value, "other"),)
        self._outputs.emit(records, (*self._cause, self._emissions, last, now + _wall))
        if self._cells[HELD]:
            self._cells[HELD] = 0
        self._emissions += 1
        self._newest = value

    # --- waiting -----------------------------------------------------------------------------------------------------

    def wait_for_room(self, edges: list[OutEdge], bell: int) -> bool:
        """Called by the outputs while an emission can't go on; False when it must not wait any longer. `bell` is an eventfd
        that rings when a slot may be free; -1 when none is waited for."""
        if not self._interrupted:
            slowest = max(edges, key=lambda edge: edge.window.sent - edge.window.taken, default=None)
            self._cells[HELD] = 1 + self._outputs.edges.index(slowest) if slowest else 0
            self._poller(edges, False, bell).poll()
            self._hear()
        return not self._interrupted

    def warn(self, text: str) -> None:
        """A warning of the runtime's about this node, for the Manager's log."""
        self._do([Say(LogLine(self._node.name, self._worker, logging.WARNING, f"node {self._node.name!r} {text}"))])

    def _idle(self) -> None:
        """Nothing to step: wait for a message; what comes to a node that has ended is dropped."""
        if not self._drop_some():
            self._wait(None, read_inputs=self._closed)

    @property
    def _closed(self) -> bool:
        return self._machine.state in (NodeState.ENDED, NodeState.FAILED)

    def _drop_some(self) -> bool:
        """A node that has ended takes nothing more: what has come is dropped, and counted. Whether anything had come."""
        return self._closed and self._inputs is not None and self._inputs.receive()

    def _wait(self, seconds: float | None, read_inputs: bool = True) -> None:
        """One wait for inputs, credit, room and messages alike."""
        if read_inputs and self._inputs is not None:
            self._inputs.retry()
        self._poll(self._outputs.edges, seconds, read_inputs)
        self._outputs.flush()
        self._hear()

    def _poll(self, edges: list[OutEdge], seconds: float | None, read_inputs: bool = False) -> None:
        poll = self._poller(edges, read_inputs)
        if seconds is None:
            poll.poll()
        elif not poll.poll(int(seconds * 1000)):
            time.sleep(max(0.0, min(seconds % 0.001, 0.001)))  # poll counts in whole milliseconds

    def _poller(self, edges: list[OutEdge], read_inputs: bool, bell: int = -1) -> select.poll:
        """What to wait with; the usual one, with no backlog and nobody gone, is made once."""
        sources = self._inputs.edges if read_inputs and self._inputs is not None else []
        usual = (
            edges is self._outputs.edges
            and not any(edge.backlog or edge.gone for edge in edges)
            and not any(source.gone or source.wants_room for source in sources)
        )
        if usual and read_inputs in self._pollers:
            return self._pollers[read_inputs]
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        if bell >= 0:
            poll.register(bell, select.POLLIN)
        for edge in edges:
            if not edge.gone:
                poll.register(edge.end, select.POLLIN | (select.POLLOUT if edge.wants_room else 0))
        for source in sources:
            if not source.gone:
                poll.register(source.end, select.POLLIN | (select.POLLOUT if source.wants_room else 0))
        if usual:
            self._pollers[read_inputs] = poll
        return poll

    # --- messages ----------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Read what the worker has sent; it is acted on between two steps."""
        try:
            while (received := self._pipe.receive()) is not None:
                message = decode(received[0])
                self._heard += 1
                self._unhandled.append(message)
                if isinstance(message, TearDown) or (isinstance(message, Stop) and message.now):
                    self._interrupted = True
        except PeerGone:
            if not self._worker_gone:
                self._worker_gone = True
                self._interrupted = True
                self._unhandled.append(TearDown(self._graph))

    def _listen(self) -> None:
        self._hear()
        messages, self._unhandled = self._unhandled, []
        for message in messages:
            self._handle(message)

    def _handle(self, message: AnyMessage) -> None:
        match message:
            case Start(turn=turn, steps=steps):
                self._tick = time.monotonic()
                self._cells[FIRST] = self._cells[FIRST] or _now()
                self._cells[PACED] = bool(self._node.rate or self._node.live)
                self._interrupted = False
                self._do(self._machine.start(turn, steps))
            case Stop(turn=turn, now=now):
                self._do(self._machine.stop(turn, now))
            case TearDown():
                while self._drop_some():
                    pass
                self._do(self._machine.tear_down())
            case Call(token=token, method=method, arguments=arguments):
                self._answer(token, lambda: self._call(method, arguments))
            case Gather(token=token):
                self._answer(token, self._newest_chunk)
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

    def _answer(self, token: int, make: Callable[[], Any]) -> None:
        try:
            reply = Reply(token=token, value=cloudpickle.dumps(make(), protocol=5))
        except BaseException as error:
            reply = Reply(token=token, error=f"node {self._node.name!r}: {describe(error)}")
        self._do([Say(reply)])

    # --- effects -----------------------------------------------------------------------------------------------------

    def _do(self, effects: list[NodeEffect]) -> None:
        for effect in effects:
            match effect:
                case Say(message=message):
                    self._pipe.send(encode(message))
                case Pass(kind=kind, number=number):
                    self._outputs.mark(kind, number, {})
                case CloseInputs(reason=reason):
                    if self._inputs is not None:
                        self._inputs.close(reason)
                case RunTearDown():
                    if self._setup_begun:
                        self._guard("teardown", self._node.teardown)
                case Leave():
                    self._leaving = True

    def _guard(self, phase: str, code: Callable[[], Any]) -> bool:
        """Run the user's code; whether it returned. An exception reaches the Manager."""
        try:
            value = code()
            if inspect.iscoroutine(value):
                self._await(value)
            return True
        except BaseException as error:
            self._fail(phase, 0, describe(error))
            return False

    def _fail(self, phase: str, number: int, text: str) -> None:
        failure = Failure(self._graph, self._node.name, self._worker, phase, number, text)
        self._do([Say(failure), *self._machine.failed()])

    def _await(self, coroutine: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)
