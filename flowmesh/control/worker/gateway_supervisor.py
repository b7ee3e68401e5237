"""Supervision of a worker's gateway: start, restart, and the channel ends that it gets. No I/O.

It runs for one graph, and only for one that crosses hosts; it is started again when it dies.
"""

from __future__ import annotations

import logging
from math import inf

import msgspec

from ...wire.messages import AnyMessage, GatewayOpened, LinkNews, LogLine, PeerGateways
from ...wire.plan_specs import Plan
from ..worker.effects import (
    ConnectConsumers,
    ConnectProducer,
    EndGateway,
    SendToGateway,
    SendToManager,
    StartGateway,
    WorkerEffect,
)

_SHORT = 1.0  # seconds: a process that lived less is not started again at once
_PAUSE = 1.0  # but after this many: a process that can't run must not use up the processor


class GatewaySupervisor:
    """The supervisor of the gateway of the worker of that name.

    Attributes:
        restarts: the number of its processes that have died on the present graph.
        due: when `tick` has something to do; infinity for never.
    """

    def __init__(self, worker: str) -> None:
        self.restarts = 0
        self._worker = worker
        self._plan: Plan | None = None
        self._address = ""
        self._runs = False
        self._started_at = 0.0
        self.due = inf

    def begin_graph(self, plan: Plan, address: str, now: float) -> list[WorkerEffect]:
        """Begin a graph. `address`: where other machines reach the Manager's host."""
        self._plan = plan
        self._address = address
        self.restarts = 0
        return self._start(now) if plan.transfers else []

    def end_graph(self) -> list[WorkerEffect]:
        """End the graph: it has gone, or nothing of it is left here."""
        ran, self._runs = self._runs, False
        self._plan, self.due = None, inf
        return [EndGateway()] if ran else []

    def peers_changed(self, message: PeerGateways) -> list[WorkerEffect]:
        """Handle the Manager's list of peers of the gateway."""
        return [SendToGateway(message)] if self._runs else []  # a restarted one gets it when it has opened

    def gateway_reported(self, message: AnyMessage) -> list[WorkerEffect]:
        """Handle a message from the gateway."""
        if self._plan is None:
            return []
        match message:
            case GatewayOpened() | LinkNews():
                return [SendToManager(msgspec.structs.replace(message, worker=self._worker, graph=self._plan.graph))]
            case LogLine(level=level, text=text):
                return [SendToManager(LogLine("", self._worker, level, text))]
            case _:
                return []

    def gateway_ended(self, how: str, now: float) -> list[WorkerEffect]:
        """Handle the end of the gateway's process."""
        if not self._runs:
            return []
        self._runs = False
        self.restarts += 1
        text = f"the link's process of worker {self._worker!r} {how}; it is started again"
        warning = SendToManager(LogLine("", self._worker, logging.WARNING, text))
        if now - self._started_at >= _SHORT:
            return [warning, *self._start(now)]
        self.due = now + _PAUSE
        return [warning]

    def tick(self, now: float) -> list[WorkerEffect]:
        """Start the gateway again when that is due."""
        return self._start(now) if now >= self.due else []

    def _start(self, now: float) -> list[WorkerEffect]:
        assert self._plan is not None
        self._runs, self._started_at, self.due = True, now, inf
        given: list[WorkerEffect] = [
            ConnectProducer(part.index)
            if part.source_worker == self._worker
            else ConnectConsumers(part.index, self.restarts)
            for part in self._plan.transfers
        ]
        return [StartGateway(self._address), *given]
