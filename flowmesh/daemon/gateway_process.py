"""The daemon's record of its gateway: the message socket, and the counter pages, which outlive the gateway process.

No chunk passes here: the gateway gets one end of each channel, the node the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ..channel.counters import BUSY as CODECS
from ..channel.counters import CounterPage
from ..channel.message_socket import MessageSocket, close_all
from ..channel.packet_socket import PeerGone, pair
from ..control.worker.effects import (
    ConnectConsumers,
    ConnectProducer,
    EndGateway,
    GatewayEffect,
    SendToGateway,
    StartGateway,
)
from ..errors import LinkError
from ..wire.messages import (
    AnyMessage,
    CloseTransfers,
    EdgeCounters,
    Message,
    OpenGateway,
    OpenIncoming,
    OpenOutgoing,
    decode,
    encode,
)
from ..wire.plan_specs import EdgeSpec, Plan, Transfer
from .endpoints import Endpoints

MODULE = "flowmesh.gateway.process"  # whose main() the fork server's child calls: only that process imports it
_LEAVES_WITHIN = 2.0  # seconds that the process has to leave when its socket was closed


class GatewayProcess:
    """The gateway of this worker. It has no process while no graph crosses hosts.

    Args:
        ends: the endpoints where the nodes' channel ends wait.
        spawn: forks a process that runs a module; returns its number, and the message socket to it.
        opening: makes its first message from the address at which other machines reach the Manager's host; raises
            LinkError where that can't be known now.
    """

    def __init__(
        self, ends: Endpoints, spawn: Callable[[str], tuple[int, MessageSocket]], opening: Callable[[str], OpenGateway]
    ) -> None:
        self.number = 0
        self.pid = 0
        self.pipe: MessageSocket | None = None
        self.failure = ""  # why it could not be started, until the daemon has read it
        self._ends = ends
        self._spawn = spawn
        self._opening = opening
        self._graph = ""
        self._pages: dict[int, CounterPage] = {}  # by the transfer's index
        self._leaving: dict[int, float] = {}  # pid -> when it is killed

    def do(self, effect: GatewayEffect, plan: Plan, now: float) -> list[tuple[int, str]]:
        """Execute an effect; returns the channel ends that are there now for nodes."""
        match effect:
            case StartGateway(address=address):
                self._start(plan.graph, address)
            case SendToGateway(message=message):
                self.tell(message)
            case ConnectProducer(transfer=index):
                return self._tap(plan, _transfer(plan, index))
            case ConnectConsumers(transfer=index, restarts=again):
                return self._deliver(plan, _transfer(plan, index), again)
            case EndGateway():
                self._end(now)
        return []

    def _start(self, graph: str, address: str) -> None:
        self._graph = graph
        self._leaving = dict.fromkeys(self._leaving, 0.0)  # they may still have the port of the new one
        try:
            opening = self._opening(address)
        except LinkError as error:
            self.failure = str(error)
            return
        self.number, self.pipe = self._spawn(MODULE)
        self.tell(opening)

    def _end(self, now: float) -> None:
        self.tell(CloseTransfers(self._graph))
        self._hang_up()
        if self.pid:
            self._leaving[self.pid] = now + _LEAVES_WITHIN
        self.pid = self.number = 0
        self.failure = ""

    # --- its process -------------------------------------------------------------------------------------------------

    def tell(self, message: Message, *descriptors: int) -> None:
        if self.pipe is not None:
            self.pipe.send(encode(message), descriptors)

    def heard(self) -> list[AnyMessage]:
        """The messages that it has sent; its end of file only ends the reading."""
        messages = []
        try:
            while self.pipe is not None and (received := self.pipe.receive()) is not None:
                close_all(received[1])
                messages.append(decode(received[0]))
        except PeerGone:
            self._hang_up()
        return messages

    @property
    def is_awaited(self) -> bool:
        """Whether it is being forked."""
        return self.pipe is not None and not self.pid

    def exited(self, pid: int) -> bool:
        """Note that a child has ended; returns whether it was the gateway in use."""
        self._leaving.pop(pid, None)
        if not pid or pid != self.pid:
            return False
        self.pid = 0
        self._hang_up()
        return True

    def overdue(self, now: float) -> list[int]:
        """The processes that should have left by now."""
        late = [pid for pid, deadline in self._leaving.items() if now >= deadline]
        for pid in late:
            del self._leaving[pid]
        return late

    # --- channels ----------------------------------------------------------------------------------------------------

    def _tap(self, plan: Plan, transfer: Transfer) -> list[tuple[int, str]]:
        """Create the channel between a local producer and the gateway; the producer's end waits for it."""
        first = transfer.edges[0]
        page = self._page(transfer, 1)
        theirs = self._ends.make(first.index, lossy=_is_lossy(first))
        self.tell(OpenOutgoing(plan.graph, plan.run, transfer, plan.names), page.descriptor, *theirs)
        close_all(theirs)
        return [(first.index, "out")]

    def _deliver(self, plan: Plan, transfer: Transfer, again: int) -> list[tuple[int, str]]:
        """Create the channels between the gateway and local consumers; the consumers' ends wait for them."""
        page = self._page(transfer, len(transfer.edges))
        given = [end for edge in transfer.edges for end in self._consumer(edge)]
        self.tell(OpenIncoming(plan.graph, plan.run, transfer, plan.names, again), page.descriptor, *given)
        close_all(given)
        return [(edge.index, "in") for edge in transfer.edges]

    def _consumer(self, edge: EdgeSpec) -> list[int]:
        ours, theirs = pair()
        self._ends.keep(edge.index, [theirs])
        return [ours, os.dup(theirs)] if _is_lossy(edge) else [ours]

    def _page(self, transfer: Transfer, blocks: int) -> CounterPage:
        if transfer.index not in self._pages:
            self._pages[transfer.index] = CounterPage.make(blocks, 0)
        return self._pages[transfer.index]

    # --- counters ----------------------------------------------------------------------------------------------------

    def leaving(self, transfer: Transfer) -> EdgeCounters:
        """The counters of an outgoing transfer."""
        page = self._pages.get(transfer.index)
        if page is None:
            return EdgeCounters()
        block = page.output(0)
        return EdgeCounters(encoded=page.cells[block + 1], dropped=page.dropped(block), codecs=page.cells[CODECS])

    def arriving(self, transfer: Transfer) -> list[EdgeCounters]:
        """The counters of each edge of an incoming transfer."""
        page = self._pages.get(transfer.index)
        if page is None:
            return [EdgeCounters() for _ in transfer.edges]
        return [EdgeCounters(dropped=page.dropped(page.output(index))) for index in range(len(transfer.edges))]

    def release(self) -> None:
        """Release the graph's counter pages."""
        for page in self._pages.values():
            page.close()
        self._pages.clear()

    def close(self) -> None:
        self._hang_up()
        self.release()

    def _hang_up(self) -> None:
        if self.pipe is not None:
            self.pipe.flush(within=0.1)
            self.pipe.close()
            self.pipe = None


def _transfer(plan: Plan, index: int) -> Transfer:
    return next(transfer for transfer in plan.transfers if transfer.index == index)


def _is_lossy(edge: EdgeSpec) -> bool:
    return edge.policy != "lossless"
