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
    """Send the node its channel ends, which are all there, and its code."""

    node: str


class OpenChannel(Effect, frozen=True):
    """Create the channel of an edge whose source is here."""

    edge: int


class ExpectChannel(Effect, frozen=True):
    """Take this edge's channel end when it comes: another worker of the host creates the channel."""

    edge: int


class StartGateway(Effect, frozen=True):
    """Start the gateway, and have it listen. `address`: where other machines reach the Manager's host, which is this
    one if the Manager is reached by loopback."""

    address: str = ""


class SendToGateway(Effect, frozen=True):
    """Send the message to the gateway."""

    message: Message


class ConnectProducer(Effect, frozen=True):
    """Create the channel of this transfer from its producer, which is here, to the gateway."""

    transfer: int


class ConnectConsumers(Effect, frozen=True):
    """Create the channels of this transfer's edges from the gateway to their targets, which are here. `restarts`: the
    number of gateways that have died before."""

    transfer: int
    restarts: int = 0


class RewireNode(Effect, frozen=True):
    """Send a node that is set up the end of this edge's new channel."""

    node: str
    edge: int
    side: str


class EndGateway(Effect, frozen=True):
    """End the gateway, which is not needed any more."""


class KillNode(Effect, frozen=True):
    """Kill the node process by SIGKILL."""

    node: str


class ReportMetrics(Effect, frozen=True):
    """Read all counter pages and send the counters."""

    call_id: int


class AnswerBusy(Effect, frozen=True):
    """Answer a request in the place of a node that is busy, with how long it has been busy."""

    call_id: int
    node: str


class ReleaseGraph(Effect, frozen=True):
    """Release the graph's counter pages and channel ends."""


class RegisterAgain(Effect, frozen=True):
    """Register with the Manager, again."""


class Leave(Effect, frozen=True):
    """End the daemon: nothing is left to do here."""


GatewayEffect = StartGateway | SendToGateway | ConnectProducer | ConnectConsumers | EndGateway
WorkerEffect = (
    SendToManager | SendToNode | ForkNode | SetUpNode | RewireNode | KillNode | OpenChannel | ExpectChannel
    | ReportMetrics | AnswerBusy | ReleaseGraph | RegisterAgain | Leave | GatewayEffect
)  # fmt: skip
