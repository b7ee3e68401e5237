"""Effects of a worker's Machines."""

from __future__ import annotations

from ...wire.messages import Message
from ..effect import Effect


class SendToManager(Effect, frozen=True):
    """Send the message to the Manager."""

    message: Message


class SendToNode(Effect, frozen=True):
    """Send the message to a node."""

    node: str
    message: Message


class ForkNode(Effect, frozen=True):
    """Start a process for the node."""

    node: str


class SetUpNode(Effect, frozen=True):
    """The node's channel ends are all there: hand them over, with its code."""

    node: str


class OpenChannel(Effect, frozen=True):
    """Make the channel of an edge whose source is here."""

    edge: int


class ExpectChannel(Effect, frozen=True):
    """The channel of this edge is made by another worker of the host: take its end when it comes."""

    edge: int


class StartGateway(Effect, frozen=True):
    """Start the link's process, and have it listen. `address`: where other machines reach the Manager's, which is
    this one if the Manager is reached by loopback."""

    address: str = ""


class SendToGateway(Effect, frozen=True):
    """Send the message to the link."""

    message: Message


class ConnectProducer(Effect, frozen=True):
    """Make the channel of this transfer from its producer, who is here, to the link."""

    transfer: int


class ConnectConsumers(Effect, frozen=True):
    """Make the channels of this transfer's edges from the link to their targets, who are here. `again`: how
    often that was done before, for links that have died."""

    transfer: int
    restarts: int = 0


class RewireNode(Effect, frozen=True):
    """A node that is set up has a new channel for this edge: hand the end over."""

    node: str
    edge: int
    side: str


class EndGateway(Effect, frozen=True):
    """The link is needed no more."""


class KillNode(Effect, frozen=True):
    """End the node's process by SIGKILL."""

    node: str


class ReportMetrics(Effect, frozen=True):
    """Read all pages and send the counters."""

    call_id: int


class AnswerBusy(Effect, frozen=True):
    """Answer a request in the place of a node that is busy, with how long it has been."""

    call_id: int
    node: str


class ReleaseGraph(Effect, frozen=True):
    """Forget the graph's pages and ends."""


class RegisterAgain(Effect, frozen=True):
    """Register with the Manager, again."""


class Leave(Effect, frozen=True):
    """End the daemon: nothing is left to do here."""


GatewayEffect = StartGateway | SendToGateway | ConnectProducer | ConnectConsumers | EndGateway
WorkerEffect = (
    SendToManager | SendToNode | ForkNode | SetUpNode | RewireNode | KillNode | OpenChannel | ExpectChannel
    | ReportMetrics | AnswerBusy | ReleaseGraph | RegisterAgain | Leave | GatewayEffect
)  # fmt: skip
