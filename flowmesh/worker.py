"""Worker, made by a script: the daemon in a process of its own, which ends with the script, however that ends."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from .channel.message_socket import MessageSocket
from .channel.packet_socket import PeerGone
from .channel.readable import readable
from .daemon.capacity import offer
from .daemon.lifeline import ConnectReply, ConnectRequest, decode_joined, encode
from .errors import DeadlineError, LinkError, StateError
from .failures import verb
from .node import check_name
from .security.tokens import JoinToken
from .standard_streams import occupy_standard_descriptors

_ENDS_WITHIN = 15.0  # seconds: a stuck step is killed after 5, and its fork server waits for the others


class Worker:
    """Runs nodes on this machine, in processes of their own.

    >>> worker = Worker(name="local")                          # doctest: +SKIP
    >>> worker.connect(host=manager.host, port=manager.port)   # doctest: +SKIP

    The options are for tasks; graphs run on any worker.

    Args:
        name: its name in mappings.
        slots: tasks that run here at a time; None: one for each processor; 0: none.
        kind: what `kind=` of a task must be to come here.
        labels: what `labels=` of a task may ask for.
        price: units for each second of a task.
        functions: a Python file with functions that can be called by name (`flowmesh.remote`).
        only_registered: take no shipped functions, only those.

    Raises:
        GraphError: the name can't be one.
        WorkerError: an option has a wrong value, or the file can't be read.
    """

    def __init__(
        self,
        name: str,
        *,
        slots: int | None = None,
        kind: str = "python",
        labels: Iterable[str] = (),
        price: float = 0.0,
        functions: str | Path | None = None,
        only_registered: bool = False,
    ) -> None:
        check_name(name)
        occupy_standard_descriptors()
        self._capacity = offer(slots, kind, labels, price, functions, only_registered)
        self._functions = "" if functions is None else str(Path(functions).resolve())
        self.name = name
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flowmesh.daemon", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={name: value for name, value in os.environ.items() if name != "FLOWMESH_TOKEN"},  # it is for us alone
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl+C in the terminal is the script's alone
        )
        theirs.close()
        self._lifeline: MessageSocket | None = MessageSocket(ours.detach())
        self._owner = os.getpid()
        atexit.register(self.shutdown)

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._process.pid

    @verb
    def connect(
        self,
        host: str | None = None,
        port: int | None = None,
        token: str | JoinToken | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Register with the Manager at that address.

        On one machine, Manager and Worker of the same user need no token.

        Args:
            host, port: where the Manager is; a token knows it, too.
            token: the result of `Manager.token()` on another machine; valid for one worker, once.
            timeout: seconds within which the Manager must answer.

        Raises:
            LinkError: nothing answers there, or the Manager refuses (another version, a name that is taken, no token
                where one is needed, a token that is damaged, used or expired).
            StateError: the worker is connected already, or was shut down.
        """
        if token is None and (host is None or port is None):
            raise LinkError("connect() needs the Manager's host and port, or a token= of a Manager on another machine")
        if port is not None and (not isinstance(port, int) or not 0 < port < 65536):
            raise LinkError(f"port is a number from 1 to 65535, not {port!r}")
        if self._lifeline is None:
            raise StateError(f"worker {self.name!r} was shut down: make a new one")
        if getattr(self, "_connected", False):
            raise StateError(f"worker {self.name!r} is connected already")
        given = "" if token is None else str(token)
        request = ConnectRequest(self.name, host, port, timeout, given, self._capacity, self._functions)
        self._lifeline.send(encode(request))
        joined = self._answer(self._lifeline, time.monotonic() + timeout + 5.0)
        if joined.error:
            self.shutdown()
            raise LinkError(f"worker {self.name!r}: {joined.error}")
        self._connected = True

    def _answer(self, lifeline: MessageSocket, deadline: float) -> ConnectReply:
        try:
            while (left := deadline - time.monotonic()) > 0:
                readable([lifeline.fileno()], left)
                received = lifeline.receive()
                if received is not None:
                    return decode_joined(received[0])
        except PeerGone:
            status = self._process.wait(5)
            return ConnectReply(f"its process ended with exit status {status}: see what it printed above")
        return ConnectReply("its process did not answer in time")

    @verb
    def shutdown(self) -> None:
        """Tear down its nodes and end it; returns when its process has ended. Twice does no harm.

        Raises:
            DeadlineError: it had to be killed.
        """
        if self._lifeline is None or os.getpid() != self._owner:
            return
        self._lifeline.close()
        self._lifeline = None
        atexit.unregister(self.shutdown)
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise DeadlineError(f"worker {self.name!r} did not end within {_ENDS_WITHIN:g} s and was killed") from error
        except KeyboardInterrupt:  # a further Ctrl+C: do not wait for teardowns any more
            self._process.send_signal(signal.SIGQUIT)
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Worker {self.name!r} pid {self.pid}>"
