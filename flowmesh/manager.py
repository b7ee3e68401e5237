"""The Manager: the shell around `control/manager.py`. A thread of its own owns the link and the Machine; verbs wait for it.

No lock is held while anything is waited for: a verb is put in a queue, the thread is woken, and its answer comes back.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import secrets
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import cloudpickle

from . import __version__
from .chunk import DataChunk
from .control import placement
from .control.effects import Allow, Answer, Fail, ManagerEffect, Note, Send
from .control.manager import ManagerMachine
from .errors import DeadlineError, FlowmeshError, GraphError, ShippingError, StateError
from .graph import Graph
from .link.control import ManagerLink
from .link.keys import user_keys
from .node import Node
from .shipping.bundle import pack_code
from .status import NodeStatus, Status, WorkerStatus, edge_statuses, node_status
from .wire.lifecycle import GraphState
from .wire.specs import NodeSpec, Plan, Versions

log = logging.getLogger("flowmesh")
_TICK = 0.25  # seconds between two looks at the clock: a silent worker is noticed within 1.5 s and this
_SLACK = 1.0  # seconds that a verb gets beyond its own time before it is given up
_DRAIN = 5.0
_STOP_TIMEOUT = 5.0

Decide = Callable[[ManagerMachine, int, float], list[ManagerEffect]]


class Manager:
    """Ships a graph's nodes to workers and directs them.

    Args:
        host: the address to listen at; only this machine can reach the default.
        port: a port that must be free; None takes 9000 or the next free one.

    Raises:
        LinkError: the port is taken, or the user's keys can't be read.
    """

    def __init__(self, host: str = "127.0.0.1", port: int | None = None) -> None:
        self._link = ManagerLink(host, port, user_keys())
        self._link.allow(user_keys().public)
        self.host = self._link.host
        self.port = self._link.port
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._machine = ManagerMachine(Versions(__version__, python), drain=_DRAIN, stop_timeout=_STOP_TIMEOUT)
        self._tokens = count(1)
        self._asked: deque[tuple[int, Decide]] = deque()
        self._futures: dict[int, Future[Any]] = {}
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closed = False
        self._broken: BaseException | None = None
        self._owner = os.getpid()
        self._thread = threading.Thread(target=self._serve, name="flowmesh-manager", daemon=True)
        self._thread.start()
        atexit.register(self.shutdown)

    # --- verbs -------------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> tuple[str, ...]:
        """The names of the workers that are registered now."""
        return tuple(self._machine.roster.workers)

    @property
    def state(self) -> str:
        """The graph's state: "empty", "ready", "running", "finished", "failed", ..."""
        return self._machine.state.value

    def commit_graph(
        self,
        graph: Graph,
        mapping: Mapping[str, Sequence[str | Node]] | None = None,
        packages: Iterable[str | Path] = (),
        timeout: float = 60.0,
    ) -> None:
        """Check the graph, ship its code, and return when `setup` has returned in every node.

        Args:
            mapping: {worker's name: [nodes or their names]}; None puts all nodes on the only worker.
            packages: folders that are shipped as packages, with their data files.
            timeout: seconds for all of it.

        Raises:
            GraphError: the graph or the mapping contradicts itself; nothing was sent.
            ShippingError: something can't be pickled; nothing was sent.
            NodeError: a node's `setup` raised.
            DeadlineError: it took too long.
            StateError: a graph is running: stop() or reset() it first.
        """
        self._check_open()
        if not isinstance(graph, Graph):
            raise GraphError(f"commit_graph() takes a flowmesh.Graph, not {type(graph).__name__}")
        if self._machine.state in (GraphState.RUNNING, GraphState.STOPPING, GraphState.COMMITTING):
            raise StateError(f"the graph is {self.state}: stop() or reset() it before another is committed")
        graph.check()
        plan = self._plan(graph, mapping, packages)
        if self._machine.state is not GraphState.EMPTY:
            self.reset()
        # What was registered last runs first: at the script's end the graph is torn down before its workers leave.
        atexit.unregister(self.shutdown)
        atexit.register(self.shutdown)
        self._ask(lambda machine, token, now: machine.commit(token, plan, timeout, now), timeout)

    def start(self) -> None:
        """Let the nodes step. After a stop they go on where they were; after the end, a new run begins.

        Raises:
            StateError: no graph was committed.
        """
        self._ask(lambda machine, token, now: machine.start(token, now), 60.0)

    def stop(self) -> None:
        """Pause: sources finish their step, what is in flight is worked off for up to 5 s; the rest stays queued.

        Raises:
            NodeError, WorkerError: the graph has failed meanwhile.
            DeadlineError: a node did not return from its step; the text names it.
        """
        self._ask(lambda machine, token, now: machine.stop(token, now), _DRAIN + 2 * _STOP_TIMEOUT)

    def step(self) -> None:
        """Let every source do a single step, and return when what follows from it is worked off.

        Raises:
            NodeError, WorkerError: the graph has failed meanwhile.
            DeadlineError: it was not worked off within 60 s.
        """
        self._ask(lambda machine, token, now: machine.step(token, now), 60.0)

    def wait(self, timeout: float | None = None) -> bool:
        """True when the graph has finished; False when `timeout` seconds have passed first.

        Raises:
            NodeError, WorkerError: the graph has failed: the first failure, the others as its notes.
            KeyboardInterrupt: goes through; `shutdown` (or the script's end) tears everything down.
        """
        try:
            return bool(self._ask(lambda machine, token, now: machine.wait(token), timeout, slack=0.0))
        except _GivenUpError:
            return False

    def gather(self, timeout: float = 10.0) -> dict[str, DataChunk | None]:
        """The newest value of each node, by name; None where there is none yet.

        Raises:
            DeadlineError, NodeError: a node is busy in its step, or runs no more.
        """
        parts = self._ask(lambda machine, token, now: machine.gather(token, timeout, now), timeout)
        return {node: pickle.loads(value) for node, value in parts.items()}

    def request_registered_method(self, node: str | Node, method: str, timeout: float = 10.0, **params: Any) -> Any:
        """Call a method that is marked with `flowmesh.register`, between two steps of the node; returns what it returns.

        Raises:
            NodeError: it raised, is not registered, or the node is busy in its step for longer than `timeout`.
            GraphError: there is no such node.
            ShippingError: the parameters can't be pickled.
        """
        self._check_open()
        name = node.name if isinstance(node, Node) else node
        if name not in self._machine.members:
            there = ", ".join(map(repr, self._machine.members)) or "none"
            raise GraphError(f"no node {name!r} is committed; there are: {there}")
        try:
            arguments = cloudpickle.dumps(params, protocol=5)
        except Exception as error:
            raise ShippingError(f"the parameters of {name}.{method}() can't be pickled: {error}") from error

        def decide(machine: ManagerMachine, token: int, now: float) -> list[ManagerEffect]:
            return machine.call(token, name, method, arguments, timeout, now)

        return pickle.loads(self._ask(decide, timeout)[name])

    def reset(self) -> None:
        """Tear down the graph, in whatever state it is, and forget it."""
        self._ask(lambda machine, token, now: machine.reset(token, now), _STOP_TIMEOUT + 2.0)

    def status(self) -> Status:
        """The present state and counters of all workers, nodes and edges."""
        self._ask(lambda machine, token, now: machine.inspect(token, 1.0, now), 1.0)
        machine = self._machine
        counts = {name: count for report in machine.reports.values() for name, count in report.nodes.items()}
        plan, members = machine.plan, dict(machine.members)
        nodes: dict[str, NodeStatus] = {}
        for spec in plan.nodes if plan else ():
            nodes[spec.name] = node_status(spec, members[spec.name].state.value, counts.get(spec.name))
        workers = {
            name: WorkerStatus(name, worker.pid, tuple(n for n, member in members.items() if member.worker == name))
            for name, worker in dict(machine.roster.workers).items()
        }
        return Status(self.state, workers, nodes, edge_statuses(plan.edges if plan else (), counts))

    def shutdown(self) -> None:
        """Tear down the graph, send the workers home, close. Twice does no harm. Ctrl+C meanwhile kills what still runs."""
        if self._closed or os.getpid() != self._owner:
            return
        at_once = False
        try:
            self.reset()
        except KeyboardInterrupt:  # a further Ctrl+C: no teardown is waited for any more
            at_once = True
            raise
        finally:
            self._send_home(at_once)

    def _send_home(self, at_once: bool) -> None:
        try:
            self._ask(lambda machine, token, now: [*machine.dismiss(at_once=at_once), Answer(token)], 1.0)
            if not at_once:
                self._ask(lambda machine, token, now: machine.all_gone(token, now + 3.0), 4.0)
        except KeyboardInterrupt:
            self._ask(lambda machine, token, now: [*machine.dismiss(at_once=True), Answer(token)], 1.0)
            raise
        finally:
            self._closed = True
            atexit.unregister(self.shutdown)
            os.eventfd_write(self._bell, 1)
            self._thread.join(5.0)
            os.close(self._bell)

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Manager {self.host}:{self.port} {self.state}>"

    # --- planning ----------------------------------------------------------------------------------------------------

    def _plan(
        self, graph: Graph, mapping: Mapping[str, Sequence[str | Node]] | None, packages: Iterable[str | Path]
    ) -> Plan:
        if isinstance(packages, str | Path):
            raise ShippingError(f"packages is a list of folders: write packages=[{str(packages)!r}]")
        specs = graph.specs()
        hosts = {name: worker.host for name, worker in dict(self._machine.roster.workers).items()}
        assigned = placement.assign(specs.names, mapping, hosts)
        edges = placement.place(specs.edges, assigned, hosts, lambda: secrets.token_hex(16))
        code, instances = pack_code([graph.nodes[name]["node"] for name in specs.names], packages)
        hold = {name: graph.nodes[name]["node"].hold for name in specs.names}
        slots = placement.slots_needed(specs.names, specs.edges, hold)
        nodes = tuple(
            NodeSpec(
                index,
                name,
                specs.kinds[name],
                instances[name],
                assigned[name],
                slots[name],
                specs.joins[name],
                name in specs.marks,
                specs.forks,
            )
            for index, name in enumerate(specs.names)
        )
        return Plan(f"{secrets.token_hex(4)}.1", 1, specs.names, nodes, edges, code)

    # --- between the verbs' threads and ours -------------------------------------------------------------------------

    def _ask(self, decide: Decide, timeout: float | None, slack: float = _SLACK) -> Any:
        """Have the Machine decide in the Manager's thread, and wait for the answer."""
        self._check_open()
        token = next(self._tokens)
        future = self._futures[token] = Future()
        self._asked.append((token, decide))
        os.eventfd_write(self._bell, 1)
        try:
            return future.result(None if timeout is None else timeout + slack)
        except TimeoutError as error:
            if future.done():
                raise  # a DeadlineError that the Machine answered with
            if self._machine.error is not None and timeout is not None and slack:
                raise self._machine.error from None  # it has failed, and is still being torn down
            raise _GivenUpError(f"no answer within {timeout:g} s") from error
        finally:
            self._futures.pop(token, None)

    def _check_open(self) -> None:
        if self._closed:
            raise StateError("this Manager was shut down: make a new one")
        if os.getpid() != self._owner:
            raise StateError("this Manager was made in another process, and works only there")
        if self._broken is not None:
            raise _broken(self._broken)

    def _serve(self) -> None:
        """The thread. If it ever breaks, nobody waits for it for ever: every verb fails, and says so."""
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
            self._link.close()

    def _turn(self) -> None:
        """What was asked, what was heard, what time it is."""
        if self._bell in self._link.wait([self._bell], _TICK):
            os.eventfd_read(self._bell)
        now = time.monotonic()
        while self._asked:
            token, decide = self._asked.popleft()
            self._decide(token, decide, now)
        for key, message in self._link.receive():
            self._do(self._machine.heard(key, message, now))
        self._do(self._machine.tick(now))

    def _decide(self, token: int, decide: Decide, now: float) -> None:
        try:
            self._do(decide(self._machine, token, now))
        except FlowmeshError as error:
            self._do([Fail(token, error)])

    def _do(self, effects: list[ManagerEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(key=key, message=message):
                    self._link.send(key, message)
                case Allow(key=key):
                    self._link.allow(key)
                case Answer(token=token, value=value):
                    if (future := self._futures.get(token)) is not None:
                        future.set_result(value)
                case Fail(token=token, error=error):
                    if (future := self._futures.get(token)) is not None:
                        future.set_exception(error)
                case Note():
                    _log(effect)


def _log(note: Note) -> None:
    """Hand a note to the user's logging, whose handlers may raise anything: that is theirs, and stops nothing here."""
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


class _GivenUpError(DeadlineError):
    """The Manager's own thread did not answer in time."""
