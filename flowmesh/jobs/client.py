"""A program's link to a Manager for its tasks: a thread that owns it, beats, sends and hears."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from weakref import WeakSet

from ..control.jobs.session import Session
from ..errors import LinkError, TaskError
from ..manager import Manager
from ..transport.admin_link import join_as_admin
from ..wire.job_messages import (
    CloseExecutor,
    ForgetTasks,
    JobMessage,
    OpenExecutor,
    ShipCode,
    SpentBudget,
)
from ..wire.messages import AnyMessage, Departure, Dismiss, Heartbeat, TaskPacket
from ..worker import Worker
from .calling import CallPacker
from .future import Task
from .messenger import TaskMessenger

VARIABLE = "FLOWMESH_MANAGER"
_BEAT = 1.0  # seconds between two signs of life
_SILENCE = 20.0  # seconds without a word of the Manager after which it has gone
_FORGETS_AT_ONCE = 500

log = logging.getLogger("flowmesh")


class ManagerConnection(TaskMessenger):
    """The tasks of one executor at a Manager.

    Args:
        host, port: of a Manager of this user on this machine.
        opening: tells the Manager of the executor.
        packages: as of Executor.
        owned: closed last of all: a Manager and a worker that were made for it.
    """

    def __init__(
        self, host: str, port: int, opening: OpenExecutor, packages: Iterable[str | Path], owned: ExitStack
    ) -> None:
        super().__init__(opening.executor, CallPacker(packages))
        self._address = f"{host}:{port}"
        self._owned = owned
        self._session = Session()
        self._outgoing: deque[JobMessage] = deque([opening])
        self._forgotten: deque[int] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ringing = threading.RLock()  # a collected Task rings, too, wherever that happens
        self._closing = threading.Event()
        self._gone: LinkError | None = None
        self._open_tasks: WeakSet[Task] = WeakSet()
        self.spent = 0.0
        self._link = join_as_admin(host, port)
        self._heard_at = self._beaten_at = time.monotonic()
        self._thread = threading.Thread(target=self._serve, name="flowmesh-tasks", daemon=True)
        self._thread.start()

    # --- in the program's threads ---------------------------------------------------------------------------------------

    def launch(self, task: Task) -> None:
        if self._gone is not None:
            raise self._gone
        self._open_tasks.add(task)
        super().launch(task)

    def say(self, message: JobMessage) -> None:
        self._outgoing.append(message)
        self._ring()

    def ship(self, code: bytes) -> int:
        self.code_number += 1
        self.say(ShipCode(self.code_number, code))
        return self.code_number

    def forget(self, number: int) -> None:
        self._forgotten.append(number)
        if len(self._forgotten) >= _FORGETS_AT_ONCE:
            self._ring()

    def _ring(self) -> None:
        with self._ringing:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Cancel what is unfinished, say that we leave, and leave."""
        if self._closing.is_set():
            return
        self._outgoing.append(CloseExecutor(self._executor_number))
        self._closing.set()
        self._ring()
        if threading.current_thread() is not self._thread:
            self._thread.join(10.0)
        self._owned.close()

    # --- in its own -----------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._turn()
            while self._gone is None and not (self._closing.is_set() and self._is_idle()):
                self._turn()
        except BaseException as error:
            self._gone = LinkError(f"the link to the Manager at {self._address} has broken: {error!r}")
            raise
        finally:
            self._link.send(Departure(""))
            self._link.close()
            gone = self._gone or LinkError(f"the link to the Manager at {self._address} was closed")
            self._gone = gone
            for task in list(self._open_tasks):
                task.finish(error=gone)
            with self._ringing:
                os.close(self._bell)
                self._bell = -1

    def _is_idle(self) -> bool:
        return not self._outgoing and self._session.is_idle

    def _turn(self) -> None:
        now = time.monotonic()
        due = min(self._beaten_at + _BEAT, self._session.due)
        self._link.wait([self._bell], max(0.0, due - now) if not self._outgoing else 0.0)
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass
        now = time.monotonic()
        for message in self._link.receive():
            self._hear(message, now)
        while self._outgoing:
            self._session.put(self._outgoing.popleft())
        if self._forgotten:
            self._session.put(ForgetTasks(tuple(self._forgotten.popleft() for _ in range(len(self._forgotten)))))
        for packet in self._session.packets(now):
            self._link.send(packet)
        if now >= self._beaten_at + _BEAT:
            self._beaten_at = now
            self._link.send(Heartbeat())
        if now - self._heard_at > _SILENCE:
            self._gone = LinkError(f"the Manager at {self._address} was not heard for {_SILENCE:g} s")

    def _hear(self, message: AnyMessage, now: float) -> None:
        self._heard_at = now
        match message:
            case TaskPacket():
                for each in self._session.received(message, now):
                    if isinstance(each, SpentBudget):
                        self.spent = each.spent
                    else:
                        self.heard(each)
            case Dismiss():
                self._gone = LinkError(f"the Manager at {self._address} was shut down")


def connect(at: Any, opening: OpenExecutor, packages: Iterable[str | Path]) -> ManagerConnection:
    """A connection to the Manager that `at` names; see Executor.

    Raises:
        TaskError: it names none.
        LinkError: no Manager of this user answers there.
    """
    owned = ExitStack()
    try:
        host, port = _address(at, owned)
        return ManagerConnection(host, port, opening, packages, owned)
    except BaseException:
        owned.close()
        raise


def _address(at: Any, owned: ExitStack) -> tuple[str, int]:
    if isinstance(at, Manager):
        return _reachable(at.host), at.port
    if isinstance(at, str):
        return _parse(at, "at")
    if at is not None:
        raise TaskError(f"at must be a Manager, 'host:port' or None, got {type(at).__name__}")
    if named := os.environ.get(VARIABLE):
        log.info("tasks run at the Manager %s (%s)", named, VARIABLE)
        return _parse(named, VARIABLE)
    worker = owned.enter_context(Worker(name="local"))  # it imports while the Manager starts
    manager = owned.enter_context(Manager())
    worker.connect(host=manager.host, port=manager.port)
    log.info("tasks run on a worker of this program's own, at %s:%d", manager.host, manager.port)
    return manager.host, manager.port


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "*", "") else host


def _parse(text: str, what: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise TaskError(f"{what} must be 'host:port' with a port from 1 to 65535, got {text!r}")
    return host, int(port)
