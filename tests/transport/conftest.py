"""Real links on 127.0.0.1. What waits here waits for an event, at most DEADLINE seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from flowmesh.security.keys import KeyPair
from flowmesh.transport import sockets
from flowmesh.transport.control_link import ManagerLink, WorkerLink
from flowmesh.wire.messages import AnyMessage

from ..conftest import SCALE

DEADLINE = 20 * SCALE
HOST = "127.0.0.1"

Heard = list[tuple[str, AnyMessage]]


class Site:
    """A Manager's link at a free port and the links that dial it; all are closed at the end."""

    def __init__(self) -> None:
        self.keys = KeyPair.make()
        self.manager = ManagerLink(HOST, 0, self.keys)
        self.links: list[WorkerLink] = []

    def dial(self, keys: KeyPair, server_key: str | None = None) -> WorkerLink:
        link = WorkerLink(HOST, self.manager.port, server_key or self.keys.public, keys)
        self.links.append(link)
        return link

    def join(self) -> tuple[WorkerLink, str]:
        """A worker's link whose key is allowed, and that key."""
        keys = KeyPair.make()
        self.manager.allow(keys.public)
        return self.dial(keys), keys.public

    def serve_until(self, done: Callable[[Heard], object]) -> Heard:
        """Serve the Manager's link until `done` is true of what was heard."""
        deadline = time.monotonic() + DEADLINE
        heard: Heard = []
        while not done(heard):
            assert time.monotonic() < deadline, f"waited in vain; heard {heard}"
            self.manager.wait([], 0.02)
            heard += self.manager.receive()
        return heard

    def hear(self, count: int) -> Heard:
        """The next `count` messages to the Manager."""
        return self.serve_until(lambda heard: len(heard) >= count)

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.manager.close()


def hear(link: WorkerLink, count: int) -> list[AnyMessage]:
    """The next `count` messages to a worker."""
    deadline = time.monotonic() + DEADLINE
    heard: list[AnyMessage] = []
    while len(heard) < count:
        assert time.monotonic() < deadline, f"waited in vain; heard {heard}"
        link.wait([], deadline - time.monotonic())
        heard += link.receive()
    return heard


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a link that is closed has not sent yet has all the time that a busy machine may take."""
    monkeypatch.setattr(sockets, "LINGER", round(DEADLINE * 1000))


@pytest.fixture
def site() -> Iterator[Site]:
    here = Site()
    yield here
    here.close()
