"""A running Manager's sign: found by its user, by nobody else, and gone with its process."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flowmesh.membership import local_discovery
from flowmesh.membership.local_discovery import FoundManager, ManagerBeacon, managers
from flowmesh.security.keys import KeyPair
from flowmesh.wire.fingerprints import short

from ..conftest import SCALE


@contextmanager
def shown(host: str, port: int, key: str) -> Iterator[ManagerBeacon]:
    """A sign whose owner answers."""
    sign = ManagerBeacon(host, port, key)
    ended = os.eventfd(0)

    def serve() -> None:
        while ended not in (ready := select.select([sign, ended], [], [])[0]):
            assert ready
            sign.answer()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield sign
    finally:
        os.eventfd_write(ended, 1)
        thread.join(10 * SCALE)
        os.close(ended)
        sign.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who answer have all the time that a busy machine may take."""
    monkeypatch.setattr(local_discovery, "_PATIENCE", 20 * SCALE)


@pytest.fixture
def key() -> str:
    return KeyPair.make().public


def test_a_manager_is_found_while_it_runs_by_its_own_key(key: str) -> None:
    assert managers(key) == []
    with shown("10.1.2.3", 9000, key), shown("127.0.0.1", 8999, key), shown("127.0.0.1", 1, KeyPair.make().public):
        assert managers(key) == [
            FoundManager("127.0.0.1", 8999, os.getpid()),
            FoundManager("10.1.2.3", 9000, os.getpid()),
        ]
    assert managers(key) == []


@pytest.mark.parametrize(("listens", "dialled"), [("0.0.0.0", "127.0.0.1"), ("*", "127.0.0.1"), ("::", "::1")])
def test_one_that_listens_everywhere_is_dialled_here(listens: str, dialled: str, key: str) -> None:
    with shown(listens, 9000, key):
        assert managers(key) == [FoundManager(dialled, 9000, os.getpid())]


def test_one_port_at_two_addresses_is_two_managers(key: str) -> None:
    with shown("127.0.0.1", 9000, key), shown("127.0.0.2", 9000, key):
        assert {found.host for found in managers(key)} == {"127.0.0.1", "127.0.0.2"}


def test_it_answers_any_number_of_times(key: str) -> None:
    with shown("127.0.0.1", 9000, key):
        for _ in range(300):  # more than the kernel lets wait
            assert len(managers(key)) == 1


def test_whoever_asked_and_has_gone_does_no_harm(key: str) -> None:
    sign = ManagerBeacon("127.0.0.1", 9000, key)
    with socket.socket(fileno=os.dup(sign.fileno())) as twin:
        name = twin.getsockname()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(name)
    sign.answer()
    sign.answer()
    sign.close()


def test_what_does_not_answer_or_answers_nonsense_is_no_manager(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_discovery, "_PATIENCE", 0.1)
    prefix = f"\0flowmesh/{os.geteuid()}/9000/{short(key)}/"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(f"{prefix}silent")
        silent.listen()
        assert managers(key) == []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as unbound:
        unbound.bind(f"{prefix}deaf")
        assert managers(key) == []
    with shown("127.0.0.1", 9000, key) as sign:
        monkeypatch.setattr(sign, "_address", b"nonsense")
        assert managers(key) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a while")
def test_a_sign_that_another_user_hangs_out_is_not_believed(key: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as forged:
        forged.bind(f"\0flowmesh/{os.geteuid()}/9000/{short(key)}/forged")
        thread = threading.Thread(target=_answer_as, args=(forged, 65534))
        ours = os.geteuid()
        os.seteuid(65534)
        try:
            forged.listen()  # the kernel notes who listens
        finally:
            os.seteuid(ours)
        thread.start()
        assert managers(key) == []
        thread.join(10 * SCALE)


def _answer_as(forged: socket.socket, user: int) -> None:
    asking, _ = forged.accept()
    with asking:
        seen = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        assert seen[1] != user
        asking.send(b"127.0.0.1 9000")
