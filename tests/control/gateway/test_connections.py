"""Which connection is used: Machines joined by a list of what was said, in a world where connections break."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmesh.control.gateway import connections
from flowmesh.control.gateway.connections import (
    BEAT,
    DIAL_BACK,
    PATIENCE,
    PAUSE,
    RETRY,
    SETTLES,
    SILENCE,
    AllowPeer,
    DialPeer,
    HangUp,
    LinkLost,
    LinkUp,
    PeerConnections,
    PeerRemoved,
    RevokePeer,
    SendOnConnection,
)
from flowmesh.wire.link_messages import Activate, Hello, KeepAlive
from flowmesh.wire.plan_specs import LinkAddress

A = LinkAddress("key of a", "10.0.0.1", 1)
B = LinkAddress("key of b", "10.0.0.2", 2)


def a_knows_b(
    sends: bool = True, own: str = "10.0.0.1", other: LinkAddress = B
) -> tuple[PeerConnections, list[connections.ConnectionEffect]]:
    machine = PeerConnections("a", own)
    machine.add_transfer("b", sends, 0.0)
    return machine, machine.peers_changed_to({"a": A, "b": other}, 0.0)


def b_knows_a() -> PeerConnections:
    machine = PeerConnections("b", "10.0.0.2")
    machine.add_transfer("a", False, 0.0)
    assert machine.peers_changed_to({"a": A}, 0.0) == [AllowPeer(A.key)]
    return machine


def test_the_source_dials_and_the_target_waits_before_it_dials_back() -> None:
    machine, effects = a_knows_b(sends=True)
    assert effects == [AllowPeer(B.key), DialPeer("b", 1)]
    assert (machine.peer_of(B.key), machine.peer_of("another"), machine.address_of("b")) == ("b", None, B)
    machine, effects = a_knows_b(sends=False)
    assert effects == [AllowPeer(B.key)]
    assert machine.due == DIAL_BACK
    assert machine.tick(DIAL_BACK - 0.01) == []
    assert machine.tick(DIAL_BACK) == [DialPeer("b", 1)]


def test_of_two_that_send_to_each_other_the_smaller_name_dials() -> None:
    machine, _ = a_knows_b(sends=False)
    assert machine.add_transfer("b", True, 0.1) == [DialPeer("b", 1)]
    other = b_knows_a()
    assert other.add_transfer("a", True, 0.1) == []


@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1", "localhost"])
def test_whoever_can_not_be_reached_from_elsewhere_dials(loopback: str) -> None:
    assert a_knows_b(sends=False, own=loopback)[1] == [AllowPeer(B.key), DialPeer("b", 1)]
    assert a_knows_b(sends=True, other=LinkAddress("key", loopback, 1))[1] == [AllowPeer("key")]


def test_what_is_not_up_in_time_is_dialled_anew_and_more_patiently() -> None:
    machine, _ = a_knows_b()
    now, serial = 0.0, 1
    for patience in (RETRY, 2 * RETRY, 4 * RETRY, PATIENCE, PATIENCE):
        assert machine.due == now + patience
        now += patience
        assert machine.tick(now) == [HangUp(serial), DialPeer("b", serial + 1)]
        serial += 1


def test_the_smaller_name_decides() -> None:
    machine, _ = a_knows_b()
    assert machine.received_on_connection("b", 1, KeepAlive(), 0.1) == []
    assert machine.received_on_connection("b", 1, Activate(), 0.1) == []
    assert machine.received_on_connection("b", 1, Hello(), 0.2) == [SendOnConnection(1, Activate()), LinkUp("b", 1)]
    assert (machine.active_connection("b"), machine.active_connection("nobody")) == (1, None)
    other = b_knows_a()
    assert other.received_on_connection("a", b"in", Hello(), 0.1) == [SendOnConnection(b"in", Hello())]
    assert other.received_on_connection("a", b"in", Activate(), 0.2) == [LinkUp("a", b"in")]
    assert other.received_on_connection("a", b"in", Activate(), 0.3) == []


def test_who_has_dialled_in_vain_hangs_up_when_the_other_was_quicker() -> None:
    machine, _ = a_knows_b()
    assert machine.received_on_connection("b", b"in", Hello(), 0.1) == [
        SendOnConnection(b"in", Activate()),
        HangUp(1),
        LinkUp("b", b"in"),
    ]
    other = b_knows_a()
    assert other.tick(DIAL_BACK) == [DialPeer("a", 1)]
    assert other.received_on_connection("a", 1, Hello(), DIAL_BACK) == []
    assert other.received_on_connection("a", 1, Activate(), DIAL_BACK) == [LinkUp("a", 1)]


def test_beats_are_said_and_missed() -> None:
    machine, _ = a_knows_b()
    machine.received_on_connection("b", 1, Hello(), 1.0)
    assert machine.due == 1.0 + BEAT
    assert machine.tick(1.0 + BEAT) == [SendOnConnection(1, KeepAlive())]
    machine.received_on_connection("b", 1, KeepAlive(), 2.0)
    machine.data_received("b", 2.1)
    assert machine.tick(2.1) == [SendOnConnection(1, KeepAlive())]
    assert machine.tick(2.1 + SILENCE) == [HangUp(1), LinkLost("b", "nothing was heard for 1.5 s")]
    assert machine.due == 2.1 + SILENCE + PAUSE
    assert machine.tick(machine.due) == [DialPeer("b", 2)]


def test_a_hello_on_another_connection_is_believed_when_it_can_not_be_an_old_one() -> None:
    machine, _ = a_knows_b()
    machine.received_on_connection("b", 1, Hello(), 0.0)
    assert machine.received_on_connection("b", b"in", Hello(), SETTLES - 0.1) == []
    assert machine.received_on_connection("b", b"in", Hello(), SETTLES) == [
        SendOnConnection(b"in", Activate()),
        HangUp(1),
        LinkLost("b", "the peer has connected anew"),
        LinkUp("b", b"in"),
    ]


def test_a_connection_that_is_broken_is_lost_at_once() -> None:
    machine, _ = a_knows_b()
    machine.received_on_connection("b", 1, Hello(), 0.0)
    assert machine.connection_broken("b", 7, "damaged", 0.1) == [HangUp(7)]
    assert machine.connection_broken("nobody", 7, "damaged", 0.1) == [HangUp(7)]
    assert machine.connection_broken("b", 1, "damaged", 0.1) == [HangUp(1), LinkLost("b", "damaged")]
    assert machine.tick(0.1 + PAUSE) == [DialPeer("b", 2)]


def test_a_link_that_was_restarted_has_another_key() -> None:
    machine, _ = a_knows_b()
    machine.received_on_connection("b", 1, Hello(), 0.0)
    assert machine.peers_changed_to({"b": B}, 0.1) == []
    new = LinkAddress("new key", "10.0.0.2", 3)
    assert machine.peers_changed_to({"b": new}, 0.2) == [
        HangUp(1),
        LinkLost("b", "its link was restarted"),
        RevokePeer(B.key),
        AllowPeer("new key"),
        DialPeer("b", 2),
    ]
    assert machine.peers_changed_to({}, 0.3) == [HangUp(2), RevokePeer("new key"), PeerRemoved("b")]
    assert machine.due is None


class World:
    """Two links. Each connection has two ends; what is said on it comes later, or never when it was cut."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self.now = 0.0
        self.choose = choose
        self.machines = {"a": PeerConnections("a", "10.0.0.1"), "b": PeerConnections("b", "10.0.0.2")}
        self.ways: list[tuple[str, object, object]] = []  # who, its name of a connection, the other's name of it
        self.said: list[tuple[str, object, object]] = []  # to whom, on which connection, what
        self.up: dict[str, object] = {"a": None, "b": None}
        for name, peer, link in (("a", "b", B), ("b", "a", A)):
            self.act(name, self.machines[name].add_transfer(peer, True, 0.0))
            self.act(name, self.machines[name].add_transfer(peer, False, 0.0))
            self.act(name, self.machines[name].peers_changed_to({peer: link}, 0.0))

    def act(self, name: str, effects: list[connections.ConnectionEffect]) -> None:
        other = "b" if name == "a" else "a"
        for effect in effects:
            match effect:
                case DialPeer(connection=connection):
                    self.ways += [(name, connection, (name, connection)), (other, (name, connection), connection)]
                    self.say(name, connection, Hello())
                case HangUp(connection=connection):
                    self.cut(name, connection)
                case SendOnConnection(connection=connection, message=said):
                    self.say(name, connection, said)
                case LinkUp(connection=connection):
                    assert self.up[name] is None
                    self.up[name] = connection
                case LinkLost():
                    assert self.up[name] is not None
                    self.up[name] = None
                case _:
                    assert isinstance(effect, AllowPeer)

    def say(self, name: str, connection: object, said: object) -> None:
        for who, own, others in self.ways:
            if (who, own) == (name, connection):
                self.said.append(("b" if name == "a" else "a", others, said))

    def cut(self, name: str, connection: object) -> None:
        ends = [(who, own, others) for who, own, others in self.ways if (who, own) == (name, connection)]
        for who, own, others in ends:
            other = "b" if who == "a" else "a"
            self.ways = [way for way in self.ways if way[:2] not in ((who, own), (other, others))]
            self.said = [one for one in self.said if one[:2] not in ((who, own), (other, others))]

    def step(self) -> None:
        """Something that was said comes: of each connection, in order."""
        firsts = list({said[:2]: said for said in reversed(self.said)}.values())
        if firsts:
            who, connection, said = firsts[self.choose(len(firsts))]
            self.said.remove((who, connection, said))
            peer = "b" if who == "a" else "a"
            self.act(who, self.machines[who].received_on_connection(peer, connection, said, self.now))  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for name, machine in self.machines.items():
            self.act(name, machine.tick(self.now))


@settings(max_examples=200)
@given(st.data())
def test_two_find_each_other_whatever_breaks(data: st.DataObject) -> None:
    """After the last break both are up on the same connection within a bounded time, and stay so."""
    world = World(lambda count: data.draw(st.integers(0, count - 1)))
    for _ in range(data.draw(st.integers(0, 40))):
        act = data.draw(st.sampled_from(["step", "step", "step", "time", "cut"]))
        if act == "step":
            world.step()
        elif act == "time":
            world.pass_time(data.draw(st.sampled_from([0.01, 0.3, 1.0])))
        elif world.ways:
            world.cut(*world.ways[data.draw(st.integers(0, len(world.ways) - 1))][:2])
    for _ in range(100):
        world.pass_time(0.1)
        while world.said:
            world.step()
    one, other = world.up["a"], world.up["b"]
    assert one is not None
    assert (one, other) in [(own, others) for who, own, others in world.ways if who == "a"]
