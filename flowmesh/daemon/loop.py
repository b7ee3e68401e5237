"""The daemon's loop: messages of the Manager, nodes, fork server and script to the Machine, effects out."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import time

from ..channel.message_socket import MessageSocket, close_all, memory_file
from ..channel.packet_socket import PeerGone
from ..control.worker.clock_sync import ClockSync
from ..control.worker.effects import (
    AnswerBusy,
    ConnectConsumers,
    ConnectProducer,
    EndGateway,
    ExpectChannel,
    ForkNode,
    KillNode,
    Leave,
    OpenChannel,
    RegisterAgain,
    ReleaseGraph,
    ReportMetrics,
    RewireNode,
    SendToGateway,
    SendToManager,
    SendToNode,
    SetUpNode,
    StartGateway,
    WorkerEffect,
)
from ..control.worker.machine import WorkerMachine
from ..errors import WorkerError
from ..forkserver.client import ForkServerClient
from ..forkserver.protocol import Exited, Forked
from ..security.addresses import is_loopback, towards
from ..transport.control_link import WorkerLink
from ..transport.monitor import DialOutcome
from ..wire.messages import (
    AnyMessage,
    Departure,
    Dismiss,
    Heartbeat,
    LogLine,
    Message,
    OpenGateway,
    Refusal,
    Registration,
    Rejoin,
    Reply,
    Rewire,
    TaskPacket,
    decode,
    encode,
)
from ..wire.plan_specs import EdgePlan, Plan, encode_code
from . import host_info, metrics
from .endpoints import Endpoints
from .gateway_process import GatewayProcess
from .options import WorkerOptions
from .processes import Processes
from .slot_processes import SlotProcesses
from .stall_warnings import StallWarnings

HEARTBEAT = 0.5  # seconds: the Manager counts a worker as lost after three that are missing


class Daemon:
    """A worker, registered under a name over a link of its own.

    Attributes:
        ending: why it leaves, if the reason is neither its own side nor the Manager's shutdown.
        dismissed: whether the Manager has dismissed it.
    """

    def __init__(
        self,
        name: str,
        link: WorkerLink,
        spawner: ForkServerClient,
        lifeline: MessageSocket | None,
        terms: WorkerOptions,
    ) -> None:
        self._name = name
        self._terms = terms
        self._clock = ClockSync()
        self._heard_at = time.monotonic()
        self.ending = ""
        self.dismissed = False
        self._link = link
        self._children = Processes(spawner)
        self._lifeline = lifeline
        self._machine = WorkerMachine(name)
        self._ends = Endpoints()
        self._link_seat = GatewayProcess(self._ends, self._children.spawn, self._opening)
        self._slots = SlotProcesses(name, terms.capacity.slots, terms.functions, link.send)
        self._code_file = -1
        self._complaints = StallWarnings()
        self._leaving = False
        self._beat_at = 0.0
        self.asked_to_leave = False  # set by a signal's handler, which must not do more
        self.asked_to_end = False  # so is this: leave without a teardown

    def registration(self) -> Registration:
        """This worker's registration."""
        return host_info.registration(self._name, self._ends.address, self._terms)

    def abandon(self) -> None:
        """Give up joining: leave nothing behind but the fork server, which was made before."""
        self._link.send(Departure(self._name))  # it may be registered without our knowledge
        self._ends.close()
        self._link.close()

    def run(self) -> None:
        """Serve until the worker is to leave, then leave nothing behind."""
        try:
            while not (self._leaving and self._slots.is_empty):
                self._turn()
            self._link.send(Departure(self._name))
        except Exception as error:
            self._link.send(Departure(self._name, _reason(error)))
            raise
        finally:
            self._slots.close()
            self._children.release()
            self._link_seat.close()
            self._ends.close()
            self._link.close()
            self._children.close()

    def leave(self) -> None:
        """Tear everything down, then leave: interrupted, or the script has gone."""
        self._slots.end_all(time.monotonic())
        self._do(self._machine.leave(time.monotonic()))

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        ready = self._link.wait(self._descriptors(), max(0.0, self._due() - now))
        now = time.monotonic()
        for message in self._link.receive():
            self._hear_manager(message, now)
        for edge in self._ends.arrivals():
            self._do(self._machine.channel_end_arrived(edge, "in"))
        for name in list(self._children.seats):
            self._hear_node(name)
        self._hear_link(now)
        self._hear_spawner(now)
        self._slots.turn(now)
        if self._lifeline is not None and self._lifeline.fileno() in ready:
            self._hear_script()
        if now >= self._beat_at:
            self._beat(now)
            self._look_for_manager(now)
        if self.asked_to_leave:
            self.asked_to_leave = False
            self.leave()
        if self.asked_to_end:
            self.asked_to_end = False
            self._slots.end_all(now, at_once=True)
            self._do(self._machine.leave(now, at_once=True))
        self._do(self._machine.tick(now))
        for pid in self._link_seat.overdue(now):
            self._children.kill(pid)

    def _due(self) -> float:
        return min(self._beat_at, self._machine.due, self._slots.due)

    def _descriptors(self) -> list[int]:
        found = self._ends.descriptors() + self._children.descriptors() + self._slots.descriptors()
        found += [self._link_seat.pipe.fileno()] if self._link_seat.pipe is not None else []
        return found + ([self._lifeline.fileno()] if self._lifeline is not None else [])

    def _beat(self, now: float) -> None:
        self._beat_at = now + HEARTBEAT
        self._slots.beat()
        self._link.send(Heartbeat(time.monotonic_ns()))
        clock = self._clock.reading(time.monotonic_ns())
        for seat in self._children.seats.values():
            seat.page.set_clock(*clock)
            seat.sample(now)
            if complaint := self._complaints.about(seat, self._children.seats):
                self._warn(complaint)
            if seat.pipe is not None:
                seat.pipe.flush()
        if self._link_seat.pipe is not None:
            self._link_seat.pipe.flush()

    def _hear_manager(self, message: AnyMessage, now: float) -> None:
        self._heard_at = now
        match message:
            case Heartbeat(sent=sent, clock=clock) if clock:
                if self._clock.heard(sent, clock, time.monotonic_ns()):
                    self._link.send(Heartbeat(time.monotonic_ns()))
            case TaskPacket():
                self._slots.received(message, now)
            case Rejoin():
                self._slots.disowned(now)
            case Dismiss(reason=reason, at_once=at_once):
                self._slots.end_all(now, at_once=at_once)
                self.dismissed = True
                self.ending = self.ending or reason
            case Refusal(reason=reason):
                self._slots.end_all(now)
                self.ending = f"the Manager refused this worker: {reason}"
        self._terms.tell(message)
        self._do(self._machine.received_from_manager(message, now))

    def _look_for_manager(self, now: float) -> None:
        """Give up a Manager that is silent for too long, or that is another one and does not know this worker."""
        if self._terms.patience is None or self.ending:
            return
        if self._link.outlook is DialOutcome.DENIED:
            self.ending = "the Manager does not let this worker in any more"
        elif now - self._heard_at > self._terms.patience:
            self.ending = f"the Manager was not heard for {self._terms.patience:g} s"
        if self.ending:
            self.leave()

    def _hear_script(self) -> None:
        assert self._lifeline is not None
        try:
            self._lifeline.receive()
        except PeerGone:
            self._lifeline = None
            self.leave()

    def _hear_node(self, name: str) -> None:
        """Read what a node has sent; its end of file only ends the reading: the fork server reports how it ended."""
        seat = self._children.seats.get(name)
        try:
            while seat is not None and seat.pipe is not None and (received := seat.pipe.receive()) is not None:
                self._do(self._machine.received_from_node(name, decode(received[0])))
        except PeerGone:
            if seat is not None:
                seat.hang_up()

    def _hear_link(self, now: float) -> None:
        for message in self._link_seat.heard():
            self._do(self._machine.received_from_gateway(message))
        failure, self._link_seat.failure = self._link_seat.failure, ""
        if failure:
            self._do(self._machine.gateway_failed_to_start(failure, now))

    def _hear_spawner(self, now: float) -> None:
        try:
            happened = self._children.news()
        except WorkerError as error:
            self._spawner_lost(str(error), now)
            return
        for news in happened:
            if isinstance(news, Forked):
                self._forked(news)
            else:
                self._exited(news, now)

    def _spawner_lost(self, why: str, now: float) -> None:
        """Handle the loss of the fork server: all nodes here died with it, also those not forked yet."""
        self._warn(f"{why}; all nodes here died with it")
        if self._link_seat.is_awaited:
            self._do(self._machine.gateway_failed_to_start(why, now))
        for pid in [*self._children.pids, self._link_seat.pid]:
            self._exited(Exited(pid, -signal.SIGKILL, 0.0, 0), now)
        for name in self._children.awaited:
            self._children.seats[name].exited(0.0, 0)
            self._do(self._machine.node_exited(name, -signal.SIGKILL, why, now))

    def _forked(self, news: Forked) -> None:
        if news.seat == self._link_seat.number:
            self._link_seat.pid = news.pid
        elif name := self._children.forked(news):
            self._do(self._machine.node_forked(name, news.pid))

    def _exited(self, news: Exited, now: float) -> None:
        if news.pid == self._link_seat.pid:
            self._hear_link(now)
        if self._link_seat.exited(news.pid):
            self._do(self._machine.gateway_exited(news.status, now))
        elif name := self._children.exited(news.pid):
            self._hear_node(name)
            seat = self._children.seats[name]
            seat.exited(news.cpu, news.memory)
            self._do(self._machine.node_exited(name, news.status, seat.crash(), now))

    # --- effects -----------------------------------------------------------------------------------------------------

    def _do(self, effects: list[WorkerEffect]) -> None:
        for effect in effects:
            match effect:
                case SendToManager(message=message):
                    self._terms.tell(message)
                    self._link.send(message)
                case SendToNode(node=node, message=message):
                    self._children.seats[node].tell(encode(message))
                case ForkNode(node=node):
                    self._fork(node)
                case SetUpNode(node=node):
                    self._set_up(node)
                case OpenChannel(edge=edge):
                    self._open(self._edge(edge))
                case ExpectChannel(edge=edge):
                    for arrived in self._ends.expect(edge, self._edge(edge).nonce):
                        self._do(self._machine.channel_end_arrived(arrived, "in"))
                case KillNode(node=node):
                    self._children.kill_node(node)
                case ReportMetrics(call_id=call_id):
                    seats, link = self._children.seats, self._link_seat
                    self._link.send(metrics.report(call_id, self._machine.plan, seats, link, time.monotonic()))
                case AnswerBusy(call_id=call_id, node=node):
                    self._link.send(self._busy(call_id, node))
                case ReleaseGraph():
                    self._release()
                case RegisterAgain():
                    self._link.send(self.registration())
                case StartGateway() | SendToGateway() | ConnectProducer() | ConnectConsumers() | EndGateway():
                    for edge, side in self._link_seat.do(effect, self._plan, time.monotonic()):
                        self._do(self._machine.channel_end_arrived(edge, side))
                case RewireNode(node=node, edge=edge, side=side):
                    self._rewire(node, edge, side)
                case Leave():
                    self._leaving = True

    @property
    def _plan(self) -> Plan:
        assert self._machine.plan is not None
        return self._machine.plan

    def _edge(self, index: int) -> EdgePlan:
        return next(edge for edge in self._plan.edges if edge.spec.index == index)

    def _release(self) -> None:
        self._children.release()
        self._link_seat.release()
        self._ends.clear()
        self._complaints.forget()
        if self._code_file >= 0:
            os.close(self._code_file)
        code = self._plan.code
        self._code_file = memory_file(encode_code(code), "flowmesh-code")
        if code.imports_cv2:
            self._children.preload("cv2")

    def _fork(self, node: str) -> None:
        seat = self._children.fork(node, self._machine.nodes[node])
        seat.page.set_clock(*self._clock.reading(time.monotonic_ns()))

    def _opening(self, address: str) -> OpenGateway:
        ours = towards(self._link.host)
        if address and is_loopback(ours):  # the Manager is on this host
            ours = address
        return OpenGateway(self._name, ours, self._terms.link_port)

    def _rewire(self, node: str, edge: int, side: str) -> None:
        ends = self._ends.take([edge], []) if side == "in" else self._ends.take([], [edge])
        self._children.seats[node].tell(encode(Rewire(edge, side)), ends)
        close_all(ends)

    def _open(self, plan: EdgePlan) -> None:
        edge = plan.spec.index
        theirs = self._ends.make(edge, lossy=plan.spec.policy != "lossless", ring=plan.transport == "ring")
        if plan.target_worker == self._name:
            self._ends.keep(edge, theirs)
            self._do(self._machine.channel_end_arrived(edge, "in"))
        else:
            try:
                self._ends.hand_over(plan.address, plan.nonce, theirs)
            except WorkerError as error:
                self._warn(f"the edge {plan.spec.source} -> {plan.spec.target} can't be made: {error}")
        self._do(self._machine.channel_end_arrived(edge, "out"))

    def _set_up(self, node: str) -> None:
        member, seat = self._machine.nodes[node], self._children.seats[node]
        ends = self._ends.take(
            [edge.spec.index for edge in member.inputs], [edge.spec.index for edge in member.outputs]
        )
        given = [seat.page.descriptor, self._code_file, seat.crash_file, *ends]
        if seat.pipe is not None:
            seat.pipe.send(encode(self._machine.set_up_message(node)), given)
        for descriptor in ends:
            os.close(descriptor)

    def _busy(self, call_id: int, node: str) -> Message:
        seat = self._children.seats.get(node)
        busy = seat.busy_for() if seat is not None else 0.0
        doing = f"busy in step for {busy:.1f} s" if busy else "not listening: in setup, or waiting for a full edge"
        return Reply(call_id=call_id, error=f"node {node!r} did not answer in time: {doing}")

    def _warn(self, text: str) -> None:
        self._link.send(LogLine("", self._name, logging.WARNING, text))


def _reason(error: Exception) -> str:
    """The error that ends the daemon, for whoever waits for the graph."""
    advice = ""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        advice = f"; it may have {files} open files: raise the limit (ulimit -n), or run fewer nodes on this worker"
    return f"died of {type(error).__name__}: {error}{advice}"
