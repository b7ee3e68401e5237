"""The Manager's end of all sessions about tasks. It wires the jobs Machine to them; `tick` gives what is to be sent. No I/O.

A worker's session begins anew, with a higher epoch, each time that it registers; a client's lasts as long as its key.
"""

from __future__ import annotations

from math import inf

from ...errors import LinkError
from ...wire.capacity import Capacity
from ...wire.messages import TaskPacket
from ..manager.effects import SendToPeer
from .machine import JobsMachine
from .queue import SendJobMessage
from .session import Session


class JobsHub:
    """All peers that speak of tasks.

    Attributes:
        machine: decides about tasks.
        damaged: packets that could not be read.
    """

    def __init__(self) -> None:
        self.machine = JobsMachine()
        self.damaged = 0
        self._sessions: dict[str, Session] = {}
        self._changed: set[str] = set()
        self._epochs = 0

    def worker_joined(self, name: str, key: str, capacity: Capacity, now: float) -> None:
        """A worker has registered. What it ran for us before is lost."""
        self._put(self.machine.worker_left(key, now))
        if capacity.slots:
            self._epochs += 1
            self._sessions[key] = Session(self._epochs)
        self._put(self.machine.worker_joined(name, key, capacity, now))

    def worker_left(self, key: str, now: float) -> None:
        """A worker has left or is lost."""
        self._sessions.pop(key, None)
        self._put(self.machine.worker_left(key, now))

    def client_left(self, key: str, now: float) -> None:
        """A client has left or is lost."""
        self._sessions.pop(key, None)
        self._put(self.machine.client_left(key, now))

    def received(self, key: str, packet: TaskPacket, now: float) -> None:
        """A packet from a registered worker, or from a client, which may submit."""
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = Session(packet.epoch)
        self._changed.add(key)
        try:
            messages = session.received(packet, now)
        except LinkError:
            self.damaged += 1
            return
        said = self.machine.worker_said if key in self.machine.workers else self.machine.client_said
        for message in messages:
            self._put(said(key, message, now))

    def _put(self, effects: list[SendJobMessage]) -> None:
        for effect in effects:
            if (session := self._sessions.get(effect.key)) is not None:
                session.put(effect.message)
                self._changed.add(effect.key)

    @property
    def due(self) -> float:
        """When `tick` has something to do; infinity for never."""
        if self._changed:
            return -inf
        return min([self.machine.due, *(session.due for session in self._sessions.values())], default=inf)

    def tick(self, now: float) -> list[SendToPeer]:
        """Time has passed, or something has happened: what is to be sent, in as few packets as can be."""
        self._put(self.machine.tick(now))
        self._changed.update(key for key, session in self._sessions.items() if session.due <= now)
        packets = []
        for key in sorted(self._changed):
            if (session := self._sessions.get(key)) is not None:
                packets += [SendToPeer(key, packet) for packet in session.packets(now)]
        self._changed.clear()
        return packets
