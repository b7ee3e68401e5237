"""The worker's side of the fork server: requests for processes, reports of their ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

from ..channel.message_socket import MessageSocket
from ..channel.packet_socket import PeerGone
from ..errors import WorkerError
from .protocol import Exited, Forked, ForkRequest, News, PreloadRequest, decode_news, encode


class ForkServerClient:
    """A client with a fork server of its own, which imports these modules first; `environment` is added to ours."""

    def __init__(self, *modules: str, environment: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flowmesh.forkserver.server", str(theirs.fileno()), *modules],
            pass_fds=[theirs.fileno()],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._pipe = MessageSocket(ours.detach())

    def fileno(self) -> int:
        return self._pipe.fileno()

    def preload(self, module: str) -> None:
        """Import a module in the server, so that the nodes forked from now on have it."""
        self._pipe.send(encode(PreloadRequest(module)))

    def fork(self, seat: int, module: str, descriptor: int) -> None:
        """Start a process that runs `main(descriptor)` of a module, with its end of the message socket to it, which the
        caller closes."""
        self._pipe.send(encode(ForkRequest(seat, module)), [descriptor])

    def news(self) -> list[Forked | Exited]:
        """The reports since the last call.

        Raises:
            WorkerError: the fork server has died.
        """
        happened: list[News] = []
        try:
            self._pipe.flush()
            while (received := self._pipe.receive()) is not None:
                happened.append(decode_news(received[0]))
        except PeerGone as error:
            raise WorkerError("the fork server has died") from error
        return happened

    def kill(self, pid: int) -> None:
        """Kill a process that was forked."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        """Close the connection; the server ends when its last child has."""
        self._pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
