"""What a Machine wants done, as values. A shell does it, in the order given."""

from __future__ import annotations

import msgspec

from ..errors import FlowmeshError
from ..wire.messages import Message


class Effect(msgspec.Struct, frozen=True):
    """The base of all effects. Not a tuple: two effects of different kinds are never equal."""


class Send(Effect, frozen=True):
    """Manager's: send the message to the worker that holds this key."""

    key: str
    message: Message


class Allow(Effect, frozen=True):
    """Manager's: let this key in from now on."""

    key: str


class Answer(Effect, frozen=True):
    """Manager's: the verb that waits under this token has succeeded."""

    token: int
    value: object = None


class Fail(Effect, frozen=True):
    """Manager's: the verb that waits under this token has failed."""

    token: int
    error: FlowmeshError


class Note(Effect, frozen=True):
    """Tell the user, at a level of `logging`; `node` and `worker` say where it comes from."""

    level: int
    text: str
    node: str = ""
    worker: str = ""


class Say(Effect, frozen=True):
    """Worker's to the Manager, node's to its worker: send the message up."""

    message: Message


class Tell(Effect, frozen=True):
    """Worker's: send the message to a node."""

    node: str
    message: Message


class Fork(Effect, frozen=True):
    """Worker's: start a process for the node."""

    node: str


class SetUpNode(Effect, frozen=True):
    """Worker's: the node's channel ends are all there: hand them over, with its code."""

    node: str


class Open(Effect, frozen=True):
    """Worker's: make the channel of an edge whose source is here."""

    edge: int


class Claim(Effect, frozen=True):
    """Worker's: the channel of this edge is made by another worker of the host: take its end when it comes."""

    edge: int


class Kill(Effect, frozen=True):
    """Worker's: end the node's process by SIGKILL."""

    node: str


class Report(Effect, frozen=True):
    """Worker's: read all pages and send the counters."""

    token: int


class AnswerBusy(Effect, frozen=True):
    """Worker's: answer a request in the place of a node that is busy, with how long it has been."""

    token: int
    node: str


class Release(Effect, frozen=True):
    """Worker's: forget the graph's pages and ends."""


class Leave(Effect, frozen=True):
    """Worker's, node's: nothing is left to do here."""


class Pass(Effect, frozen=True):
    """Node's: send a mark along all outputs, behind all chunks."""

    kind: int
    number: int


class CloseInputs(Effect, frozen=True):
    """Node's: tell all producers that no more is taken; what comes is dropped, counted under this reason."""

    reason: str


class RunTearDown(Effect, frozen=True):
    """Node's: call the user's teardown, if setup was begun."""


ManagerEffect = Send | Allow | Answer | Fail | Note
WorkerEffect = Say | Tell | Fork | SetUpNode | Open | Claim | Kill | Report | AnswerBusy | Release | Leave
NodeEffect = Say | Pass | CloseInputs | RunTearDown | Leave
