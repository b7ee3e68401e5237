"""The producer's end of edges to another host. At the other end is the gateway, which may die and be replaced.

Chunks of a lossless edge are kept until the remote consumers have taken them: the gateway has the only copy of nothing.
A gateway that has lost its connection, or a new one, asks for them again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ..channel.counters import CounterPage
from ..channel.packet_socket import PacketSocket
from ..wire import packets
from ..wire.messages import EdgeEnd
from .output_edge import OutputEdge, QueuedPacket


class RemoteOutputEdge(OutputEdge):
    """A lossless one. The slots of kept chunks stay lent, and credit comes from the remote consumers only."""

    def __init__(
        self, spec: EdgeEnd, end: PacketSocket, receiving: PacketSocket | None, page: CounterPage, block: int
    ) -> None:
        super().__init__(spec, end, receiving, page, block)
        self._until = 0  # so that every chunk passes here
        self._kept: deque[QueuedPacket] = deque()  # sent packets, in order; only markers that may not have arrived
        self._asked: int | None = None
        self._barrier = b""  # says where the newest repetition begins

    def rewire(self, end: PacketSocket, receiving: PacketSocket | None = None) -> None:
        """Replace the channel by that to a new gateway, which has no state."""
        self.collect()
        self.end.close()
        self.end = end
        self.gone = False
        self._announced.clear()
        self._asked = self.window.taken
        self.flush()

    def send_marker(self, packet: bytes, done: bool) -> None:
        if not self.gone:
            return super().send_marker(packet, done)
        if done and self.backlog and self.backlog[-1].progress:
            self.backlog.pop()
        self.backlog.append(QueuedPacket(packet, progress=done))

    def flush(self) -> None:
        asked = True
        while asked:
            if self._asked is not None:
                self._begin_again(max(self._asked, self.window.taken))
            super().flush()
            asked = self._asked is not None  # meanwhile
        self._until = 0

    def _offer(self, parcel: QueuedPacket) -> None:
        if self.gone and not self.closed:
            self.backlog.append(parcel)
        else:
            super()._offer(parcel)

    def _went(self, parcel: QueuedPacket) -> None:
        super()._went(parcel)
        if parcel.progress and self._kept and self._kept[-1].progress:
            self._kept.pop()
        if parcel.packet is not self._barrier:
            self._kept.append(parcel)

    def _credit(self, taken: int) -> None:
        super()._credit(taken)
        for _ in range(self._behind(taken)):
            self._kept.popleft()

    def _behind(self, number: int) -> int:
        """How many of the kept packets have arrived if that chunk has."""
        behind = 0
        for index, parcel in enumerate(self._kept):
            if parcel.number > number:
                break
            if parcel.number:
                behind = index + 1
        return behind

    def _resume(self, arrived: int) -> None:
        self._asked = arrived  # done by the next flush: something may be half sent

    def _begin_again(self, arrived: int) -> None:
        """Send again what follows that number, before all that waits."""
        self._asked = None
        behind = self._behind(arrived)
        again = list(self._kept)[behind:]
        for _ in again:
            self._kept.pop()
        self.window.withdraw_beyond(arrived)
        waiting = [parcel for parcel in self.backlog if parcel.packet is not self._barrier]
        self._barrier = packets.encode(packets.ResumeAfter(arrived))
        self.backlog = deque([QueuedPacket(self._barrier), *again, *waiting])

    def _peer_gone(self) -> None:
        self.gone = True  # until it is replaced; nothing is lost


class LossyRemoteOutputEdge(OutputEdge):
    """A lossy one. Packets that a gateway has taken die with it; those it had not taken yet, and the newest markers, go
    to its replacement."""

    def __init__(
        self, spec: EdgeEnd, end: PacketSocket, receiving: PacketSocket | None, page: CounterPage, block: int
    ) -> None:
        super().__init__(spec, end, receiving, page, block)
        self._marks: dict[bool, QueuedPacket] = {}
        self._out: deque[int] = deque()  # numbers that were sent to the gateway and have no credit yet

    def rewire(self, end: PacketSocket, receiving: PacketSocket | None = None) -> None:
        """Replace the channel, as in RemoteOutputEdge."""
        assert self._receiving is not None
        self.collect()
        waiting = [*self._take_back(self._receiving), *self.backlog]
        for number in self._out:
            self._drop(QueuedPacket(b"", number, self._lent.get(number)), "died")
        self._out.clear()
        self.end.close()
        self._receiving.close()
        self.end, self._receiving = end, receiving
        self._announced.clear()
        self.backlog = deque([*(parcel for parcel in waiting if parcel.number), *self._marks.values()])
        self.flush()

    def _went(self, parcel: QueuedPacket) -> None:
        super()._went(parcel)
        if parcel.number:
            self._out.append(parcel.number)

    def _credit(self, taken: int) -> None:
        super()._credit(taken)
        while self._out and self._out[0] <= taken:
            self._out.popleft()

    def _take_back(self, receiving: PacketSocket) -> Iterator[QueuedPacket]:
        for parcel in super()._take_back(receiving):
            if parcel.number in self._out:  # not, if credit for a later one came while it was taken back and sent again
                self._out.remove(parcel.number)
            yield parcel

    def send_marker(self, packet: bytes, done: bool) -> None:
        self._marks.pop(done, None)
        self._marks[done] = QueuedPacket(packet, progress=done)
        super().send_marker(packet, done)
