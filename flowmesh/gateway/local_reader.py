"""The gateway's end of a producer's channel: raw packets, and views of the slots that they name.

Nothing is leased here: no credit is given for a chunk while its slot is needed, so that the producer keeps it.
"""

from __future__ import annotations

from collections import deque

from ..channel.arena import ArenaView
from ..channel.message_socket import close_all
from ..channel.packet_socket import PacketSocket, PeerGone
from ..errors import ChunkError
from ..wire import link_messages, packets

_SHORT = 0x94  # the first byte of an array of four: announcements and packets with files have no more, chunks do


class LocalReader:
    """The gateway's end of one producer's channel.

    Attributes:
        views: the arenas that were announced, by their ids.
        gone: whether the producer has gone and all was read, or this end is closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._end = PacketSocket(descriptor)
        self._announced: packets.ArenaAnnouncement | None = None
        self._unsent: deque[packets.Packet] = deque()  # packets to the producer for which there was no room
        self.views: dict[int, ArenaView] = {}
        self.gone = False

    def fileno(self) -> int:
        return self._end.fileno()

    def next_packet(self) -> bytes | None:
        """The next packet that is not about arenas; None when none waits."""
        try:
            while True:
                packet = self._end.receive() if self._announced is None else self._with_files(self._announced)
                if packet is None or packet[0] > _SHORT:
                    return packet
                tag = link_messages.kind(packet)
                if tag == link_messages.ANNOUNCE:
                    announced = packets.decode(packet)
                    self._announced = announced if isinstance(announced, packets.ArenaAnnouncement) else None
                elif tag != link_messages.DESCRIPTOR:
                    return packet
        except PeerGone:
            self.gone = True
            return None

    def _with_files(self, announced: packets.ArenaAnnouncement) -> bytes | None:
        """The packet after an announcement; it carries the arena's files, unless a lossy producer took it back."""
        received = self._end.receive_with_descriptors()
        if received is None:
            return None
        packet, files = received
        self._announced = None
        if len(files) == 3 and announced.arena not in self.views:
            for old in [view for view in self.views.values() if view.retired]:
                self.views.pop(old.ident).close()
            file, bell, door = files
            view = ArenaView(announced.arena, file, bell, door, announced.slot_size, announced.slots)
            self.views[view.ident] = view
        else:
            close_all(files)
        return packet

    def memory(self, chunk: link_messages.ChunkHeader | packets.LongPacket) -> memoryview:
        """The used bytes of the chunk's slot.

        Raises:
            ChunkError: its arena was not announced, or has no such slot.
        """
        if chunk.arena not in self.views:
            raise ChunkError(f"a chunk names the arena {chunk.arena}, which was not announced")
        used = chunk.size if isinstance(chunk, link_messages.ChunkHeader) else chunk.offset + chunk.size
        return self.views[chunk.arena].memory(chunk.slot, used)

    def credit(self, number: int) -> None:
        """Tell the producer that all up to this number was taken."""
        self._tell(packets.Credit(0, 0, number, number))

    def close_edge(self) -> None:
        """Tell the producer that no more is taken."""
        self._tell(packets.CloseEdge())

    def resume(self, arrived: int) -> None:
        """Ask the producer to send again what follows this number."""
        self._tell(packets.ResumeAfter(arrived))

    def _tell(self, message: packets.Packet) -> None:
        if self.gone:
            return
        if self._unsent and isinstance(message, packets.Credit) and isinstance(self._unsent[-1], packets.Credit):
            self._unsent.pop()
        self._unsent.append(message)
        self.flush()

    @property
    def wants_room(self) -> bool:
        """Whether a packet waits because the kernel had no room."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Send the packets that wait."""
        try:
            while self._unsent and self._end.send(packets.encode(self._unsent[0])):
                self._unsent.popleft()
        except PeerGone:  # what it has sent can still be read
            self._unsent.clear()

    def close(self) -> None:
        self.gone = True
        self._unsent.clear()
        self._end.close()
        for view in self.views.values():
            view.close()
