"""Who is registered with the Manager, and who has fallen silent."""

from __future__ import annotations

import logging

from ..wire.messages import Enrol, Enrolment, Heartbeat, Message, Refusal, Registration, Welcome
from ..wire.specs import Host, Versions
from .effects import Allow, ManagerEffect, Note, Send

SILENCE = 1.5  # seconds without a heartbeat after which a worker counts as lost: three of its heartbeats


class Registered:
    """A worker that may be given nodes."""

    def __init__(self, name: str, key: str, pid: int, host: Host, now: float) -> None:
        self.name = name
        self.key = key
        self.pid = pid
        self.host = host
        self.heard_at = now


class Roster:
    """The registered workers, by name."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self.workers: dict[str, Registered] = {}

    def by_key(self, key: str) -> Registered | None:
        return next((worker for worker in self.workers.values() if worker.key == key), None)

    def heard(self, key: str, message: Message, now: float) -> list[ManagerEffect]:
        """A message that concerns joining has come from the holder of `key`; any message proves that it lives."""
        worker = self.by_key(key)
        if worker is not None:
            worker.heard_at = now
        match message:
            case Enrol(key=own):
                return [Allow(own), Send(key, Enrolment())]
            case Registration():
                return self._register(key, message, now)
            case Heartbeat() if worker is not None:
                return [Send(key, Heartbeat())]
            case _:
                return []

    def _register(self, key: str, registration: Registration, now: float) -> list[ManagerEffect]:
        refusal = self._refusal(key, registration)
        if refusal:
            text = f"worker {registration.name!r} was refused: {refusal}"
            return [Send(key, Refusal(reason=refusal)), Note(logging.WARNING, text)]
        self.workers[registration.name] = Registered(registration.name, key, registration.pid, registration.host, now)
        return [Send(key, Welcome()), Note(logging.INFO, f"worker {registration.name!r} registered")]

    def _refusal(self, key: str, registration: Registration) -> str:
        there = self.workers.get(registration.name)
        if there is not None and there.key != key:
            return f"a worker named {registration.name!r} is registered already: choose another name"
        ours, theirs = self._versions, registration.versions
        if theirs.flowmesh != ours.flowmesh:
            return f"it runs flowmesh {theirs.flowmesh}, the Manager {ours.flowmesh}: install the same version on both"
        if theirs.python != ours.python:
            return f"it runs Python {theirs.python}, the Manager {ours.python}: code can't be shipped between them"
        return ""

    def departed(self, worker: Registered) -> None:
        """A worker leaves in order."""
        self.workers.pop(worker.name, None)

    def silent(self, now: float) -> list[Registered]:
        """The workers that have been silent for too long; they are registered no more."""
        lost = [worker for worker in self.workers.values() if now - worker.heard_at > SILENCE]
        for worker in lost:
            del self.workers[worker.name]
        return lost
