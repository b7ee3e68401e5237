"""Where a link listens and dials: ports that are taken, hosts and keys that are none."""

from __future__ import annotations

import socket

import pytest

from flowmesh.errors import LinkError
from flowmesh.security.addresses import MOST, is_loopback, reachable
from flowmesh.security.keys import KeyPair
from flowmesh.transport.control_link import ManagerLink, WorkerLink

from ..transport.conftest import HOST, Site


def test_a_port_that_is_taken_is_told(site: Site) -> None:
    with pytest.raises(LinkError, match=f"{HOST}:{site.manager.port} .*another port.*: Address already in use"):
        ManagerLink(HOST, site.manager.port, site.keys)


def test_without_a_port_the_next_free_one_is_taken() -> None:
    own = "127.83.7.11"  # a loopback address that nobody else listens at
    first, second = (ManagerLink(own, None, KeyPair.make()) for _ in range(2))
    assert 9000 <= first.port < second.port < 9100
    assert first.host == own
    taken = [socket.socket() for _ in range(100)]
    for port, each in enumerate(taken, 9000):
        if port not in (first.port, second.port):
            try:
                each.bind((own, port))
                each.listen()
            except OSError:
                pass  # somebody listens there at all addresses
    third = ManagerLink(own, None, KeyPair.make())
    assert third.port not in range(9000, 9100)
    for link in (first, second, third):
        link.close()
    for each in taken:
        each.close()


@pytest.mark.parametrize("port", [None, 0, 9000])
def test_a_host_that_is_not_of_this_machine_is_told(port: int | None) -> None:
    with pytest.raises(LinkError, match=r"can't listen at 203\.0\.113\.1:.*address of this machine"):
        ManagerLink("203.0.113.1", port, KeyPair.make())


@pytest.mark.parametrize(("host", "port"), [(HOST, 70_000), (HOST, -1), ("no such host", 9000), ("\udcff", 9000)])
def test_what_is_no_address_is_told(host: str, port: int) -> None:
    keys = KeyPair.make()
    for make in (lambda: ManagerLink(host, port, keys), lambda: WorkerLink(host, port, keys.public, keys)):
        with pytest.raises(LinkError):
            make()


def test_localhost_is_an_address() -> None:
    keys = KeyPair.make()
    manager = ManagerLink("localhost", 0, keys)
    link = WorkerLink("localhost", manager.port, keys.public, keys)
    link.close()
    manager.close()


@pytest.mark.parametrize("key", ["", "short", "ä" * 40, "~" * 40, "\udcff" * 40])
def test_what_is_no_key_is_told(key: str) -> None:
    keys = KeyPair.make()
    with pytest.raises(LinkError, match="key"):
        WorkerLink(HOST, 9000, key, keys)
    with pytest.raises(LinkError, match="CURVE key pair"):
        WorkerLink(HOST, 9000, keys.public, KeyPair(key, keys.secret))
    with pytest.raises(LinkError, match="CURVE key pair"):
        ManagerLink(HOST, 0, KeyPair(keys.public, key))


# --- where others can reach us ---------------------------------------------------------------------------------------


def test_a_host_that_was_named_is_reached_by_that_name() -> None:
    assert reachable("192.168.7.20") == ("192.168.7.20",)
    assert reachable("lab.example.org") == ("lab.example.org",)


def test_all_addresses_are_those_at_which_a_program_of_ours_can_be_reached() -> None:
    hosts = reachable("0.0.0.0")
    assert "0.0.0.0" not in hosts
    assert len(set(hosts)) == len(hosts) <= MOST
    keys = KeyPair.make()
    manager = ManagerLink("0.0.0.0", 0, keys)
    for host in hosts:
        socket.create_connection((host, manager.port), 5).close()
    manager.close()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("lab", False)],
)
def test_what_only_this_machine_can_reach(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
