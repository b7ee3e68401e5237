"""The control link: what is said arrives under the key of who said it, and strangers are not heard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from flowmesh.errors import LinkError
from flowmesh.security.keys import KeyPair
from flowmesh.transport import control_link
from flowmesh.transport.control_link import ManagerLink
from flowmesh.transport.sockets import Context, Socket
from flowmesh.wire.messages import Departure, Heartbeat, Message, Reply, Welcome, encode

from .conftest import DEADLINE, HOST, Heard, Site, hear


class Strangers:
    """Bare DEALER sockets: what another program, or an evil one, would use."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._context = Context()
        self._monitors: dict[Socket, Socket] = {}

    def dial(self, keys: KeyPair | None, server_key: str = "", options: Mapping[int, int | bytes] = {}) -> Socket:
        """Without keys it does not speak CURVE."""
        dealer = self._context.socket(zmq.DEALER)
        self._monitors[dealer] = dealer.get_monitor_socket()
        for option, value in options.items():
            dealer.setsockopt(option, value)
        if keys is not None:
            dealer.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
            dealer.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
            dealer.setsockopt(zmq.CURVE_SERVERKEY, (server_key or self._site.keys.public).encode())
        dealer.connect(f"tcp://{HOST}:{self._site.manager.port}")
        return dealer

    def until(self, dealer: Socket, events: int) -> Heard:
        """Serve the Manager's link until one of the events has come to the dealer; what was heard."""
        monitor = self._monitors[dealer]
        return self._site.serve_until(lambda _: monitor.poll(0) and recv_monitor_message(monitor)["event"] & events)

    def refused(self, dealer: Socket) -> Heard:
        """As `until`, for a refusal, however it shows."""
        return self.until(
            dealer, zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        )

    def close(self) -> None:
        for dealer, monitor in self._monitors.items():
            if not dealer.closed:
                dealer.disable_monitor()
                dealer.close(linger=0)
            monitor.close(linger=0)
        self._context.term()


@pytest.fixture
def strangers(site: Site) -> Iterator[Strangers]:
    strangers = Strangers(site)
    yield strangers
    strangers.close()


def much() -> list[Message]:
    """More than is sent by the time that `send` returns."""
    return [*[Reply(number, bytes(16384)) for number in range(200)], Departure("last")]


# --- both ways -------------------------------------------------------------------------------------------------------


def test_messages_go_both_ways_in_order(site: Site) -> None:
    link, key = site.join()
    names = [f"{number}" for number in range(50)]
    for name in names:
        assert link.send(Departure(name))
    assert site.hear(50) == [(key, Departure(name)) for name in names]
    for name in names:
        assert site.manager.send(key, Departure(name))
    assert hear(link, 50) == [Departure(name) for name in names]


def test_each_worker_gets_what_is_sent_to_its_key(site: Site) -> None:
    joined = [site.join() for _ in range(3)]
    for link, key in joined:
        link.send(Departure(key))
    assert all(message == Departure(key) for key, message in site.hear(3))
    for _, key in joined:
        site.manager.send(key, Departure(key))
    assert [hear(link, 1) for link, _ in joined] == [[Departure(key)] for _, key in joined]


def test_what_is_sent_before_the_manager_is_up_arrives(site: Site) -> None:
    keys = KeyPair.make()
    site.manager.close()
    link = site.dial(keys)
    assert link.send(Departure("early"))
    site.manager = ManagerLink(HOST, site.manager.port, site.keys)
    site.manager.allow(keys.public)
    assert site.hear(1) == [(keys.public, Departure("early"))]


@pytest.mark.usefixtures("patient")
def test_closing_sends_what_waits_and_can_be_done_twice(site: Site) -> None:
    link, key = site.join()
    link.send(Heartbeat())
    site.hear(1)
    words = much()
    for word in words:
        assert link.send(word)
    link.close()
    assert site.hear(len(words)) == [(key, word) for word in words]
    link.close()


@pytest.mark.usefixtures("patient")
def test_so_does_the_manager(site: Site) -> None:
    link, key = site.join()
    link.send(Heartbeat())
    site.hear(1)
    words = much()
    for word in words:
        assert site.manager.send(key, word)
    site.manager.close()
    assert hear(link, len(words)) == words
    site.manager.close()


def test_closing_is_brief_although_nobody_takes_what_waits(site: Site) -> None:
    site.manager.close()
    link = site.dial(KeyPair.make())
    link.send(Heartbeat())
    begun = time.monotonic()
    link.close()
    assert time.monotonic() - begun < DEADLINE / 4


def test_a_closed_link_says_so(site: Site) -> None:
    link, key = site.join()
    link.send(Heartbeat())
    site.hear(1)
    link.close()
    site.manager.close()
    for closed in (link, site.manager):
        with pytest.raises(LinkError, match="closed"):
            closed.wait([], 0)
        with pytest.raises(LinkError, match="can't receive"):
            closed.receive()
    assert not link.send(Heartbeat())
    assert not site.manager.send(key, Heartbeat())


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_wait_tells_which_descriptors_are_ready_or_at_their_end(site: Site) -> None:
    link, _ = site.join()
    quiet, loud = socket.socketpair(), socket.socketpair()
    reading, writing = os.pipe()
    with quiet[0], quiet[1], loud[0], loud[1]:
        for waiter in (site.manager, link):
            assert waiter.wait([quiet[0].fileno()], 0) == set()
        loud[1].send(b"!")
        os.close(writing)
        for waiter in (site.manager, link):
            descriptors = [quiet[0].fileno(), loud[0].fileno(), reading]
            assert waiter.wait(descriptors, DEADLINE) == {loud[0].fileno(), reading}
    os.close(reading)


def test_wait_ends_with_its_time_and_not_before(site: Site) -> None:
    begun = time.monotonic()
    assert site.manager.wait([], 0.05) == set()
    assert time.monotonic() - begun >= 0.05
    assert site.manager.wait([], -1.0) == set()


def test_wait_without_a_limit_ends_when_a_message_comes(site: Site) -> None:
    link, key = site.join()
    link.send(Heartbeat())
    site.hear(1)
    assert link.receive() == []  # it takes note of being connected
    site.manager.send(key, Welcome())
    assert link.wait([], None) == set()
    assert link.receive() == [Welcome()]


def test_a_flood_is_received_in_batches(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_link, "BATCH", 10)
    link, key = site.join()
    link.send(Heartbeat())
    site.hear(1)
    for _ in range(35):
        link.send(Heartbeat())
        site.manager.send(key, Heartbeat())
    heard = 0
    while heard < 35:
        site.manager.wait([], DEADLINE)
        batch = len(site.manager.receive())
        assert batch <= 10
        heard += batch
    assert len(hear(link, 35)) == 35


# --- who is let in ---------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_not_heard(site: Site, strangers: Strangers) -> None:
    keys = KeyPair.make()
    dealer = strangers.dial(keys)
    dealer.send(encode(Departure("unknown")))
    assert strangers.until(dealer, zmq.EVENT_HANDSHAKE_FAILED_AUTH) == []
    site.manager.allow(keys.public)
    strangers.dial(keys).send(encode(Departure("known")))
    assert site.hear(1) == [(keys.public, Departure("known"))]


def test_who_does_not_speak_curve_is_not_heard(site: Site, strangers: Strangers) -> None:
    dealer = strangers.dial(None)
    dealer.send(encode(Departure("plain")))
    assert strangers.refused(dealer) == []
    keys = KeyPair.make()
    site.manager.allow(keys.public)
    strangers.dial(keys).send(encode(Departure("curve")))
    assert site.hear(1) == [(keys.public, Departure("curve"))]


def test_who_expects_another_manager_is_not_heard(site: Site, strangers: Strangers) -> None:
    keys = KeyPair.make()
    site.manager.allow(keys.public)
    dealer = strangers.dial(keys, server_key=KeyPair.make().public)
    dealer.send(encode(Departure("for another")))
    assert strangers.refused(dealer) == []
    strangers.dial(keys).send(encode(Departure("for you")))
    assert site.hear(1) == [(keys.public, Departure("for you"))]


def test_revoking_works_at_once_on_a_living_connection(site: Site) -> None:
    link, key = site.join()
    other, other_key = site.join()
    link.send(Departure("first"))
    assert site.hear(1) == [(key, Departure("first"))]
    site.manager.revoke(key)
    assert not site.manager.send(key, Heartbeat())
    link.send(Departure("second"))
    other.send(Departure("other"))
    assert site.hear(1) == [(other_key, Departure("other"))]
    site.serve_until(lambda _: not site.manager._socket.poll(0))
    site.manager.allow(key)
    assert not site.manager.send(key, Heartbeat())  # until it speaks
    link.send(Departure("third"))
    heard = site.serve_until(lambda heard: (key, Departure("third")) in heard)
    assert (key, Departure("first")) not in heard
    assert site.manager.send(key, Heartbeat())


def test_a_revoked_key_can_not_come_back(site: Site, strangers: Strangers) -> None:
    keys = KeyPair.make()
    site.manager.allow(keys.public)
    strangers.dial(keys).send(encode(Departure("allowed")))
    assert site.hear(1) == [(keys.public, Departure("allowed"))]
    site.manager.revoke(keys.public)
    dealer = strangers.dial(keys)
    dealer.send(encode(Departure("revoked")))
    assert strangers.until(dealer, zmq.EVENT_HANDSHAKE_FAILED_AUTH) == []


# --- routing ids are not who one is ----------------------------------------------------------------------------------


def test_a_routing_id_that_another_has_brings_neither_his_name_nor_his_mail(site: Site, strangers: Strangers) -> None:
    owner, thief = KeyPair.make(), KeyPair.make()
    for keys in (owner, thief):
        site.manager.allow(keys.public)
    owners = strangers.dial(owner, options={zmq.ROUTING_ID: b"same"})
    owners.send(encode(Departure("owner")))
    assert site.hear(1) == [(owner.public, Departure("owner"))]
    thiefs = strangers.dial(thief, options={zmq.ROUTING_ID: b"same"})
    heard = strangers.until(thiefs, zmq.EVENT_HANDSHAKE_SUCCEEDED)
    for _ in range(10):
        thiefs.send(encode(Departure("thief")))
        owners.send(encode(Departure("owner")))
    heard += site.serve_until(lambda heard: sum(key == owner.public for key, _ in heard) == 10)
    assert set(heard) <= {(owner.public, Departure("owner")), (thief.public, Departure("thief"))}
    assert site.manager.send(owner.public, Departure("for the owner"))
    assert owners.poll(round(DEADLINE * 1000))
    assert owners.recv() == encode(Departure("for the owner"))
    assert not thiefs.poll(0)


def test_who_takes_the_routing_id_of_one_who_has_gone_does_not_get_his_mail(site: Site, strangers: Strangers) -> None:
    owner, heir = KeyPair.make(), KeyPair.make()
    for keys in (owner, heir):
        site.manager.allow(keys.public)
    owners = strangers.dial(owner, options={zmq.ROUTING_ID: b"same"})
    owners.send(encode(Departure("owner")))
    site.hear(1)
    owners.disable_monitor()
    owners.close()
    site.serve_until(lambda _: not site.manager.send(owner.public, Heartbeat()))
    heirs = strangers.dial(heir, options={zmq.ROUTING_ID: b"same"})
    heirs.send(encode(Departure("heir")))
    assert site.hear(1) == [(heir.public, Departure("heir"))]
    assert not site.manager.send(owner.public, Departure("for the owner"))
    assert site.manager.send(heir.public, Departure("for the heir"))
    assert heirs.poll(round(DEADLINE * 1000))
    assert heirs.recv() == encode(Departure("for the heir"))


def test_who_takes_an_id_that_another_no_longer_has_takes_nothing_else(site: Site, strangers: Strangers) -> None:
    owner, heir = KeyPair.make(), KeyPair.make()
    for keys in (owner, heir):
        site.manager.allow(keys.public)
    first = strangers.dial(owner, options={zmq.ROUTING_ID: b"first"})
    first.send(encode(Departure("owner")))
    site.hear(1)
    strangers.dial(owner, options={zmq.ROUTING_ID: b"second"}).send(encode(Departure("owner")))
    site.hear(1)
    first.disable_monitor()
    first.close()

    def again(heard: Heard) -> bool:
        """As long as the old connection is not yet seen to have gone, a new one with its id is not heard."""
        if (heir.public, Departure("heir")) not in heard:
            strangers.dial(heir, options={zmq.ROUTING_ID: b"first"}).send(encode(Departure("heir")))
            return False
        return True

    site.serve_until(again)
    assert site.manager.send(owner.public, Heartbeat())


def test_a_key_is_answered_where_it_spoke_last(site: Site) -> None:
    keys = KeyPair.make()
    site.manager.allow(keys.public)
    old, new = site.dial(keys), site.dial(keys)
    for link in (old, new):
        link.send(Heartbeat())
        site.hear(1)
    site.manager.send(keys.public, Departure("new"))
    assert hear(new, 1) == [Departure("new")]
    old.send(Heartbeat())
    site.hear(1)
    site.manager.send(keys.public, Departure("old"))
    assert hear(old, 1) == [Departure("old")]


# --- what can't be sent, and to whom ---------------------------------------------------------------------------------


def test_nothing_can_be_sent_to_a_key_that_has_not_spoken(site: Site) -> None:
    assert not site.manager.send(KeyPair.make().public, Heartbeat())


def test_a_queue_that_is_full_says_so(site: Site, strangers: Strangers) -> None:
    keys = KeyPair.make()
    site.manager.allow(keys.public)
    strangers.dial(keys, options={zmq.RCVHWM: 1}).send(encode(Heartbeat()))
    site.hear(1)
    reply = Reply(1, bytes(16384))
    assert any(not site.manager.send(keys.public, reply) for _ in range(20_000))  # nobody reads at the other end
    site.manager.close()
    link = site.dial(keys)
    assert [link.send(reply) for _ in range(1001)] == [True] * 1000 + [False]


@pytest.mark.usefixtures("patient")
def test_a_worker_that_has_much_to_read_survives_its_manager_and_dials_again(site: Site) -> None:
    link, key = site.join()
    link.send(Heartbeat())
    site.hear(1)
    sent = 0
    while sent < 5000:
        sent += site.manager.send(key, Heartbeat())
    site.manager.close()
    site.manager = ManagerLink(HOST, site.manager.port, site.keys)
    site.manager.allow(key)
    link.send(Departure("again"))
    assert site.hear(1) == [(key, Departure("again"))]
    assert len(hear(link, sent)) == sent


def test_a_peer_that_has_stopped_is_noticed(site: Site) -> None:
    keys = KeyPair.make()
    site.manager.allow(keys.public)
    source = f"""
import sys
from flowmesh.transport.control_link import WorkerLink
from flowmesh.security.keys import KeyPair
from flowmesh.wire.messages import Heartbeat
link = WorkerLink("{HOST}", {site.manager.port}, {site.keys.public!r}, KeyPair({keys.public!r}, sys.stdin.readline()[:-1]))
link.send(Heartbeat())
while not link.wait([0], None):  # it ends also when there is news of the connection
    link.receive()
"""
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(f"{keys.secret}\n")
        process.stdin.flush()
        assert site.hear(1) == [(keys.public, Heartbeat())]
        process.send_signal(signal.SIGSTOP)
        site.serve_until(lambda _: not site.manager.send(keys.public, Heartbeat()))
        process.kill()


def test_a_message_that_is_too_large_is_not_sent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_link, "LARGEST", 1000)
    link, key = site.join()
    assert not link.send(Reply(1, bytes(1000)))
    assert link.send(Heartbeat())
    assert site.hear(1) == [(key, Heartbeat())]


def test_a_message_that_is_too_large_cuts_its_sender_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_link, "LARGEST", 1000)
    site = Site()
    strangers = Strangers(site)
    keys = KeyPair.make()
    site.manager.allow(keys.public)
    dealer = strangers.dial(keys)
    dealer.send(encode(Reply(1, bytes(5000))))
    assert strangers.until(dealer, zmq.EVENT_DISCONNECTED) == []
    strangers.close()
    site.close()


# --- damage ----------------------------------------------------------------------------------------------------------


def test_what_can_not_be_read_is_counted_and_passed_over(site: Site, strangers: Strangers) -> None:
    keys = KeyPair.make()
    site.manager.allow(keys.public)
    dealer = strangers.dial(keys)
    for frames in ([b"junk"], [b""], [encode(Heartbeat()), b"more"], [encode(Heartbeat())[:-1]]):
        dealer.send_multipart(frames)
    dealer.send(encode(Heartbeat()))
    assert site.hear(1) == [(keys.public, Heartbeat())]
    assert site.manager.damaged == 4


def test_a_worker_counts_them_too(site: Site) -> None:
    link, key = site.join()
    link.send(Heartbeat())
    site.hear(1)
    site.manager._socket.send_multipart([site.manager._routes[key], b"junk"])
    site.manager.send(key, Welcome())
    assert hear(link, 1) == [Welcome()]
    assert link.damaged == 1


@pytest.mark.parametrize(
    "garbage",
    [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\xff" * 100_000, b"\1\0\5\0text", b"\xff" + bytes(8) + b"\x7f\1\5"],
    ids=["nothing", "HTTP", "zeros", "ones", "ZMTP 1", "ZMTP 2"],
)  # fmt: skip
def test_garbage_from_a_bare_tcp_client_disturbs_nobody(site: Site, garbage: bytes) -> None:
    link, key = site.join()
    with socket.create_connection((HOST, site.manager.port)) as client:
        client.sendall(garbage)
        link.send(Heartbeat())
        assert site.hear(1) == [(key, Heartbeat())]
        assert site.manager.send(key, Welcome())
        assert hear(link, 1) == [Welcome()]
    assert site.manager.damaged == 0
