"""One edge of a node's output: what waits to be sent, what is lent, what the consumer has taken.

On a lossless edge a chunk waits for room in the window; on a lossy one, what the consumer has not yet read is taken back
to make room. Marks are never dropped and take no room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ..channel.packets import End, PeerGone
from ..channel.page import REASON_CELL, Page
from ..control.delivery import Window
from ..wire import framing
from ..wire.messages import EdgeEnd


class Lender(Protocol):
    """What a slot belongs to: an arena of ours, or what was received and is passed on."""

    ident: int
    slots: int
    slot_size: int
    descriptor: int
    bell: int
    door: int

    def memory(self, slot: int) -> memoryview: ...

    def give_back(self, slot: int) -> None: ...


Lent = tuple[Lender, int]


class Parcel(NamedTuple):
    """Something to send: a chunk (number > 0), or a mark. `lent` is the slot that the chunk lies in."""

    packet: bytes
    number: int = 0
    lent: Lent | None = None
    progress: bool = False


class OutEdge:
    """One edge of the output. `receiving`, of a lossy edge, is a duplicate of the consumer's end."""

    def __init__(
        self,
        spec: EdgeEnd,
        end: End,
        receiving: End | None,
        page: Page,
        block: int,
    ) -> None:
        self.spec = spec
        self.end = end
        self.window = Window(spec.depth, spec.slots)
        self.lossless = receiving is None
        self.gone = False
        self.closed = False
        self.backlog: deque[Parcel] = deque()
        self._receiving = receiving
        self._cells = page.cells
        self._block = block
        self._lent: dict[int, Lent] = {}
        self._announced: set[int] = set()

    @property
    def wants_room(self) -> bool:
        """Whether the kernel's buffer, not the window, is what holds the backlog back."""
        if not self.backlog:
            return False
        first = self.backlog[0]
        return not first.number or not self.lossless or self.window.has_room(first.lent is not None)

    def offer(self, packet: bytes, number: int, lent: Lent | None, size: int) -> bool:
        """Send a chunk, or keep it as backlog until there is room; whether the edge needs to be looked after."""
        cells = self._cells
        cells[self._block] += 1
        cells[self._block + 1] += size
        ready = not (self.backlog or self.gone or self.closed) and self.lossless and lent is None
        if ready and self.window.has_room_for(number):
            try:
                if self.end.send(packet):
                    self.window.sent = number
                    return False
            except PeerGone:
                self._peer_gone()
        self._offer(Parcel(packet, number, lent))
        return bool(self.backlog) or self.closed

    def _offer(self, parcel: Parcel) -> None:
        if self.closed or self.gone:
            self._drop(parcel, "after_end" if self.closed else "died")
            return
        if self._receiving is not None:
            self._make_room(self._receiving)
        self.backlog.append(parcel)
        self.flush()

    def mark(self, packet: bytes, done: bool) -> None:
        """Send a mark behind all chunks; it takes no room in the window. One of progress replaces one that waits."""
        if self.gone:
            return
        if done and self.backlog and self.backlog[-1].progress:
            self.backlog.pop()
        self.backlog.append(Parcel(packet, progress=done))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as window and kernel allow."""
        try:
            self._send_backlog()
            if self.closed and self.backlog:
                self._drop_backlog("after_end")
                self._send_backlog()
        except PeerGone:
            self._peer_gone()

    def _send_backlog(self) -> None:
        backlog, window = self.backlog, self.window
        while backlog:
            parcel = backlog[0]
            lent = parcel.lent
            if parcel.number and self.lossless and not window.has_room(lent is not None):
                self._collect()
                if not window.has_room(lent is not None) or self.closed:
                    return
            if lent is not None and not self._announce(lent[0]):
                return
            if not self.end.send(parcel.packet):
                return
            backlog.popleft()
            if parcel.number:
                window.send(parcel.number, lent is not None)
                if lent is not None:
                    self._lent[parcel.number] = lent

    def collect(self) -> None:
        """Read the credit that has come back."""
        try:
            self._collect()
        except PeerGone:
            self._peer_gone()

    def _collect(self) -> None:
        while (packet := self.end.receive()) is not None:
            message = framing.decode(packet)
            if isinstance(message, framing.Close):
                self.closed = True
            elif isinstance(message, framing.Credit):
                for number in self.window.credit(message.taken):
                    self._return(number)

    def _make_room(self, receiving: End) -> None:
        """Take back the oldest chunks beyond depth - 1; marks and what is kept are sent again, in order."""
        self.collect()
        waiting = [*self._take_back(receiving), *self.backlog]
        self.backlog.clear()
        surplus = sum(parcel.number > 0 for parcel in waiting) - (self.spec.depth - 1)
        for parcel in waiting:
            if parcel.number and surplus > 0:
                surplus -= 1
                self._drop(parcel, "superseded" if self.spec.policy == "latest" else "oldest")
            else:
                self.backlog.append(parcel)

    def _take_back(self, receiving: End) -> Iterator[Parcel]:
        while (packet := receiving.receive()) is not None:
            message = framing.decode(packet)
            if isinstance(message, framing.CHUNKS):
                self.window.withdraw(message.number)
                yield Parcel(packet, message.number, self._lent.pop(message.number, None))
            elif isinstance(message, framing.Mark):
                yield Parcel(packet)
            elif isinstance(message, framing.Announce | framing.Descriptor):  # its files are closed: announced anew
                self._announced.discard(message.arena)

    def _announce(self, arena: Lender) -> bool:
        """Send an arena's files, unless the consumer has them; whether it has now. A half is sent again with the other."""
        if arena.ident in self._announced:
            return True
        head = framing.Announce(arena=arena.ident, slots=arena.slots, slot_size=arena.slot_size)
        if not self.end.send(framing.encode(head)):
            return False
        rights = framing.encode(framing.Descriptor(arena=arena.ident))
        if not self.end.send(rights, (arena.descriptor, arena.bell, arena.door)):
            return False
        self._announced.add(arena.ident)
        return True

    def _drop(self, parcel: Parcel, reason: str) -> None:
        self._cells[self._block + REASON_CELL[reason]] += 1
        self.window.withdraw(parcel.number)
        if parcel.lent is not None:
            self._lent.pop(parcel.number, None)
            parcel.lent[0].give_back(parcel.lent[1])

    def _drop_backlog(self, reason: str) -> None:
        """Drop the chunks that wait; marks stay, as long as there is somebody to read them."""
        waiting, self.backlog = self.backlog, deque()
        for parcel in waiting:
            if parcel.number:
                self._drop(parcel, reason)
            elif not self.gone:
                self.backlog.append(parcel)

    def _return(self, number: int) -> None:
        lent = self._lent.pop(number, None)
        if lent is not None:
            lent[0].give_back(lent[1])

    def _peer_gone(self) -> None:
        self.gone = True
        self._drop_backlog("died")
        for number in list(self._lent):
            self._return(number)
