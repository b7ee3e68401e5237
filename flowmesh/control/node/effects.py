"""Effects of the Machine of a node."""

from __future__ import annotations

from ...wire.messages import Message
from ..effect import Effect


class SendToWorker(Effect, frozen=True):
    """Send the message to the worker that runs this node."""

    message: Message


class SendMarker(Effect, frozen=True):
    """Send a marker along all outputs, behind all chunks."""

    kind: int
    number: int


class CloseInputs(Effect, frozen=True):
    """Close the edges to all producers; what still arrives is dropped, counted under this reason."""

    reason: str


class RunTearDown(Effect, frozen=True):
    """Call the user's `teardown`, if `setup` was begun."""


class ExitProcess(Effect, frozen=True):
    """End the node process: nothing is left to do here."""


NodeEffect = SendToWorker | SendMarker | CloseInputs | RunTearDown | ExitProcess
