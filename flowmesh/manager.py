"""The Manager: a script's interface to its workers. Each verb is passed to the thread of `manager_thread.py`, and
waits.

Arguments are checked here first, in the caller's thread: an invalid call sends nothing.
"""

from __future__ import annotations

import atexit
import pickle
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import __version__
from .chunk import DataChunk
from .control.manager.effects import AnswerCall, ManagerEffect
from .control.manager.machine import ManagerMachine
from .errors import FlowmeshError, GraphError, LinkError, ShippingError, StateError, WorkerError
from .failures import listed, verb
from .graph.graph import Graph
from .manager_thread import CallTimeoutError, ManagerThread
from .membership.admission import Admission, ApproveWorker
from .membership.local_discovery import ManagerBeacon
from .node import Node, is_number, is_recorder
from .planning.plan import plan_of
from .security.addresses import is_loopback, reachable
from .security.keys import user_keys
from .security.tokens import JoinToken
from .standard_streams import occupy_standard_descriptors
from .status import Status, status_of
from .transport.control_link import ManagerLink
from .wire import code_objects
from .wire.plan_specs import TokenStatus, Versions
from .wire.states import GraphState

if TYPE_CHECKING:
    from .recording.control import RecordingControl

_DRAIN = 5.0
_STOP_TIMEOUT = 5.0
_ARRIVES = 0.5  # seconds in which chunks between two paused nodes arrive


class Manager:
    """Ships a graph's nodes to workers and controls them.

    Args:
        host: the address to listen at; only this machine can reach the default. "0.0.0.0" listens at all that it has,
            and prints the command with which a worker on another machine joins.
        port: a port that must be free; None takes 9000 or the next free one.
        allow: asked, with a worker's name, its public key and its network address, before it is registered; it narrows
            who may join, and replaces no key or token. What it raises counts as a no. It is called in the Manager's
            thread.
        zeroconf: announce the address and the key's fingerprint on the local network, for `flowmesh-worker --zeroconf`;
            it accepts no worker by itself. Needs the extra `zeroconf`.

    Raises:
        LinkError: the port is taken, the user's keys can't be read, or the Manager can't be announced.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | None = None,
        *,
        allow: ApproveWorker | None = None,
        zeroconf: bool = False,
    ) -> None:
        _check_address(host, port)
        occupy_standard_descriptors()
        keys = user_keys()
        link = ManagerLink(host, port, keys)
        try:
            self._door = Admission(link, keys.public, allow)
        except LinkError:
            link.close()
            raise
        self.host = link.host
        self.port = link.port
        presence = ManagerBeacon(host, self.port, keys.public)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._machine = ManagerMachine(
            Versions(__version__, python),
            drain=_DRAIN,
            stop_timeout=_STOP_TIMEOUT,
            standing=keys.public,
            admit=self._door.admits,
            kept=self._door.kept,
            address=next((address for address in reachable(host) if not is_loopback(address)), ""),
        )
        self._recording: RecordingControl | None = None
        self._thread = ManagerThread(self._machine, link, self._door, presence)
        atexit.register(self.shutdown)
        self._open_door(zeroconf)

    def _open_door(self, zeroconf: bool) -> None:
        try:
            if self._door.is_open:
                self._door.invite(self.token())
            if zeroconf:
                self._door.announce()
        except LinkError:
            self.shutdown()
            raise

    # --- verbs -------------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> tuple[str, ...]:
        """The names of the workers that are registered now."""
        return tuple(self._machine.registry.workers)

    @property
    def state(self) -> str:
        """The graph's state: "empty", "ready", "running", "finished", "failed", ..."""
        return self._machine.state.value

    @verb
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
        self._thread.check_open()
        if not isinstance(graph, Graph):
            raise GraphError(f"commit_graph() takes a flowmesh.Graph, not {type(graph).__name__}")
        if self._machine.state in (GraphState.RUNNING, GraphState.STOPPING, GraphState.COMMITTING):
            raise StateError(f"the graph is {self.state}: stop() or reset() it before another is committed")
        _check_seconds(timeout)
        graph.check()
        recording = self._recording_of(graph)
        session = None if recording is None else recording.folder
        plan = plan_of(graph, mapping, packages, dict(self._machine.registry.workers), session)
        if self._machine.state is not GraphState.EMPTY:
            self.reset()
        if recording is not None:
            recording.begin({node.name: node.worker for node in plan.nodes if is_recorder(node.name)}, graph)
        self._recording = recording
        # What was registered last runs first: at the script's end the graph is torn down before its workers leave.
        atexit.unregister(self.shutdown)
        atexit.register(self.shutdown)
        self._thread.ask(lambda machine, call_id, now: machine.commit(call_id, plan, timeout, now), timeout)

    @verb
    def start(self) -> None:
        """Let the nodes step. After a stop they go on where they were; after the end, a new run begins.

        Raises:
            StateError: no graph was committed.
        """
        self._thread.ask(lambda machine, call_id, now: machine.start(call_id, now), 60.0)

    @verb
    def stop(self) -> None:
        """Pause: sources finish their step, the graph drains for up to 5 s; the rest stays queued.

        Raises:
            NodeError, WorkerError: the graph has failed meanwhile.
            DeadlineError: a node did not return from its step; the text names it.
        """
        self._thread.ask(lambda machine, call_id, now: machine.stop(call_id, now), _DRAIN + 2 * _STOP_TIMEOUT)

    @verb
    def step(self) -> None:
        """Let every source do a single step, and return when what follows from it has drained.

        Raises:
            NodeError, WorkerError: the graph has failed meanwhile.
            DeadlineError: it did not drain within 60 s.
        """
        self._thread.ask(lambda machine, call_id, now: machine.step(call_id, now), 60.0)

    @verb
    def wait(self, timeout: float | None = None) -> bool:
        """True when the graph has finished; False when `timeout` seconds have passed first.

        Raises:
            NodeError, WorkerError: the graph has failed: the first failure, the others as its notes.
            KeyboardInterrupt: goes through; `shutdown` (or the script's end) tears everything down.
        """
        if timeout is not None:
            _check_seconds(timeout)
        try:
            return bool(self._thread.ask(lambda machine, call_id, now: machine.wait(call_id), timeout, slack=0.0))
        except CallTimeoutError:
            return False

    @verb
    def gather(self, timeout: float = 10.0) -> dict[str, DataChunk | None]:
        """The newest value of each node, by name; None where there is none yet.

        Raises:
            DeadlineError, NodeError: a node is busy in its step, or runs no more.
        """
        _check_seconds(timeout)
        parts = self._thread.ask(lambda machine, call_id, now: machine.gather(call_id, timeout, now), timeout)
        return {node: pickle.loads(value) for node, value in parts.items() if not is_recorder(node)}

    @verb
    def request_registered_method(self, node: str | Node, method: str, timeout: float = 10.0, **params: Any) -> Any:
        """Call a method that is marked with `flowmesh.register`, between two steps of the node; returns what it returns.

        Raises:
            NodeError: it raised, is not registered, or the node is busy in its step for longer than `timeout`.
            GraphError: there is no such node.
            ShippingError: the parameters can't be pickled.
        """
        self._thread.check_open()
        _check_seconds(timeout)
        name = node.name if isinstance(node, Node) else node
        if not isinstance(name, str):
            raise GraphError(f"node must be a Node or a node's name, got {node!r}")
        if not isinstance(method, str):
            raise GraphError(f"method must be the name of a method marked with @flowmesh.register, got {method!r}")
        if name not in self._machine.members:
            there = listed(self._machine.members)
            raise GraphError(f"no node {name!r} is committed; there are: {there}")
        try:
            arguments = code_objects.dumps(params)
        except Exception as error:
            raise ShippingError(f"the parameters of {name}.{method}() can't be pickled: {error}") from error

        def decide(machine: ManagerMachine, call_id: int, now: float) -> list[ManagerEffect]:
            return machine.call(call_id, name, method, arguments, timeout, now)

        return pickle.loads(self._thread.ask(decide, timeout)[name])

    @verb
    def reset(self) -> None:
        """Tear down the graph, in whatever state it is, and forget it. Its recording ends, and is summed up."""
        recording, self._recording = self._recording, None
        dropped = {} if recording is None else self._dropped_by_recorders()
        self._thread.ask(lambda machine, call_id, now: machine.reset(call_id, now), _STOP_TIMEOUT + 2.0)
        if recording is not None:
            recording.finish(dropped)

    @property
    def recording(self) -> RecordingControl:
        """The recording of the committed graph: `start()`, `stop()`, `mark(text)`, `info()`, and its `folder`.

        Raises:
            StateError: the committed graph is not recorded.
        """
        if self._recording is None:
            raise StateError("no graph that is recorded is committed: call graph.record() before commit_graph()")
        return self._recording

    def _recording_of(self, graph: Graph) -> RecordingControl | None:
        if graph.recording is None:
            return None
        from .recording.control import RecordingControl  # on first use: it takes all of recording

        return RecordingControl(graph.recording, self.request_registered_method)

    def _dropped_by_recorders(self) -> dict[str, dict[str, int]]:
        """The drops of the recorders' edges, by the node whose stream it was."""
        try:
            edges = self._status().edges.values()
        except FlowmeshError:  # the workers are gone
            return {}
        return {edge.source: dict(edge.dropped) for edge in edges if is_recorder(edge.target) and edge.dropped}

    @verb
    def status(self) -> Status:
        """The present state and counters of all workers, nodes and edges."""
        deadline = time.monotonic() + _ARRIVES
        while not (status := self._status()).conserves and time.monotonic() < deadline:
            pass
        return status

    def _status(self) -> Status:
        self._thread.ask(lambda machine, call_id, now: machine.inspect(call_id, 1.0, now), 1.0)
        return status_of(self._machine)

    @verb
    def token(self, expires: float = 3600.0, *, keep: bool = False) -> JoinToken:
        """A token with which one worker on another machine can join, once, within `expires` seconds.

        `print(manager.token().line)` gives the command to paste there. It is a secret: treat it like a password.

        Args:
            keep: let that worker come back without a token, also to later Managers of this user, until it is revoked.
                It is `flowmesh-worker` that keeps its key; a script's Worker makes a new one each time.

        Raises:
            LinkError: only this machine can reach the Manager, or `expires` is not a number of seconds.
        """
        made = self._door.mint(expires)
        self._thread.ask(
            lambda machine, call_id, now: machine.make_token(call_id, made.keys.public, expires, now, keep=keep), 5.0
        )
        return made

    @verb
    def tokens(self) -> tuple[TokenStatus, ...]:
        """All tokens of this Manager, without their secrets: id, state, seconds left, and the worker that used it."""
        return tuple(self._thread.ask(lambda machine, call_id, now: machine.list_tokens(call_id, now), 5.0))

    @verb
    def revoke(self, which: str | JoinToken) -> None:
        """Revoke a token, by its id, or a worker, by its name, at once: the worker is dismissed, ignored from then on,
        and can't come back with its key; the loss of its nodes makes the graph fail.

        Raises:
            WorkerError: there is no such worker or token.
        """
        name = which.id if isinstance(which, JoinToken) else which
        if not isinstance(name, str):
            raise WorkerError(
                f"which must be a worker's name, a token or its id, got {which!r}; call revoke() once for each"
            )
        self._thread.ask(lambda machine, call_id, now: machine.revoke(call_id, name, now), 5.0)

    @verb
    def shutdown(self) -> None:
        """Tear down the graph, dismiss the workers, close. Twice does no harm. Ctrl+C then kills what still runs."""
        if not self._thread.is_open:
            return
        at_once = False
        try:
            self.reset()
        except KeyboardInterrupt:  # a further Ctrl+C: do not wait for teardowns any more
            at_once = True
            raise
        finally:
            self._send_home(at_once)

    def _send_home(self, at_once: bool) -> None:
        try:
            self._thread.ask(
                lambda machine, call_id, now: [*machine.dismiss(at_once=at_once), AnswerCall(call_id)], 1.0
            )
            if not at_once:
                self._thread.ask(lambda machine, call_id, now: machine.all_gone(call_id, now + 3.0), 4.0)
        except KeyboardInterrupt:
            self._thread.ask(lambda machine, call_id, now: [*machine.dismiss(at_once=True), AnswerCall(call_id)], 1.0)
            raise
        finally:
            atexit.unregister(self.shutdown)
            self._thread.close()
            self._door.close()

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Manager {self.host}:{self.port} {self.state}>"


def _check_address(host: object, port: object) -> None:
    """Raise LinkError for an invalid listening address."""
    if not isinstance(host, str):
        raise LinkError(f"host is an address of this machine such as '127.0.0.1', not {host!r}")
    if port is not None and not (isinstance(port, int) and not isinstance(port, bool) and 0 <= port < 65536):
        raise LinkError(f"port is a number from 0 (any free one) to 65535, or None (9000 or the next), not {port!r}")


def _check_seconds(timeout: object) -> None:
    """Raise GraphError for a timeout that can't be waited for."""
    if not is_number(timeout) or not timeout < threading.TIMEOUT_MAX / 2:  # half: a slack may be added
        raise GraphError(f"timeout is a number of seconds, not {timeout!r}")
