"""What a Machine wants done, as values. A shell does it, in the order given."""

from __future__ import annotations

import msgspec

from ..errors import FlowmeshError
from ..wire.messages import Message, Served


class Effect(msgspec.Struct, frozen=True):
    """The base of all effects. Not a tuple: two effects of different kinds are never equal."""


class Send(Effect, frozen=True):
    """Manager's: send the message to the worker that holds this key."""

    key: str
    message: Message


class Allow(Effect, frozen=True):
    """Manager's: let this key in from now on."""

    key: str


class Serve(Effect, frozen=True):
    """Manager's: do what this operator asks, and send it the Outcome."""

    key: str
    request: Served


class Revoke(Effect, frozen=True):
    """Manager's: from now on hear nothing from this key, and let it in no more."""

    key: str


class Keep(Effect, frozen=True):
    """Manager's: this key may come back to all Managers of the user, under this name; with no name, it may no more."""

    key: str
    name: str


class TellTime(Effect, frozen=True):
    """Manager's: answer this heartbeat of the worker that holds the key with the Manager's clock, as late as can be."""

    key: str
    sent: int


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


class StartLink(Effect, frozen=True):
    """Worker's: start the link's process, and have it listen. `address`: where other machines reach the Manager's, which is
    this one if the Manager is reached by loopback."""

    address: str = ""


class TellLink(Effect, frozen=True):
    """Worker's: send the message to the link."""

    message: Message


class Tap(Effect, frozen=True):
    """Worker's: make the channel of this transfer from its producer, who is here, to the link."""

    transfer: int


class Deliver(Effect, frozen=True):
    """Worker's: make the channels of this transfer's edges from the link to their targets, who are here. `again`: how
    often that was done before, for links that have died."""

    transfer: int
    again: int = 0


class RewireNode(Effect, frozen=True):
    """Worker's: a node that is set up has a new channel for this edge: hand the end over."""

    node: str
    edge: int
    side: str


class EndLink(Effect, frozen=True):
    """Worker's: the link is needed no more."""


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


class Register(Effect, frozen=True):
    """Worker's: register with the Manager, again."""


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


ManagerEffect = Send | Allow | Revoke | Keep | TellTime | Serve | Answer | Fail | Note
LinkEffect = StartLink | TellLink | Tap | Deliver | EndLink
WorkerEffect = (
    Say | Tell | Fork | SetUpNode | Open | Claim | Kill | Report | AnswerBusy | Release | Register | Leave
    | RewireNode | LinkEffect
)  # fmt: skip
NodeEffect = Say | Pass | CloseInputs | RunTearDown | Leave
