"""What a Machine wants done, as values. A shell does it, in the order given."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import FlowmeshError
from ..wire.messages import Message


class Send(NamedTuple):
    """Manager's: send the message to the worker that holds this key."""

    key: str
    message: Message


class Allow(NamedTuple):
    """Manager's: let this key in from now on."""

    key: str


class Answer(NamedTuple):
    """Manager's: the verb that waits under this token has succeeded."""

    token: int
    value: object = None


class Fail(NamedTuple):
    """Manager's: the verb that waits under this token has failed."""

    token: int
    error: FlowmeshError


class Note(NamedTuple):
    """Tell the user, at a level of `logging`; `node` and `worker` say where it comes from."""

    level: int
    text: str
    node: str = ""
    worker: str = ""


class Say(NamedTuple):
    """Worker's to the Manager, node's to its worker: send the message up."""

    message: Message


class Tell(NamedTuple):
    """Worker's: send the message to a node."""

    node: str
    message: Message


class Fork(NamedTuple):
    """Worker's: start a process for the node."""

    node: str


class SetUpNode(NamedTuple):
    """Worker's: the node's channel ends are all there: hand them over, with its code."""

    node: str


class Open(NamedTuple):
    """Worker's: make the channel of an edge whose source is here."""

    edge: int


class Claim(NamedTuple):
    """Worker's: the channel of this edge is made by another worker of the host: take its end when it comes."""

    edge: int


class Kill(NamedTuple):
    """Worker's: end the node's process by SIGKILL."""

    node: str


class Report(NamedTuple):
    """Worker's: read all pages and send the counters."""

    token: int


class AnswerBusy(NamedTuple):
    """Worker's: answer a request in the place of a node that is busy, with how long it has been."""

    token: int
    node: str


class Release(NamedTuple):
    """Worker's: forget the graph's pages and ends."""


class Leave(NamedTuple):
    """Worker's, node's: nothing is left to do here."""


class Pass(NamedTuple):
    """Node's: send a mark along all outputs, behind all chunks."""

    kind: int
    number: int


class CloseInputs(NamedTuple):
    """Node's: tell all producers that no more is taken; what comes is dropped, counted under this reason."""

    reason: str


class RunTearDown(NamedTuple):
    """Node's: call the user's teardown, if setup was begun."""


ManagerEffect = Send | Allow | Answer | Fail | Note
WorkerEffect = Say | Tell | Fork | SetUpNode | Open | Claim | Kill | Report | AnswerBusy | Release | Leave
NodeEffect = Say | Pass | CloseInputs | RunTearDown | Leave
