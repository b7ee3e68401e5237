"""The producer's end of edges to another host. At the other end is the link's process, which may die and be replaced.

What goes that way without loss is kept until the far consumers have taken it: the link holds nothing that matters. Whoever
asks for it (a link that has lost its connection, or a new one) is sent it again.
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
    """A lossless one. The slots of what is kept stay lent, and credit comes from the far consumers alone."""

    def __init__(
        self, spec: EdgeEnd, end: PacketSocket, receiving: PacketSocket | None, page: CounterPage, block: int
    ) -> None:
        super().__init__(spec, end, receiving, page, block)
        self._until = 0  # so that every chunk comes by here
        self._kept: deque[QueuedPacket] = deque()  # what was sent, in order; marks as far as they may not have arrived
        self._asked: int | None = None
        self._barrier = b""  # says where the newest repetition begins

    def rewire(self, end: PacketSocket, receiving: PacketSocket | None = None) -> None:
        """The link was replaced: this is the channel to the new one, which knows nothing."""
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
        """How much of what is kept has arrived if that chunk has."""
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
        """Send again what is behind that number, before all that waits."""
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
    """A lossy one. What a link has taken dies with it; what it had not taken yet, and the newest marks, go to the one that
    replaces it."""

    def __init__(
        self, spec: EdgeEnd, end: PacketSocket, receiving: PacketSocket | None, page: CounterPage, block: int
    ) -> None:
        super().__init__(spec, end, receiving, page, block)
        self._marks: dict[bool, QueuedPacket] = {}
        self._out: deque[int] = deque()  # numbers of what the link has been sent and given no credit for

    def rewire(self, end: PacketSocket, receiving: PacketSocket | None = None) -> None:
        """As LinkedOutEdge's."""
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
