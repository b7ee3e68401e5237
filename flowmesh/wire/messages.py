"""Every control message, as one tagged union of frozen structs. A docstring gives the route.

Requests are imperatives, reports are nouns. The same encoder serves the network and the socket to a node's process.
"""

from __future__ import annotations

import msgspec

from ..errors import LinkError
from .capacity import Capacity
from .plan_specs import Host, LinkAddress, NodeSpec, Plan, Transfer, Versions
from .states import NodeState


class Message(msgspec.Struct, frozen=True, tag=True):
    """The base of all control messages."""


# --- joining ---------------------------------------------------------------------------------------------------------


class Enroll(Message, frozen=True):
    """Worker → Manager, sent with a token's key: allow `key` (Z85), which is the worker's own."""

    key: str


class Enrollment(Message, frozen=True):
    """Manager → Worker: your key is allowed, dial again with it. `keep`: also for all later Managers of this user."""

    keep: bool = False


class Registration(Message, frozen=True):
    """Worker → Manager: register me."""

    name: str
    pid: int
    host: Host
    versions: Versions
    id: str = ""  # the owner's name for this machine; shown in the status
    pickle: bool = True  # whether it takes pickled values
    capacity: Capacity = Capacity()  # its capacity for tasks
    life: str = ""  # random, one per daemon process: another one under the same name means that the old process is dead


class Welcome(Message, frozen=True):
    """Manager → Worker: you are registered."""


class Refusal(Message, frozen=True):
    """Manager → Worker: you are not registered, and why."""

    reason: str


class Heartbeat(Message, frozen=True):
    """Worker → Manager, every half second and more often while clocks are compared, and the answer to it.

    Attributes:
        sent: when the worker sent it, on its host's monotonic clock, in ns.
        clock: in the answer, the Manager's clock, in ns since the epoch.
    """

    sent: int = 0
    clock: int = 0


class Rejoin(Message, frozen=True):
    """Manager → Worker, which was silent for too long and is not registered any more: tear down all that you run, and
    register again."""


class Departure(Message, frozen=True):
    """Worker, admin client → Manager: I leave: in order, or because of an error, which is the `reason`."""

    name: str
    reason: str = ""


class Dismiss(Message, frozen=True):
    """Manager → Worker: tear down all that you run and leave; Manager → Admin client: I leave. `at_once`: kill it
    instead. `reason`: if it is not that the Manager shuts down."""

    at_once: bool = False
    reason: str = ""


# --- admin clients of a running Manager ------------------------------------------------------------------------------


class AdminHello(Message, frozen=True):
    """Admin client → Manager, sent with the user's standing key: accept `key` (Z85) as an admin client's. Answered with
    Enrollment."""

    key: str


class StatusRequest(Message, frozen=True):
    """Admin client → Manager: give the status."""

    call_id: int


class StopRequest(Message, frozen=True):
    """Admin client → Manager: drain for up to `drain` seconds (None: the default), tear down, finish."""

    call_id: int
    drain: float | None = None


class LogRequest(Message, frozen=True):
    """Admin client → Manager: give the last `last` lines of the log of this level or a higher one, of `node` if it is
    given, as a list of AdminLogLine; and then, if `follow`, send every further one."""

    call_id: int
    last: int
    level: int = 0
    node: str = ""
    follow: bool = False


class TokenRequest(Message, frozen=True):
    """Admin client → Manager: make a token that ends after `expires` seconds, or when it is used. `keep` as in
    Enrollment."""

    call_id: int
    expires: float
    keep: bool = False


class TokenListRequest(Message, frozen=True):
    """Admin client → Manager: give all tokens, without their secrets."""

    call_id: int


class RevokeRequest(Message, frozen=True):
    """Admin client → Manager: revoke the token with this id, or the worker of this name."""

    call_id: int
    which: str


AdminRequest = StatusRequest | StopRequest | TokenRequest | TokenListRequest | RevokeRequest
Request = AdminRequest | LogRequest


class AdminReply(Message, frozen=True):
    """Manager → Admin client: the result of a request. `error` is set when it failed, else `value` is msgpack."""

    call_id: int
    value: bytes = b""
    error: str = ""


class AdminLogLine(Message, frozen=True):
    """Manager → Admin client: a line of the log; `time` in seconds since 1970, by the Manager's clock."""

    time: float
    level: int
    text: str
    node: str = ""
    worker: str = ""


# --- the run of a graph ----------------------------------------------------------------------------------------------


class Deploy(Message, frozen=True):
    """Manager → Worker: fork the plan's nodes, ship their code, set them up. `address`: where other machines reach the
    Manager's host; "" where they can't."""

    plan: Plan
    stop_timeout: float
    address: str = ""


class SetUp(Message, frozen=True):
    """Worker → Node, with file descriptors: the counter page, the code, the channel ends of inputs, then of outputs."""

    graph: str
    node: NodeSpec
    worker: str
    run: int
    epoch: int
    names: tuple[str, ...]
    inputs: tuple[EdgeEnd, ...]
    outputs: tuple[EdgeEnd, ...]
    stop_timeout: float = 5.0  # seconds from TearDown to the process's end


class EdgeEnd(msgspec.Struct, frozen=True):
    """One end of an edge, as the node gets it. `peer` is the node at the other end. `linked`: it crosses hosts, and the
    gateway is at the other end; a new gateway may replace it: see Rewire. `restarted`: a gateway has died there before.
    `pickle`: whether the target's worker takes pickled values: its source refuses to emit any, the target to read
    any."""

    index: int
    peer: str
    policy: str
    depth: int
    slots: int
    follow: bool
    linked: bool = False
    restarted: bool = False
    pickle: bool = True
    bytes: int = 0  # the window in bytes; 0: it has none
    max_waiting: int = 0  # as in EdgeSpec
    ring: bool = False  # whether its packets go through a ring: its descriptor follows those of the end
    keeps_alive: bool = True  # as in EdgeSpec


class Rewire(Message, frozen=True):
    """Worker → Node, with file descriptors as in SetUp: the gateway was restarted, this is its new channel; `side` is
    "in" or "out"."""

    edge: int
    side: str


class Start(Message, frozen=True):
    """Manager → Worker → Node: step; with `steps`, a source pauses after that many. `start_id` counts the starts."""

    graph: str
    start_id: int
    steps: int | None = None


class Stop(Message, frozen=True):
    """Manager → Worker → Node: sources pause; the others do when they have drained their inputs, or `now`."""

    graph: str
    start_id: int
    now: bool = False


class PauseBlocked(Message, frozen=True):
    """Manager → Worker → Node: a consumer of your output has paused. Pause as well instead of waiting for room
    there."""

    graph: str
    node: str


class TearDown(Message, frozen=True):
    """Manager → Worker → Node: tear down and leave."""

    graph: str


class Call(Message, frozen=True):
    """Manager → Worker → Node: call a registered method between two steps; `arguments` is a pickled dict. Beyond
    `timeout` seconds the worker answers for a busy node."""

    graph: str
    call_id: int
    node: str
    timeout: float
    method: str
    arguments: bytes


class Gather(Message, frozen=True):
    """Manager → Worker → Node: send your newest value. `timeout` as in Call."""

    graph: str
    call_id: int
    node: str
    timeout: float


class MetricsRequest(Message, frozen=True):
    """Manager → Worker: report all counters."""

    call_id: int


# --- links between hosts ---------------------------------------------------------------------------------------------


class OpenGateway(Message, frozen=True):
    """Worker → Gateway, first of all: listen at this address, at this port; 0: at any free one."""

    worker: str
    address: str
    port: int = 0


class GatewayOpened(Message, frozen=True):
    """Gateway → Worker → Manager: where the worker's gateway listens, and its key."""

    worker: str
    link: LinkAddress
    graph: str = ""  # the worker fills it in


class PeerGateways(Message, frozen=True):
    """Manager → Worker → Gateway: the gateways of all workers that this one exchanges chunks with; all others are
    ignored from now on."""

    graph: str
    links: dict[str, LinkAddress]


class OpenOutgoing(Message, frozen=True):
    """Worker → Gateway, with file descriptors: the gateway's counter page, then the consumer's end of the producer's
    channel. `names` are all nodes' names by index."""

    graph: str
    run: int
    transfer: Transfer
    names: tuple[str, ...]


class OpenIncoming(Message, frozen=True):
    """Worker → Gateway, with file descriptors: the gateway's counter page, then for each edge the producer's end of the
    consumer's channel (for a lossy edge a duplicate of the consumer's end follows it). `restarts`: the number of
    gateways that have served these consumers before; if any, each consumer first sends on its channel what has
    arrived."""

    graph: str
    run: int
    transfer: Transfer
    names: tuple[str, ...]
    restarts: int = 0


class CloseTransfers(Message, frozen=True):
    """Worker → Gateway: the graph has ended; end all its transfers."""

    graph: str


class LinkNews(Message, frozen=True):
    """Gateway → Worker → Manager: the link to that worker's gateway is up, or was lost and is dialled again."""

    worker: str
    peer: str
    up: bool
    text: str = ""
    graph: str = ""  # the worker fills it in


# --- tasks: their packets contain the messages of wire/job_messages.py ----------------------------------------------


class TaskPacket(Message, frozen=True):
    """Client → Manager → Worker, and back: messages about tasks. `number` counts the packets of a session from 1; 0: it only
    acknowledges. `epoch` separates a worker's registrations."""

    epoch: int
    number: int
    acknowledged: int
    body: bytes = b""


# --- reports ---------------------------------------------------------------------------------------------------------


class NodeNews(Message, frozen=True):
    """Node → Worker → Manager: the node's state has changed. `start_id` is the start that it belongs to. `gone`: its
    process has ended."""

    graph: str
    node: str
    state: NodeState
    start_id: int = 0
    pid: int = 0
    gone: bool = False


class NodeFailure(Message, frozen=True):
    """Node → Worker → Manager: the user's code raised, or the process died (`phase` "process"). `inputs`: the number of
    each chunk that the step had, by its sender's name; the one that triggered it first."""

    graph: str
    node: str
    worker: str
    phase: str
    number: int
    text: str
    inputs: dict[str, int] = {}


class Reply(Message, frozen=True):
    """Node → Worker → Manager: the answer to Call or Gather; `error` is set when it failed, else `value` is pickled."""

    call_id: int
    value: bytes = b""
    error: str = ""


class LogLine(Message, frozen=True):
    """Node → Worker → Manager: a line of the node's logger, or a worker's warning (`node` empty)."""

    node: str
    worker: str
    level: int
    text: str


class EdgeCounters(msgspec.Struct, frozen=True):
    """One end's counters of an edge. A source's end fills `sent` and `bytes`, a target's end `received` and `copied`;
    between hosts the source's gateway fills `encoded` (bytes put on the wire) and `codecs` (a bit for each codec's
    number). `waiting`: at rest, the chunks queued at this end."""

    sent: int = 0
    bytes: int = 0
    received: int = 0
    copied: int = 0
    dropped: dict[str, int] = {}
    encoded: int = 0
    codecs: int = 0
    waiting: int = 0


class NodeCounters(msgspec.Struct, frozen=True):
    """A node's counters. Times in seconds, memory in bytes, `cpu` in seconds of processor time."""

    state: NodeState
    pid: int = 0
    steps: int = 0
    errors: int = 0
    rate: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    busy: float = 0.0
    inputs: dict[int, EdgeCounters] = {}
    outputs: dict[int, EdgeCounters] = {}


class MetricsReport(Message, frozen=True):
    """Worker → Manager: all counters of the graph's nodes that it runs. Answers MetricsRequest."""

    call_id: int
    graph: str
    nodes: dict[str, NodeCounters] = {}


AnyMessage = (
    Enroll | Enrollment | Registration | Welcome | Refusal | Heartbeat | Rejoin | Departure | Dismiss
    | AdminHello | StatusRequest | StopRequest | LogRequest | TokenRequest | TokenListRequest | RevokeRequest
    | AdminReply | AdminLogLine
    | Deploy | SetUp | Rewire | Start | Stop | PauseBlocked | TearDown | Call | Gather | MetricsRequest
    | OpenGateway | GatewayOpened | PeerGateways | OpenOutgoing | OpenIncoming | CloseTransfers | LinkNews
    | TaskPacket | NodeNews | NodeFailure | Reply | LogLine | MetricsReport
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes | memoryview) -> AnyMessage:
    """The message in `data`.

    Raises:
        LinkError: it is none.
    """
    try:
        message: AnyMessage = _decoder.decode(data)
        return message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LinkError(f"a control message can't be read: {error}") from error
