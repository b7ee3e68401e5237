"""An operator's link to a Manager of the same user: joining, asking, listening, and noticing its end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from flowmesh.control.effect import Log
from flowmesh.control.manager.admins import AdminClients
from flowmesh.control.manager.effects import AllowKey, HandleAdminRequest, RevokeKey, SendToPeer
from flowmesh.errors import FlowmeshError, LinkError
from flowmesh.security.keys import KeyPair, user_keys
from flowmesh.transport import admin_link
from flowmesh.transport.admin_link import AdminLink
from flowmesh.transport.control_link import ManagerLink
from flowmesh.wire.messages import (
    AdminLogLine,
    AdminReply,
    LogRequest,
    Message,
    StatusRequest,
    StopRequest,
    TokenListRequest,
)

from ..conftest import SCALE
from .conftest import DEADLINE, HOST


class Site:
    """A Manager's end with its Machine of operators, in a thread: it says back what it is asked, refuses to halt, and does
    not answer about tokens."""

    def __init__(self, keys: KeyPair) -> None:
        self.link = ManagerLink(HOST, 0, keys)
        self.link.allow(keys.public)
        self.operators = AdminClients(keys.public)
        self.notes: list[Log] = []
        self.dismissing = False
        self.ended = False
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def ring(self) -> None:
        os.eventfd_write(self.bell, 1)

    def close(self) -> None:
        self.ended = True
        self.ring()
        self.thread.join(DEADLINE)
        os.close(self.bell)

    def _serve(self) -> None:
        while not self.ended:
            if self.bell in self.link.wait([self.bell], None):
                os.eventfd_read(self.bell)
            for key, message in self.link.receive():
                self._do(self.operators.received_from_admin(key, message, time.monotonic()))
            while self.notes:
                self._do(self.operators.log_line(self.notes.pop(0), 5.0))
            if self.dismissing:
                self._do(self.operators.dismiss_admins())
        self.link.close()

    def _do(self, effects: list[object]) -> None:  # type: ignore[type-arg]
        for effect in effects:
            match effect:
                case SendToPeer(key=key, message=message):
                    self.link.send(key, message)
                case AllowKey(key=key):
                    self.link.allow(key)
                case RevokeKey(key=key):
                    self.link.revoke(key)
                case HandleAdminRequest(key=key, request=request) if answer := _answer(request):
                    self.link.send(key, answer)


def _answer(request: Message) -> Message | None:
    match request:
        case StatusRequest(call_id=number):
            return AdminReply(number, msgspec.msgpack.encode(f"survey {number}"))
        case StopRequest(call_id=number):
            return AdminReply(number, error="it does not want to")
    return None


@contextmanager
def site(keys: KeyPair | None = None) -> Iterator[Site]:
    made = Site(keys or user_keys())
    try:
        yield made
    finally:
        made.close()


@contextmanager
def operator(site: Site) -> Iterator[AdminLink]:
    link = AdminLink(HOST, site.link.port)
    try:
        yield link
    finally:
        link.close()


@pytest.mark.usefixtures("patient")
def test_it_joins_asks_and_leaves() -> None:
    with site() as there:
        with operator(there) as link:
            assert len(there.operators._heard_at) == 1
            assert link.ask(StatusRequest, str, DEADLINE) == "survey 1"
            assert link.ask(StatusRequest, str, DEADLINE) == "survey 2"
            with pytest.raises(FlowmeshError, match="does not want to"):
                link.ask(StopRequest, str, DEADLINE)
            with pytest.raises(LinkError, match=r"did not answer within 0\.2 s"):
                link.ask(TokenListRequest, str, 0.2)
            assert link.ask(StatusRequest, str, DEADLINE) == "survey 5"
        deadline = time.monotonic() + DEADLINE
        while there.operators._heard_at:
            assert time.monotonic() < deadline, "its leaving was not heard"


def test_a_manager_of_another_version_is_told() -> None:
    with site() as there, operator(there) as link, pytest.raises(LinkError, match="another version of flowmesh"):
        link.ask(StatusRequest, int)


def test_several_operate_at_once() -> None:
    with site() as there, operator(there) as one, operator(there) as two:
        assert one.ask(StatusRequest, str) == two.ask(StatusRequest, str)


def test_lines_come_while_it_listens_and_while_it_asks() -> None:
    with site() as there, operator(there) as link:
        assert link.ask(lambda number: LogRequest(number, 0, follow=True), list[AdminLogLine]) == []
        there.notes += [Log(20, "one"), Log(20, "two")]
        there.ring()
        while len(link.lines) < 2:
            assert not link.listen(DEADLINE)
        assert link.lines == [AdminLogLine(5.0, 20, "one"), AdminLogLine(5.0, 20, "two")]
        begun = time.monotonic()
        assert not link.listen(0.1)
        assert time.monotonic() - begun >= 0.1


def test_listening_ends_when_a_descriptor_can_be_read() -> None:
    readable = os.eventfd(1)
    with site() as there, operator(there) as link:
        assert link.listen(DEADLINE, readable)
    os.close(readable)


def test_it_gives_signs_of_life_and_notices_the_managers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_link, "_BEAT", 0.05)
    monkeypatch.setattr(admin_link, "_SILENCE", 2.0 * SCALE)
    with site() as there:
        link = AdminLink(HOST, there.link.port)
        assert not link.listen(2.5 * SCALE)  # longer than the silence: the answers to its signs come
    with pytest.raises(LinkError, match="has gone"):
        link.listen(DEADLINE)
    link.close()


def test_a_manager_that_says_that_it_leaves_is_believed_at_once() -> None:
    with site() as there, operator(there) as link:
        there.dismissing = True
        there.ring()
        with pytest.raises(LinkError, match="has gone"):
            link.listen(DEADLINE)


def test_another_users_manager_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_link, "_JOINS_WITHIN", 0.5)
    with site(KeyPair.make()) as there, pytest.raises(LinkError, match="no Manager of this user answers"):
        AdminLink(HOST, there.link.port)
