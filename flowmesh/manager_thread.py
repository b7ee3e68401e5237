"""The Manager's thread, the only owner of the link, the beacon and the Machine. Verbs call it, and wait.

No lock is held during a wait: a call is put in a queue, the thread wakes, and its answer comes back.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import traceback
from collections import deque
from concurrent.futures import Future
from itertools import count
from typing import Any

from .admin_requests import Decide, begin, encode
from .channel.wallclock import wall_offset
from .control.effect import Log
from .control.manager.effects import (
    AllowKey,
    AnswerCall,
    FailCall,
    HandleAdminRequest,
    ManagerEffect,
    PersistKey,
    RevokeKey,
    SendClock,
    SendToPeer,
)
from .control.manager.machine import ManagerMachine
from .control.manager.unraised_failures import UnraisedFailures
from .errors import DeadlineError, FlowmeshError, StateError
from .membership.admission import Admission
from .membership.local_discovery import ManagerBeacon
from .transport.control_link import ManagerLink
from .wire.messages import AdminReply, AdminRequest, AnyMessage, Heartbeat, TaskPacket

log = logging.getLogger("flowmesh")
_TICK = 0.25  # seconds between two looks at the clock: a silent worker is noticed within 1.5 s and this
_MOST_OF_TASKS = 0.010  # seconds of one pass of the loop that are spent on tasks: no heartbeat waits for more
_SLACK = 1.0  # seconds that a verb gets beyond its own time before it is given up


class CallTimeoutError(DeadlineError):
    """The Manager's own thread did not answer in time."""


class ManagerThread:
    """The thread that runs the Machine and executes its effects, from its creation until `close`."""

    def __init__(self, machine: ManagerMachine, link: ManagerLink, door: Admission, presence: ManagerBeacon) -> None:
        self._machine = machine
        self._link = link
        self._door = door
        self._presence = presence
        self._wall = wall_offset()  # taken once: the Manager's clock is never set back
        self._turned_at = time.monotonic()
        self._call_ids = count(1)
        self._asked: deque[tuple[int, Decide]] = deque()
        self._futures: dict[int, Future[Any]] = {}
        self._unsaid = UnraisedFailures()
        self._packets: deque[tuple[str, TaskPacket]] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closed = False
        self._broken: BaseException | None = None
        self._owner = os.getpid()
        self._thread = threading.Thread(target=self._serve, name="flowmesh-manager", daemon=True)
        self._thread.start()

    # --- in the threads of the callers -------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether there is something to shut down, in this process."""
        return not self._closed and os.getpid() == self._owner

    def check_open(self) -> None:
        """Raise StateError, or the error that has broken the thread, if no call is possible any more."""
        if self._closed:
            raise StateError("this Manager was shut down: make a new one")
        if os.getpid() != self._owner:
            raise StateError("this Manager was made in another process, and works only there")
        if self._broken is not None:
            raise _broken(self._broken)

    def ask(self, decide: Decide, timeout: float | None, slack: float = _SLACK) -> Any:
        """Have the Machine decide in the Manager's thread, and wait for the answer.

        Raises:
            CallTimeoutError: there was none within `timeout` and `slack` seconds.
            FlowmeshError: the one that the Machine answered with.
        """
        try:
            return self._answer(decide, timeout, slack)
        except FlowmeshError as error:
            self._unsaid.raised(error)
            raise

    def _answer(self, decide: Decide, timeout: float | None, slack: float) -> Any:
        self.check_open()
        call_id = next(self._call_ids)
        future = self._futures[call_id] = Future()
        self._asked.append((call_id, decide))
        os.eventfd_write(self._bell, 1)
        try:
            return future.result(None if timeout is None else timeout + slack)
        except TimeoutError as error:
            if future.done():
                raise  # a DeadlineError that the Machine answered with
            if self._machine.error is not None and timeout is not None and slack:
                raise self._machine.error from None  # it has failed, and is still being torn down
            self._asked.append((call_id, lambda machine, call_id, now: machine.run.stop_waiting(call_id)))
            raise CallTimeoutError(f"no answer within {timeout:g} s") from error
        finally:
            self._futures.pop(call_id, None)

    def close(self) -> None:
        """Let the thread end, and wait for that."""
        self._closed = True
        os.eventfd_write(self._bell, 1)
        self._thread.join(5.0)
        os.close(self._bell)

    # --- in the Manager's thread -------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Run the thread. If it breaks, every verb fails with its error: none waits without end."""
        try:
            while not self._closed:
                self._turn()
        except BaseException as error:
            self._broken = error
            for future in list(self._futures.values()):
                if not future.done():
                    future.set_exception(_broken(error))
            raise
        finally:
            for note in self._unsaid.due(math.inf):
                _log(note)
            self._link.close()
            self._presence.close()

    def _turn(self) -> None:
        """Do one pass of the loop: calls, messages, time."""
        patience = 0.0 if self._packets else min(_TICK, max(0.0, self._machine.jobs.due - time.monotonic()))
        ready = self._link.wait([self._bell, self._presence.fileno()], patience)
        if self._bell in ready:
            os.eventfd_read(self._bell)
        if self._presence.fileno() in ready:
            self._presence.answer()
        now = time.monotonic()
        self._machine.was_suspended(max(0.0, now - self._turned_at - 2 * _TICK))
        self._turned_at = now
        while self._asked:
            call_id, decide = self._asked.popleft()
            self._decide(call_id, decide, now)
        for key, message in self._link.receive():
            if isinstance(message, TaskPacket):
                self._packets.append((key, message))
            else:
                self._receive(key, message, now)
        while self._packets and time.monotonic() - now < _MOST_OF_TASKS:
            key, packet = self._packets.popleft()
            self._receive(key, packet, time.monotonic())
        self._do(self._machine.tick(now))
        for note in self._unsaid.due(now):
            _log(note)

    def _decide(self, call_id: int, decide: Decide, now: float) -> None:
        """Let the Machine decide; whatever this raises is the caller's, and ends nothing else."""
        try:
            self._do(decide(self._machine, call_id, now))
        except Exception as error:
            if (future := self._futures.get(call_id)) is not None and not future.done():
                future.set_exception(error)
            elif not isinstance(error, FlowmeshError):
                log.exception("a call that nobody waits for any more has failed: this is a bug of flowmesh")

    def _receive(self, key: str, message: AnyMessage, now: float) -> None:
        """Let the Machine take a message; a bug behind one message is logged and ends nothing else."""
        try:
            self._do(self._machine.received_from_peer(key, message, now))
        except Exception:
            log.exception("%s from a peer was not handled: this is a bug of flowmesh", type(message).__name__)

    def _do(self, effects: list[ManagerEffect]) -> None:
        for effect in effects:
            match effect:
                case SendToPeer(key=key, message=message):
                    self._link.send(key, message)
                case AllowKey(key=key):
                    self._link.allow(key)
                case RevokeKey(key=key):
                    self._link.revoke(key)
                case PersistKey(key=key, name=name):
                    self._door.keep(key, name)
                case SendClock(key=key, sent=sent):
                    self._link.send(key, Heartbeat(sent, self._wall + time.monotonic_ns()))
                case AnswerCall(call_id=call_id, value=value):
                    if (future := self._futures.get(call_id)) is not None:
                        future.set_result(value)
                case FailCall(call_id=call_id, error=error):
                    if (future := self._futures.get(call_id)) is not None:
                        future.set_exception(error)
                case HandleAdminRequest(key=key, request=request):
                    self._serve_operator(key, request)
                case Log():
                    if effect.raised is None:
                        _log(effect)
                    else:
                        self._unsaid.put(effect, time.monotonic())
                    self._do(self._machine.admins.log_line(effect, time.time()))

    def _serve_operator(self, key: str, request: AdminRequest) -> None:
        """Execute an admin client's request as one of our own verbs; the client gets its answer."""
        try:
            decide, told = begin(request, self._machine, self._door.mint)
        except FlowmeshError as error:
            self._link.send(key, AdminReply(request.call_id, error=str(error)))
            return
        call_id = next(self._call_ids)
        future = self._futures[call_id] = Future()

        def tell(answered: Future[Any]) -> None:
            del self._futures[call_id]
            error = answered.exception()
            value = encode(told(answered.result())) if error is None else b""
            self._link.send(key, AdminReply(request.call_id, value, "" if error is None else str(error)))

        future.add_done_callback(tell)
        self._decide(call_id, decide, time.monotonic())


def _log(note: Log) -> None:
    """Pass a note to the user's logging, whose handlers may raise anything: that is ignored here."""
    logger = log.getChild(f"node.{note.node}") if note.node else log
    try:
        logger.log(note.level, note.text, extra={"node": note.node, "worker": note.worker})
    except Exception:
        traceback.print_exc()


def _broken(error: BaseException) -> FlowmeshError:
    broken = FlowmeshError(
        f"the Manager's thread has ended by {error!r}: this is a bug of flowmesh; make a new Manager"
    )
    broken.__cause__ = error
    return broken
