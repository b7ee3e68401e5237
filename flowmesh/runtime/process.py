"""The node process, from its first message to its exit. No network socket, no key: it uses channels only."""

from __future__ import annotations

import faulthandler
import logging
from collections.abc import Iterator

from ..channel.counters import CounterPage
from ..channel.message_socket import MessageSocket, close_all, read_memory_file
from ..channel.packet_socket import PacketSocket
from ..channel.ring import RingReader, RingWriter
from ..control.node.machine import NodeMachine
from ..edges.input_edge import InputEdge, LeaseHolder
from ..edges.output_edge import OutputEdge
from ..edges.remote_input import RemoteInputEdge
from ..edges.remote_output import LossyRemoteOutputEdge, RemoteOutputEdge
from ..errors import FlowmeshError, LinkError, ShippingError
from ..node import Node
from ..shipping import installer
from ..wire.messages import EdgeEnd, LogLine, NodeFailure, NodeNews, SetUp, decode, encode
from ..wire.plan_specs import NodeSpec, decode_code
from ..wire.states import NodeState
from .inputs import Inputs
from .outputs import Outputs
from .single_input import SingleInput
from .stepper import Stepper
from .thread_shutdown import shut_down_threads
from .tracebacks import describe, sendable


def main(descriptor: int) -> None:
    """Serve as the process of one node; `descriptor` is the message socket to the worker."""
    pipe = MessageSocket(descriptor)
    first = _first_message(pipe)
    if first is None:
        return
    setup, descriptors = first
    given = iter(descriptors)
    page = CounterPage(next(given), len(setup.outputs), len(setup.inputs))
    code_file, crash_file = next(given), next(given)
    faulthandler.enable(crash_file, all_threads=False)
    node = _load(setup, code_file, pipe)
    if node is None:
        pipe.flush(within=2.0)
        return
    stepper = _wire(setup, node, pipe, page, given)
    close_all(list(given))
    _log_to_manager(setup, pipe)
    object.__setattr__(node, "_host", stepper)  # also on a frozen dataclass
    try:
        stepper.run()
    except BaseException as error:  # not the user's code: that is guarded where it is called
        text = describe(error)
        pipe.send(encode(NodeFailure(setup.graph, setup.node.name, setup.worker, "runtime", 0, text)))
        pipe.flush(within=2.0)
        raise
    _end_threads(setup, pipe, stepper.left_to_end(setup.stop_timeout))


def _end_threads(setup: SetUp, pipe: MessageSocket, within: float) -> None:
    """Wait for the threads and executors that the node has left; those that do not end are an error of the node."""

    def overdue(names: list[str]) -> None:
        left = ", ".join(names) or "what was registered with atexit"
        text = f"threads that it left did not end within {setup.stop_timeout:g} s, and were cut off: {left}"
        pipe.send(encode(NodeFailure(setup.graph, setup.node.name, setup.worker, "teardown", 0, text)))
        pipe.flush(within=0.3)

    shut_down_threads(within, overdue)


def _first_message(pipe: MessageSocket) -> tuple[SetUp, list[int]] | None:
    """The worker's first message; None when the worker has gone instead, or tears down before anything began."""
    received = pipe.wait()
    if received is None:
        return None
    message = decode(received[0])
    if not isinstance(message, SetUp):
        raise LinkError(f"a node's process was told {type(message).__name__} before SetUp")
    return message, received[1]


def _load(setup: SetUp, code_file: int, pipe: MessageSocket) -> Node | None:
    """The node, unpickled in its own code; None, after a report to the Manager, when that fails."""
    try:
        code = decode_code(read_memory_file(code_file))
        for sentence in installer.differing(code.requirements):
            pipe.send(encode(LogLine(setup.node.name, setup.worker, logging.WARNING, sentence)))
        installer.install(code)
        return installer.load_node(setup.node.instance)
    except BaseException as error:
        text = str(error) if isinstance(error, FlowmeshError) else describe(error)
        if isinstance(error, ShippingError) and error.__cause__ is not None:
            told = describe(error.__cause__)
            text = told if text in told else f"{text}\n{told}"
        pipe.send(encode(NodeFailure(setup.graph, setup.node.name, setup.worker, "load", 0, text)))
        pipe.send(encode(NodeNews(setup.graph, setup.node.name, NodeState.CLOSED)))  # its exit is no second failure
        return None


def _wire(setup: SetUp, node: Node, pipe: MessageSocket, page: CounterPage, given: Iterator[int]) -> Stepper:
    machine = NodeMachine(setup.graph, setup.node.name, len(setup.inputs))
    stepper = Stepper(node, setup.graph, setup.worker, machine, pipe, page)
    holder = LeaseHolder(setup.node.index, node.hold, stepper.warn)
    in_edges: list[InputEdge] = []
    for index, spec in enumerate(setup.inputs):
        end = PacketSocket(next(given))
        reader = RingReader(next(given), end) if spec.ring else None
        block = page.input(index)
        in_edges.append(
            RemoteInputEdge(spec, setup.names, holder, end, page, block)
            if spec.linked
            else InputEdge(spec, setup.names, holder, end, page, block, reader)
        )
    inputs = _inputs(setup.node, in_edges, machine) if in_edges else None
    outputs = Outputs(setup.node.index, setup.run, setup.epoch, setup.node.slots, stepper.wait_for_room)
    for index, spec in enumerate(setup.outputs):
        end = PacketSocket(next(given))
        receiving = None if spec.policy == "lossless" else PacketSocket(next(given))
        writer = RingWriter(next(given), end) if spec.ring else None
        outputs.edges.append(
            _linked_output(spec, end, receiving, page, page.output(index))
            if spec.linked
            else OutputEdge(spec, end, receiving, page, page.output(index), writer)
        )
    stepper.attach(inputs, outputs)
    return stepper


def _inputs(node: NodeSpec, edges: list[InputEdge], machine: NodeMachine) -> Inputs:
    if SingleInput.suits(node, edges):
        return SingleInput(node, edges[0], machine.input_paused, machine.input_ended)
    return Inputs(node, edges, machine.input_paused, machine.input_ended)


def _linked_output(
    spec: EdgeEnd, end: PacketSocket, receiving: PacketSocket | None, page: CounterPage, block: int
) -> OutputEdge:
    kind = RemoteOutputEdge if receiving is None else LossyRemoteOutputEdge
    return kind(spec, end, receiving, page, block)


class _ManagerHandler(logging.Handler):
    """A logging handler that sends the lines of the node's logger to the Manager."""

    def __init__(self, setup: SetUp, pipe: MessageSocket) -> None:
        super().__init__()
        self._setup = setup
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = LogLine(self._setup.node.name, self._setup.worker, record.levelno, sendable(self.format(record)))
            self._pipe.send(encode(line))
        except Exception:
            self.handleError(record)


def _log_to_manager(setup: SetUp, pipe: MessageSocket) -> None:
    logger = logging.getLogger("flowmesh.node")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(_ManagerHandler(setup, pipe))
