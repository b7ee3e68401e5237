"""The daemon's loop: hears the Manager, the nodes, the fork server and its script, asks the Machine, and does what it says."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from itertools import count

from .. import __version__
from ..channel.packets import PeerGone
from ..channel.pipe import Pipe, memory_file
from ..control.effects import (
    AnswerBusy,
    Claim,
    Fork,
    Kill,
    Leave,
    Open,
    Release,
    Report,
    Say,
    SetUpNode,
    Tell,
    WorkerEffect,
)
from ..control.worker import WorkerMachine
from ..errors import WorkerError
from ..link.control import WorkerLink
from ..runtime.forking import Exited, Forked
from ..runtime.spawn import Spawner
from ..wire import messages
from ..wire.messages import Departure, Heartbeat, LogLine, Message, Registration, Reply, decode, encode
from ..wire.specs import EdgePlan, Host, Versions, encode_code
from .ends import Ends
from .members import Seat

HEARTBEAT = 0.5  # seconds: the Manager counts a worker as lost after three that are missing


class Daemon:
    """A worker, registered under a name over a link that is its own."""

    def __init__(self, name: str, link: WorkerLink, spawner: Spawner, lifeline: Pipe | None) -> None:
        self._name = name
        self._link = link
        self._spawner = spawner
        self._spawner_alive = True
        self._lifeline = lifeline
        self._machine = WorkerMachine(name)
        self._ends = Ends()
        self._seats: dict[str, Seat] = {}
        self._numbers = count(1)
        self._pids: dict[int, str] = {}
        self._code_file = -1
        self._told_full: set[int] = set()
        self._leaving = False
        self._beat_at = 0.0
        self.asked_to_leave = False  # set by a signal's handler, which must not do more
        self.asked_to_end = False  # so is this: leave, and do not wait for any teardown

    def registration(self) -> Registration:
        """What this worker tells the Manager of itself."""
        host = Host(
            boot=_boot_id(), network=os.stat("/proc/self/ns/net").st_ino, user=os.getuid(), address=self._ends.address
        )
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Registration(self._name, os.getpid(), host, Versions(__version__, python))

    def run(self) -> None:
        """Serve until told to leave, then leave nothing behind."""
        try:
            while not self._leaving:
                self._turn()
            self._link.send(Departure(self._name))
        finally:
            for seat in self._seats.values():
                seat.close()
            self._ends.close()
            self._link.close()
            self._spawner.close()

    def leave(self) -> None:
        """Interrupted, or the script has gone: tear everything down first."""
        self._do(self._machine.leave(time.monotonic()))

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        ready = self._link.wait(self._descriptors(), max(0.0, self._beat_at - now))
        now = time.monotonic()
        for message in self._link.receive():
            self._do(self._machine.heard(message, now))
        for edge in self._ends.arrivals():
            self._do(self._machine.end_arrived(edge, "in"))
        for name in list(self._seats):
            self._hear_node(name)
        self._hear_spawner(now)
        if self._lifeline is not None and self._lifeline.fileno() in ready:
            self._hear_script()
        if now >= self._beat_at:
            self._beat(now)
        if self.asked_to_leave:
            self.asked_to_leave = False
            self.leave()
        if self.asked_to_end:
            self.asked_to_end = False
            self._do(self._machine.leave(now, at_once=True))
        self._do(self._machine.tick(now))

    def _descriptors(self) -> list[int]:
        found = self._ends.descriptors() + ([self._spawner.fileno()] if self._spawner_alive else [])
        found += [seat.pipe.fileno() for seat in self._seats.values() if seat.pipe is not None]
        return found + ([self._lifeline.fileno()] if self._lifeline is not None else [])

    def _beat(self, now: float) -> None:
        self._beat_at = now + HEARTBEAT
        self._link.send(Heartbeat())
        for seat in self._seats.values():
            seat.sample(now)
            self._warn_if_full(seat)
            if seat.pipe is not None:
                seat.pipe.flush()

    def _hear_script(self) -> None:
        assert self._lifeline is not None
        try:
            self._lifeline.receive()
        except PeerGone:
            self._lifeline = None
            self.leave()

    def _hear_node(self, name: str) -> None:
        """Read what a node has sent; its end of file only ends the listening: how it ended is the fork server's to say."""
        seat = self._seats.get(name)
        try:
            while seat is not None and seat.pipe is not None and (received := seat.pipe.receive()) is not None:
                self._do(self._machine.node_said(name, decode(received[0])))
        except PeerGone:
            if seat is not None:
                seat.hang_up()

    def _hear_spawner(self, now: float) -> None:
        if not self._spawner_alive:
            return
        try:
            happened = self._spawner.news()
        except WorkerError as error:
            self._spawner_lost(str(error), now)
            return
        for news in happened:
            if isinstance(news, Forked):
                self._forked(news)
            else:
                self._exited(news, now)

    def _spawner_lost(self, why: str, now: float) -> None:
        """All nodes here died with it, those too that it has not yet forked. Another is made when one is to be forked:
        what can't start must not be started for ever."""
        self._spawner.close()
        self._spawner_alive = False
        self._warn(f"{why}; all nodes here died with it")
        for pid in list(self._pids):
            self._exited(Exited(pid, -signal.SIGKILL, 0.0, 0), now)
        for name, seat in self._seats.items():
            if not seat.pid and seat.pipe is not None:
                seat.exited(0.0, 0)
                self._do(self._machine.exited(name, -signal.SIGKILL, why, now))

    def _live_spawner(self) -> Spawner:
        if not self._spawner_alive:
            self._spawner = Spawner()
            self._spawner_alive = True
        return self._spawner

    def _forked(self, news: Forked) -> None:
        name, seat = next(((name, seat) for name, seat in self._seats.items() if seat.number == news.seat), ("", None))
        if seat is None:
            return self._spawner.kill(news.pid)  # of a graph that was released before it was forked
        seat.pid = news.pid
        self._pids[news.pid] = name
        if seat.kill_when_forked:
            self._spawner.kill(news.pid)
        self._do(self._machine.forked(name, news.pid))

    def _exited(self, news: Exited, now: float) -> None:
        name = self._pids.pop(news.pid, None)
        if name is None:
            return  # of a graph that was released
        self._hear_node(name)
        seat = self._seats[name]
        seat.exited(news.cpu, news.memory)
        self._do(self._machine.exited(name, news.status, seat.crash(), now))

    # --- effects -----------------------------------------------------------------------------------------------------

    def _do(self, effects: list[WorkerEffect]) -> None:
        for effect in effects:
            match effect:
                case Say(message=message):
                    self._link.send(message)
                case Tell(node=node, message=message):
                    self._seats[node].tell(encode(message))
                case Fork(node=node):
                    self._fork(node)
                case SetUpNode(node=node):
                    self._set_up(node)
                case Open(edge=edge):
                    self._open(self._edge(edge))
                case Claim(edge=edge):
                    for arrived in self._ends.expect(edge, self._edge(edge).nonce):
                        self._do(self._machine.end_arrived(arrived, "in"))
                case Kill(node=node):
                    self._kill(node)
                case Report(token=token):
                    self._link.send(self._report(token))
                case AnswerBusy(token=token, node=node):
                    self._link.send(self._busy(token, node))
                case Release():
                    self._release()
                case Leave():
                    self._leaving = True

    def _edge(self, index: int) -> EdgePlan:
        assert self._machine.plan is not None
        return next(edge for edge in self._machine.plan.edges if edge.spec.index == index)

    def _release(self) -> None:
        for seat in self._seats.values():
            seat.close()
        self._seats.clear()
        self._pids.clear()
        self._ends.clear()
        self._told_full.clear()
        if self._code_file >= 0:
            os.close(self._code_file)
        assert self._machine.plan is not None
        code = self._machine.plan.code
        self._code_file = memory_file(encode_code(code), "flowmesh-code")
        if code.imports_cv2:
            self._live_spawner().preload("cv2")

    def _fork(self, node: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        seat = self._seats[node] = Seat(next(self._numbers), self._machine.members[node], Pipe(ours.detach()))
        self._live_spawner().fork(seat.number, theirs.fileno())
        theirs.close()

    def _open(self, plan: EdgePlan) -> None:
        edge = plan.spec.index
        theirs = self._ends.make(edge, lossy=plan.spec.policy != "lossless")
        if plan.target_worker == self._name:
            self._ends.keep(edge, theirs)
            self._do(self._machine.end_arrived(edge, "in"))
        else:
            try:
                self._ends.hand_over(plan.address, plan.nonce, theirs)
            except WorkerError as error:
                self._warn(f"the edge {plan.spec.source} -> {plan.spec.target} can't be made: {error}")
        self._do(self._machine.end_arrived(edge, "out"))

    def _set_up(self, node: str) -> None:
        member, seat = self._machine.members[node], self._seats[node]
        ends = self._ends.take(
            [edge.spec.index for edge in member.inputs], [edge.spec.index for edge in member.outputs]
        )
        given = [seat.page.descriptor, self._code_file, seat.crash_file, *ends]
        if seat.pipe is not None:
            seat.pipe.send(encode(self._machine.set_up_message(node)), given)
        for descriptor in ends:
            os.close(descriptor)

    def _kill(self, node: str) -> None:
        seat = self._seats[node]
        if seat.pid:
            self._spawner.kill(seat.pid)
        else:
            seat.kill_when_forked = True

    def _report(self, token: int) -> messages.Report:
        graph = self._machine.plan.graph if self._machine.plan else ""
        now = time.monotonic()
        # consumers first: what they have received is read before what was sent, so that in flight is never below zero
        counts = {name: self._seats[name].count(now) for name in reversed(self._seats)}
        return messages.Report(token, graph, counts)

    def _busy(self, token: int, node: str) -> Message:
        busy = self._seats[node].busy_for() if node in self._seats else 0.0
        doing = f"busy in step for {busy:.1f} s" if busy else "not listening: in setup, or waiting for a full edge"
        return Reply(token=token, error=f"node {node!r} did not answer in time: {doing}")

    def _warn_if_full(self, seat: Seat) -> None:
        edge = seat.full_edge()
        target = self._seats.get(edge.target) if edge else None
        while target is not None and (further := target.held_by()) is not None:  # the slow node is further down
            edge, target = further, self._seats.get(further.target)
        if edge is None or edge.index in self._told_full:
            return
        self._told_full.add(edge.index)
        slow = f", whose step takes {target.page.percentile(0.5) * 1000:.3g} ms" if target else ""
        self._warn(
            f"the edge {edge.source} -> {edge.target} has been full for 2 s: {edge.source!r} waits for {edge.target!r}{slow}; "
            "make that step faster, or give the edge policy='latest' or 'drop_oldest' if chunks may be dropped"
        )

    def _warn(self, text: str) -> None:
        self._link.send(LogLine("", self._name, logging.WARNING, text))


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
