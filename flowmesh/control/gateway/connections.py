"""Connections between a gateway and its peers: dialling, activation and loss. No I/O.

Of two peers, the one with the smaller name decides which connection is used: it sends Activate on the first on which it
receives the other's Hello. The other sends Hello when it dials, and as the answer to one. A connection is used once: a
lost one is replaced by a new one, so that nothing of the old one can arrive late.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import count
from typing import NamedTuple

from ...wire.link_messages import Activate, AnyLinkMessage, Hello, KeepAlive, LinkMessage
from ...wire.plan_specs import LinkAddress

BEAT = 0.5  # seconds between two KeepAlives
SILENCE = 1.5  # seconds without any sign after which a peer is lost: three KeepAlives
DIAL_BACK = 2.0  # seconds after which the side that prefers to be dialled dials itself
RETRY = 0.25  # seconds that a first attempt may take: the peer may not know our key yet, and deny it
PATIENCE = 2.0  # seconds that further ones may take at most, each twice as long as the one before
PAUSE = 0.1  # seconds after a loss before a side dials: a fault that breaks each connection must not cause a busy loop
SETTLES = 1.0  # seconds in which another Hello is an old one: the peer has not received the Activate yet

Connection = Hashable


class AllowPeer(NamedTuple):
    """Allow this key to connect."""

    key: str


class RevokePeer(NamedTuple):
    """Ignore this key from now on."""

    key: str


class DialPeer(NamedTuple):
    """Dial the peer; the connection has this name. Send Hello on it."""

    peer: str
    connection: int


class HangUp(NamedTuple):
    """Close a connection that this side dialled."""

    connection: Connection


class SendOnConnection(NamedTuple):
    """Send on a connection."""

    connection: Connection
    message: LinkMessage


class LinkUp(NamedTuple):
    """The peer is connected by this connection."""

    peer: str
    connection: Connection


class LinkLost(NamedTuple):
    """The connection in use is lost."""

    peer: str
    text: str


class PeerRemoved(NamedTuple):
    """The peer will not return."""

    peer: str


ConnectionEffect = AllowPeer | RevokePeer | DialPeer | HangUp | SendOnConnection | LinkUp | LinkLost | PeerRemoved


class PeerConnection:
    """One peer."""

    def __init__(self, name: str, link: LinkAddress, dials: bool, now: float) -> None:
        self.name = name
        self.link = link
        self.dials = dials
        self.active: Connection | None = None
        self.up_since = now
        self.down_since = now  # or a little later, when it was lost
        self.heard_at = now
        self.next_keepalive = now
        self.dialling: int | None = None
        self.dialled = now
        self.attempts = 0


class PeerConnections:
    """All peers of one gateway. `name` is its worker's name, `address` its own listening address."""

    def __init__(self, name: str, address: str) -> None:
        self._name = name
        self._address = address
        self._peers: dict[str, PeerConnection] = {}
        self._sources: set[str] = set()  # peers that send to us
        self._targets: set[str] = set()  # peers that we send to
        self._serials = count(1)

    def peer_of(self, key: str) -> str | None:
        """The name of the peer that holds this key."""
        for peer in self._peers.values():
            if peer.link.key == key:
                return peer.name
        return None

    def address_of(self, peer: str) -> LinkAddress:
        return self._peers[peer].link

    def active_connection(self, peer: str) -> Connection | None:
        """The connection in use with a peer."""
        return self._peers[peer].active if peer in self._peers else None

    def add_transfer(self, peer: str, sends: bool, now: float) -> list[ConnectionEffect]:
        """Note a transfer to the peer (`sends`) or from it."""
        (self._targets if sends else self._sources).add(peer)
        if peer in self._peers:
            self._peers[peer].dials = self._dials(peer, self._peers[peer].link)
        return self.tick(now)

    def peers_changed_to(self, links: Mapping[str, LinkAddress], now: float) -> list[ConnectionEffect]:
        """Replace the list of peers and their gateways' addresses."""
        effects: list[ConnectionEffect] = []
        for name, peer in list(self._peers.items()):
            link = links.get(name)
            if link == peer.link:
                continue
            effects += self._lose(peer, "its link was ended" if link is None else "its link was restarted", now)
            effects += [*self._stop_dialling(peer), RevokePeer(peer.link.key)]
            del self._peers[name]
            if link is None:
                effects.append(PeerRemoved(name))
        for name, link in links.items():
            if name not in self._peers and name != self._name:
                self._peers[name] = PeerConnection(name, link, self._dials(name, link), now)
                effects.append(AllowPeer(link.key))
        return effects + self.tick(now)

    def _dials(self, name: str, link: LinkAddress) -> bool:
        """Whether this side dials first: the side that can't be reached from elsewhere; else the source; else the
        smaller name."""
        if _is_loopback(self._address) != _is_loopback(link.address):
            return _is_loopback(self._address)
        if (name in self._targets) != (name in self._sources):
            return name in self._targets
        return self._name < name

    def received_on_connection(
        self, name: str, connection: Connection, said: AnyLinkMessage, now: float
    ) -> list[ConnectionEffect]:
        """Handle a control message that the peer sent on a connection."""
        peer = self._peers[name]
        if connection == peer.active:
            peer.heard_at = now
        elif isinstance(said, Hello) and self._name > name:
            return [] if connection == peer.dialling else [SendOnConnection(connection, Hello())]
        elif isinstance(said, Activate) and self._name > name:
            return self._take(peer, connection, now)
        elif isinstance(said, Hello) and (peer.active is None or now >= peer.up_since + SETTLES):
            return [SendOnConnection(connection, Activate()), *self._take(peer, connection, now)]
        return []

    def data_received(self, name: str, now: float) -> None:
        """Note that data has arrived on the connection in use."""
        self._peers[name].heard_at = now

    def connection_broken(self, name: str, connection: Connection, text: str, now: float) -> list[ConnectionEffect]:
        """Handle a connection that can't be used any more."""
        peer = self._peers.get(name)
        if peer is None or connection != peer.active:
            return [HangUp(connection)]
        return self._lose(peer, text, now) + self.tick(now)

    def tick(self, now: float) -> list[ConnectionEffect]:
        """Handle the passing of time: drop silent peers, dial, send KeepAlives."""
        return [effect for peer in self._peers.values() for effect in self._look_after(peer, now)]

    @property
    def due(self) -> float | None:
        """When `tick` has something to do; None for never."""
        return min((self._due(peer) for peer in self._peers.values()), default=None)

    def _due(self, peer: PeerConnection) -> float:
        if peer.active is not None:
            return min(peer.next_keepalive, peer.heard_at + SILENCE)
        if peer.dialling is not None:
            return self._gives_up(peer)
        return peer.down_since + (0.0 if peer.dials else DIAL_BACK)

    def _gives_up(self, peer: PeerConnection) -> float:
        return peer.dialled + min(RETRY * 2.0 ** (peer.attempts - 1), PATIENCE)

    def _look_after(self, peer: PeerConnection, now: float) -> Iterable[ConnectionEffect]:
        if peer.active is not None and now >= peer.heard_at + SILENCE:
            yield from self._lose(peer, f"nothing was heard for {SILENCE:g} s", now)
        if peer.active is not None:
            if now >= peer.next_keepalive:
                peer.next_keepalive = now + BEAT
                yield SendOnConnection(peer.active, KeepAlive())
            return
        if peer.dialling is not None and now >= self._gives_up(peer):
            yield from self._stop_dialling(peer)
        if peer.dialling is None and now >= self._due(peer):
            peer.dialling = next(self._serials)
            peer.dialled = now
            peer.attempts += 1
            yield DialPeer(peer.name, peer.dialling)

    def _take(self, peer: PeerConnection, connection: Connection, now: float) -> list[ConnectionEffect]:
        effects = self._lose(peer, "the peer has connected anew", now)
        if peer.dialling != connection:
            effects += self._stop_dialling(peer)
        peer.dialling = None
        peer.attempts = 0
        peer.active = connection
        peer.up_since = peer.heard_at = now
        peer.next_keepalive = now + BEAT
        return [*effects, LinkUp(peer.name, connection)]

    def _lose(self, peer: PeerConnection, text: str, now: float) -> list[ConnectionEffect]:
        if peer.active is None:
            return []
        connection, peer.active = peer.active, None
        peer.down_since = now + PAUSE
        return [HangUp(connection), LinkLost(peer.name, text)]

    def _stop_dialling(self, peer: PeerConnection) -> list[ConnectionEffect]:
        dialling, peer.dialling = peer.dialling, None
        return [] if dialling is None else [HangUp(dialling)]


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "localhost")
