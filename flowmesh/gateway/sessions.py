"""Sessions with the gateways of other workers: routes messages between connections and transfers.

A peer may only send messages about transfers between it and us, in their direction; others are counted and ignored. A
damaged message ends the connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from ..control.gateway import connections
from ..control.gateway.connections import Connection, PeerConnections
from ..control.gateway.reassembly import ReceiveBudget
from ..control.gateway.send_scheduler import SendScheduler
from ..errors import ChunkError, LinkError
from ..transport.data_link import DataLink, ReceivedParts
from ..wire import link_messages
from ..wire.messages import LinkNews, LogLine, Message
from ..wire.plan_specs import LinkAddress
from .incoming import IncomingTransfer
from .outgoing import OutgoingTransfer


class PeerSession:
    """One connection that is in use.

    Attributes:
        resumes: the peer's resume positions of transfers that are not known here yet.
        hurry: whether the peer waits for an Ack.
    """

    def __init__(self, peer: str, connection: Connection) -> None:
        self.peer = peer
        self.connection = connection
        self.sending = SendScheduler()
        self.arriving = ReceiveBudget()
        self.resumes: dict[int, int] = {}
        self.told: set[int] = set()  # transfers from the peer whose resume position was sent
        self.hurry = False


class PeerSessions:
    """All peers, and the transfers with them.

    Attributes:
        outgoing, incoming: the transfers by their index.
        refused: the number of ignored messages.
    """

    def __init__(self, worker: str, data: DataLink, say: Callable[[Message], None]) -> None:
        self.outgoing: dict[int, OutgoingTransfer] = {}
        self.incoming: dict[int, IncomingTransfer] = {}
        self.refused = 0
        self._worker = worker
        self._data = data
        self._say = say
        self._linking = PeerConnections(worker, data.own_address.address)
        self._sessions: dict[str, PeerSession] = {}
        self._present: set[str] | None = None  # the present peers, once they are known

    @property
    def due(self) -> float | None:
        """When `tick` has something to do, on the monotonic clock; None for never."""
        return self._linking.due

    @property
    def transfers(self) -> int:
        """The number of transfers."""
        return len(self.outgoing) + len(self.incoming)

    # --- the worker --------------------------------------------------------------------------------------------------

    def peers_changed(self, links: Mapping[str, LinkAddress]) -> None:
        """Replace the list of peers."""
        self._present = set(links)
        self._act(self._linking.peers_changed_to(links, time.monotonic()))
        for outgoing in self.outgoing.values():
            self._look_for(outgoing.transfer.target_worker)
        for incoming in self.incoming.values():
            self._look_for(incoming.transfer.source_worker)

    def add_outgoing(self, outgoing: OutgoingTransfer) -> None:
        transfer = outgoing.transfer
        self.outgoing[transfer.index] = outgoing
        self._act(self._linking.add_transfer(transfer.target_worker, True, time.monotonic()))
        session = self._sessions.get(transfer.target_worker)
        if session is not None and transfer.index in session.resumes:
            outgoing.resume(session.sending, session.resumes.pop(transfer.index))
        self._look_for(transfer.target_worker)

    def add_incoming(self, incoming: IncomingTransfer) -> None:
        transfer = incoming.transfer
        self.incoming[transfer.index] = incoming
        self._act(self._linking.add_transfer(transfer.source_worker, False, time.monotonic()))
        self._look_for(transfer.source_worker)

    def forget(self) -> None:
        """End all transfers."""
        for outgoing in self.outgoing.values():
            outgoing.close()
        for incoming in self.incoming.values():
            incoming.close()
        self.outgoing.clear()
        self.incoming.clear()

    def _look_for(self, peer: str) -> None:
        """Give up a peer that is not among the present ones."""
        if self._present is None or peer in self._present:
            return
        for outgoing in self.outgoing.values():
            if outgoing.transfer.target_worker == peer:
                outgoing.discard("died")
        for incoming in self.incoming.values():
            if incoming.transfer.source_worker == peer:
                incoming.end()

    # --- connections -------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Handle the passing of time."""
        self._act(self._linking.tick(time.monotonic()))

    def _act(self, effects: Iterable[connections.ConnectionEffect]) -> None:
        for effect in effects:
            match effect:
                case connections.AllowPeer(key=key):
                    self._data.allow(key)
                case connections.RevokePeer(key=key):
                    self._data.revoke(key)
                case connections.DialPeer(peer=peer, connection=connection):
                    self._dial(peer, connection)
                case connections.HangUp(connection=connection):
                    self._data.hang_up(connection)
                case connections.SendOnConnection(connection=connection, message=said):
                    self._data.send(connection, [link_messages.encode(said)])
                case connections.LinkUp(peer=peer, connection=connection):
                    self._up(PeerSession(peer, connection))
                case connections.LinkLost(peer=peer, text=text):
                    self._lost(peer, text)

    def _dial(self, peer: str, connection: Connection) -> None:
        try:
            self._data.dial(connection, self._linking.address_of(peer))
            self._data.send(connection, [link_messages.encode(link_messages.Hello())])
        except LinkError as error:  # an invalid address: there is no way to get a better one
            self._say(LogLine("", self._worker, logging.ERROR, str(error)))

    def _up(self, session: PeerSession) -> None:
        self._sessions[session.peer] = session
        self._say(LinkNews(self._worker, session.peer, True))

    def _lost(self, peer: str, text: str) -> None:
        if self._sessions.pop(peer, None) is None:
            return
        for outgoing in self.outgoing.values():
            if outgoing.transfer.target_worker == peer:
                outgoing.link_lost()
        for incoming in self.incoming.values():
            if incoming.transfer.source_worker == peer:
                incoming.link_lost()
        self._say(LinkNews(self._worker, peer, False, text))

    # --- received messages -------------------------------------------------------------------------------------------

    def receive(self) -> None:
        """Handle the messages that wait, and the handshakes of new connections."""
        for heard in self._data.receive():
            peer = self._linking.peer_of(heard.key)
            if peer is None:
                self.refused += 1
                continue
            try:
                self._heard(peer, heard)
            except (LinkError, ChunkError) as error:
                self.refused += 1
                self._break(peer, heard.connection, str(error))

    def _break(self, peer: str, connection: Connection, text: str) -> None:
        self._act(self._linking.connection_broken(peer, connection, text, time.monotonic()))

    def _heard(self, peer: str, heard: ReceivedParts) -> None:
        said, data = link_messages.decode(heard.frames)
        if isinstance(said, link_messages.Hello | link_messages.Activate | link_messages.KeepAlive):
            self._act(self._linking.received_on_connection(peer, heard.connection, said, time.monotonic()))
            return
        session = self._sessions.get(peer)
        if session is None or session.connection != heard.connection:
            return  # a late message, on a connection that was given up
        self._linking.data_received(peer, time.monotonic())
        if isinstance(said, link_messages.EncodedChunk | link_messages.Fragment | link_messages.PacketBatch):
            self._heard_data(session, said, data, sum(map(len, heard.frames)))
        elif isinstance(said, link_messages.Ack):
            session.sending.acknowledge(said.received)
            for index, taken in said.taken.items():
                if (outgoing := self._ours(session, index)) is not None:
                    outgoing.credit(taken)
        elif isinstance(said, link_messages.EndOfTransfer):
            self._heard_end(session, said)
        else:
            self._heard_back(session, said)

    def _heard_data(
        self,
        session: PeerSession,
        said: link_messages.EncodedChunk | link_messages.Fragment | link_messages.PacketBatch,
        data: link_messages.Data,
        size: int,
    ) -> None:
        session.arriving.bytes_received(size)
        incoming = self.incoming.get(said.transfer)
        if incoming is None or incoming.transfer.source_worker != session.peer or said.transfer not in session.told:
            self.refused += 1
        elif incoming.received_from_link(said, data):
            session.hurry = True

    def _heard_end(self, session: PeerSession, said: link_messages.EndOfTransfer) -> None:
        incoming = self.incoming.get(said.transfer)
        if incoming is None or incoming.transfer.source_worker != session.peer:
            self.refused += 1
        else:
            incoming.end()

    def _heard_back(
        self, session: PeerSession, said: link_messages.CloseTransfer | link_messages.ResumeTransfer
    ) -> None:
        if isinstance(said, link_messages.ResumeTransfer) and said.transfer not in self.outgoing:
            session.resumes[said.transfer] = said.arrived
        elif (outgoing := self._ours(session, said.transfer)) is None:
            return
        elif isinstance(said, link_messages.ResumeTransfer):
            outgoing.resume(session.sending, said.arrived)
        else:
            outgoing.discard("after_end")

    def _ours(self, session: PeerSession, index: int) -> OutgoingTransfer | None:
        """The transfer to that peer; None, and counted, if there is none."""
        outgoing = self.outgoing.get(index)
        if outgoing is not None and outgoing.transfer.target_worker == session.peer:
            return outgoing
        self.refused += 1
        if outgoing is not None:
            outgoing.refuse()
        return None

    # --- sent messages -----------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Send all that can be sent now: answers first, then encoded chunks and packet batches."""
        for session in list(self._sessions.values()):
            if not all(self._send(session, [link_messages.encode(said)]) for said in self._answers(session)):
                continue
            while (piece := session.sending.next_segment()) is not None:
                if not self._send(session, [piece.head, piece.data]):
                    break

    def _send(self, session: PeerSession, frames: list[link_messages.Data]) -> bool:
        if self._data.send(session.connection, frames):
            return True
        self._break(session.peer, session.connection, "the connection was closed")
        return False

    def _answers(self, session: PeerSession) -> Iterable[link_messages.LinkMessage]:
        taken: dict[int, int] = {}
        for index, incoming in self.incoming.items():
            if incoming.transfer.source_worker == session.peer:
                yield from self._answers_of(session, index, incoming)
                if (number := incoming.credit()) is not None:
                    taken[index] = number
        confirmed = session.arriving.due_ack(session.hurry or bool(taken))
        session.hurry = False
        if confirmed is not None or taken:
            yield link_messages.Ack(session.arriving.acknowledged, taken)
        for index, outgoing in self.outgoing.items():
            if outgoing.sending is session.sending and outgoing.at_end:
                yield link_messages.EndOfTransfer(index)

    def _answers_of(
        self, session: PeerSession, index: int, incoming: IncomingTransfer
    ) -> Iterable[link_messages.LinkMessage]:
        if index not in session.told:
            if (arrived := incoming.resume()) is None:
                return
            session.told.add(index)
            yield link_messages.ResumeTransfer(index, arrived)
        if incoming.closed:
            yield link_messages.CloseTransfer(index)
