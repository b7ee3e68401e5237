"""Registry of the Manager's workers, and detection of silent ones. A worker is identified by its key. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from ...errors import GraphError
from ...node import check_name
from ...wire.fingerprints import fingerprint
from ...wire.messages import Enroll, Enrollment, Heartbeat, Message, Refusal, Registration, Welcome
from ...wire.plan_specs import Host, Versions
from ..effect import Log
from ..manager.effects import ManagerEffect, SendClock, SendToPeer
from .tokens import TokenRegistry

SILENCE = 1.5  # seconds without a heartbeat after which a worker counts as lost: three of its heartbeats

Approve = Callable[[str, str], bool]


def everybody(name: str, key: str) -> bool:
    """Admit every holder of an accepted key."""
    return True


class RegisteredWorker:
    """A worker that may be given nodes."""

    def __init__(self, registration: Registration, key: str, now: float) -> None:
        self.name = registration.name
        self.key = key
        self.pid = registration.pid
        self.host: Host = registration.host
        self.id = registration.id
        self.pickle = registration.pickle
        self.life = registration.life
        self.heard_at = now


class WorkerRegistry:
    """The registered workers, by name; and the tokens with which others can join.

    Args:
        versions: the Manager's versions: the workers must have the same.
        standing: the keys that may enroll workers without a token.
        admit: decides last whether the holder of a key may register under a name.
        kept: keys that earlier Managers have accepted permanently, with their names.
    """

    def __init__(
        self,
        versions: Versions,
        standing: frozenset[str] = frozenset(),
        admit: Approve = everybody,
        kept: Mapping[str, str] | None = None,
    ) -> None:
        self._versions = versions
        self._admit = admit
        self.tokens = TokenRegistry(standing, kept or {})
        self.workers: dict[str, RegisteredWorker] = {}

    def by_key(self, key: str) -> RegisteredWorker | None:
        return next((worker for worker in self.workers.values() if worker.key == key), None)

    def take_predecessor(self, key: str, registration: Registration) -> RegisteredWorker | None:
        """The worker that had this key before, if another process holds the key now: it is registered no more."""
        worker = self.by_key(key)
        if worker is None or worker.life == registration.life:
            return None
        return self.workers.pop(worker.name)

    def send_to_workers(self, names: Iterable[str], message: Message) -> list[ManagerEffect]:
        """Send to those of these workers that are still registered."""
        return [SendToPeer(self.workers[name].key, message) for name in names if name in self.workers]

    def received_from_worker(self, key: str, message: Message, now: float) -> list[ManagerEffect]:
        """Handle a message about joining from the holder of `key`; any message proves that it is alive."""
        worker = self.by_key(key)
        if worker is not None:
            worker.heard_at = now
        match message:
            case Enroll(key=own):
                return self._enrol(key, own, now)
            case Registration():
                return self._register(key, message, now)
            case Heartbeat(sent=sent) if worker is not None:
                return [SendClock(key, sent)]
            case _:
                return []

    def _enrol(self, key: str, own: str, now: float) -> list[ManagerEffect]:
        effects = self.tokens.redeem(key, own, now)
        if effects is None:
            return [SendToPeer(key, Refusal("this key may not enrol others")), Log(logging.WARNING, _cheat(key))]
        return [
            SendToPeer(key, Enrollment(self.tokens.keeps(key))),
            *effects,
        ]  # the answer first: nothing is sent to a revoked token

    def _register(self, key: str, registration: Registration, now: float) -> list[ManagerEffect]:
        name = registration.name
        refusal = self._refusal(key, registration)
        if refusal:
            text = f"worker {name!r} was refused: {refusal}"
            return [SendToPeer(key, Refusal(reason=refusal)), Log(logging.WARNING, text)]
        self.workers[name] = RegisteredWorker(registration, key, now)
        keep = self.tokens.key_registered(key, name)
        return [SendToPeer(key, Welcome()), *keep, Log(logging.INFO, f"worker {name!r} registered")]

    def _refusal(self, key: str, registration: Registration) -> str:
        """The reason why it may not register; empty if it may."""
        name = registration.name
        try:
            check_name(name)
        except GraphError as error:
            return str(error)
        if key in self.tokens:
            return "it has not handed in a key of its own"
        return self._taken(key, name) or self._unlike(registration.versions) or self._unwanted(key, name)

    def _taken(self, key: str, name: str) -> str:
        there, under = self.workers.get(name), self.by_key(key)
        if there is not None and there.key != key:
            return f"a worker named {name!r} is registered already: choose another name"
        known = under.name if under is not None else self.tokens.kept.get(key, name)
        if known != name:
            return f"its key is that of worker {known!r}: one key has one name"
        return ""

    def _unlike(self, theirs: Versions) -> str:
        ours = self._versions
        if theirs.flowmesh != ours.flowmesh:
            return f"it runs flowmesh {theirs.flowmesh}, the Manager {ours.flowmesh}: install the same version on both"
        if theirs.python != ours.python:
            return f"it runs Python {theirs.python}, the Manager {ours.python}: code can't be shipped between them"
        return ""

    def _unwanted(self, key: str, name: str) -> str:
        return "" if self._admit(name, key) else "the Manager's allow= does not want it"

    def worker_departed(self, worker: RegisteredWorker) -> list[ManagerEffect]:
        """Remove a worker that leaves in order."""
        self.workers.pop(worker.name, None)
        return self.tokens.key_released(worker.key)

    def revoke_worker(self, which: str) -> tuple[list[ManagerEffect], RegisteredWorker | None] | None:
        """Revoke a token, by its id, or a worker, by its name; returns also the worker that was registered with it."""
        if (worker := self.workers.get(which)) is not None:
            effects = self.tokens.revoke_key(worker.key)
        elif (ended := self.tokens.revoke_token(which)) is not None:
            effects, own = ended
            worker = self.by_key(own)
        else:
            return None
        if worker is not None:
            del self.workers[worker.name]
        return effects, worker

    def was_suspended(self, seconds: float) -> None:
        """Note that nothing could be received for `seconds`: no worker was silent."""
        for worker in self.workers.values():
            worker.heard_at += seconds

    def silent_workers(self, now: float) -> list[RegisteredWorker]:
        """The workers that have been silent for too long; they are not registered any more."""
        lost = [worker for worker in self.workers.values() if now - worker.heard_at > SILENCE]
        for worker in lost:
            del self.workers[worker.name]
        return lost


def _cheat(key: str) -> str:
    return f"the key {fingerprint(key)} tried to let in another one, and may not"
