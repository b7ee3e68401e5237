"""The admin link: an admin client's connection to a running Manager of the same user, with an enrolled key of its own.

The client is a peer like a worker, on the same port and under the same rules for keys. One thread owns it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

import msgspec

from ..errors import FlowmeshError, LinkError
from ..security.keys import KeyPair, user_keys
from ..wire.messages import (
    AdminHello,
    AdminLogLine,
    AdminReply,
    AnyMessage,
    Departure,
    Dismiss,
    Enrollment,
    Heartbeat,
    Request,
)
from .control_link import WorkerLink

Answer = TypeVar("Answer")

_BEAT = 1.0  # seconds between two Heartbeats: the Manager revokes a client that was silent for ten
_JOINS_WITHIN = 3.0
_SILENCE = 3.0  # seconds without an answer to a Heartbeat after which the Manager has gone


def join_as_admin(host: str, port: int) -> WorkerLink:
    """A link to a Manager of the same user, with a key of its own that the Manager accepts as an admin client's.

    Raises:
        LinkError: nothing answers there, or it is another user's Manager.
    """
    standing, own = user_keys(), KeyPair.make()
    link = WorkerLink(host, port, standing.public, standing)
    try:
        link.send(AdminHello(own.public))
        deadline = time.monotonic() + _JOINS_WITHIN
        while not any(isinstance(message, Enrollment) for message in link.receive()):
            if time.monotonic() >= deadline:
                raise LinkError(
                    f"no Manager of this user answers at {host}:{port}: check that it runs there, and as the same user"
                )
            link.wait([], max(0.0, deadline - time.monotonic()))
    finally:
        link.close()
    return WorkerLink(host, port, standing.public, own)


class AdminLink:
    """A connection to the Manager at host:port. `lines` gets the lines of its log.

    Raises:
        LinkError: nothing answers there, or it is another user's Manager.
    """

    def __init__(self, host: str, port: int) -> None:
        standing, own = user_keys(), KeyPair.make()
        self._address = f"{host}:{port}"
        self._numbers = count(1)
        self._beaten_at = math.inf  # none before the Manager knows us: other clients share the standing key
        self._heard_at = math.inf
        self._is_gone = False
        self._is_read = False
        self.lines: list[AdminLogLine] = []
        self._link = WorkerLink(host, port, standing.public, standing)
        try:
            self._link.send(AdminHello(own.public))
            self._await(lambda message: isinstance(message, Enrollment), _JOINS_WITHIN)
        except LinkError as error:
            raise LinkError(
                f"no Manager of this user answers at {self._address}: check that it runs there, and as the same user"
            ) from error
        finally:
            self._link.close()
        self._link = WorkerLink(host, port, standing.public, own)
        self._beaten_at, self._heard_at = 0.0, time.monotonic()

    def ask(self, request: Callable[[int], Request], answer: type[Answer], timeout: float = 5.0) -> Answer:
        """Send a request; returns the Manager's answer.

        Args:
            request: makes the message from its call id.
            answer: the type of the answer.
            timeout: seconds.

        Raises:
            FlowmeshError: the request failed, or is not allowed.
            LinkError: the Manager has gone, or is of another version.
        """
        number = next(self._numbers)
        self._link.send(request(number))
        outcome = self._await(lambda message: isinstance(message, AdminReply) and message.call_id == number, timeout)
        assert isinstance(outcome, AdminReply)
        if outcome.error:
            raise FlowmeshError(outcome.error)
        try:
            return msgspec.msgpack.decode(outcome.value, type=answer)
        except msgspec.DecodeError as error:
            raise LinkError(f"the Manager at {self._address} runs another version of flowmesh: {error}") from error

    def listen(self, timeout: float, *fds: int) -> bool:
        """Take log lines into `lines` for `timeout` seconds, or until there is one, or one of `fds` can be read.

        Returns:
            whether there is one, or a descriptor can be read.

        Raises:
            LinkError: the Manager has gone.
        """
        begun = len(self.lines)
        deadline = time.monotonic() + timeout
        while len(self.lines) == begun and (left := deadline - time.monotonic()) > 0:
            self._heard(left, fds)
            if self._is_read:
                return True
        return False

    def close(self) -> None:
        """Send a Departure, and close."""
        self._link.send(Departure(""))
        self._link.close()

    def _await(self, wanted: Callable[[AnyMessage], bool], timeout: float) -> AnyMessage:
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            for message in self._heard(left):
                if wanted(message):
                    return message  # the messages with it answer no open request
        raise LinkError(f"the Manager at {self._address} did not answer within {timeout:g} s")

    def _heard(self, timeout: float, fds: tuple[int, ...] = ()) -> list[AnyMessage]:
        """The messages that come within `timeout`; sends a Heartbeat when it is due."""
        if self._is_gone:
            raise LinkError(f"the Manager at {self._address} has gone")
        now = time.monotonic()
        if now - self._beaten_at > _BEAT:
            self._beaten_at = now
            self._link.send(Heartbeat())
        self._is_read = bool(self._link.wait(fds, min(timeout, _BEAT)))
        messages = self._link.receive()
        if messages:
            self._heard_at = time.monotonic()
        elif now - self._heard_at > _SILENCE:
            self._is_gone = True
        self._is_gone |= any(isinstance(message, Dismiss) for message in messages)  # the messages before it still count
        self.lines += [message for message in messages if isinstance(message, AdminLogLine)]
        return messages
