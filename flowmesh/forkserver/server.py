"""The fork server: imports modules, forks processes that run one of them, reaps each and reports how it ended.

It makes no thread and opens nothing but its socket: what a child inherits must be safe to use. It outlives its worker by
as long as its children need to tear down, and kills what is left then.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import os
import signal
import sys
import time

from ..channel.message_socket import MessageSocket
from ..channel.packet_socket import PeerGone
from ..channel.readable import readable
from .process_exit import exit_process
from .protocol import Exited, Forked, ForkRequest, PreloadRequest, decode_request, encode

GRACE = 6.0  # seconds that children have to tear down after the worker's death
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl  # found before any fork: nodes share the memory that this takes


class ForkServer:
    """The server's loop."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = MessageSocket(descriptor)
        self._children: dict[int, int] = {}  # pidfd -> pid

    def run(self) -> None:
        gc.collect()
        gc.freeze()
        try:
            while True:
                pipe = self._pipe.fileno()
                ready = readable([pipe, *self._children])
                self._reap([fd for fd in ready if fd != pipe])
                if pipe in ready:
                    self._serve()
                self._pipe.flush()
        except PeerGone:
            self._end()

    def _serve(self) -> None:
        while (received := self._pipe.receive()) is not None:
            match decode_request(received[0]):
                case PreloadRequest(module=module):
                    try:
                        importlib.import_module(module)
                    except ImportError:
                        pass  # the node that needs it reports it
                    gc.collect()
                    gc.freeze()
                case ForkRequest(seat=seat, module=module):
                    self._fork(seat, module, received[1][0])

    def _fork(self, seat: int, module: str, descriptor: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become_child(module, descriptor)
        os.close(descriptor)
        self._children[os.pidfd_open(pid)] = pid
        self._pipe.send(encode(Forked(seat, pid)))

    def _become_child(self, module: str, descriptor: int) -> None:
        status = 1
        try:
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._pipe.close()
            for pidfd in self._children:
                os.close(pidfd)
            importlib.import_module(module).main(descriptor)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            exit_process(status)

    def _reap(self, pidfds: list[int]) -> None:
        for pidfd in pidfds:
            pid = self._children.pop(pidfd)
            os.close(pidfd)
            _end_session(pid)
            _, status, used = os.wait4(pid, 0)
            cpu = used.ru_utime + used.ru_stime
            self._pipe.send(encode(Exited(pid, os.waitstatus_to_exitcode(status), cpu, used.ru_maxrss * 1024)))

    def _end(self) -> None:
        """End after the worker: its nodes notice that too, and tear down."""
        deadline = time.monotonic() + GRACE
        while self._children and (left := deadline - time.monotonic()) > 0:
            self._reap(readable(self._children, left))
        for pid in self._children.values():
            os.kill(pid, signal.SIGKILL)


def _end_session(pid: int) -> None:
    """End what a node has started and left: pools, subprocesses. Before the node is reaped, so that the id is still its."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def main() -> None:
    """`python -m flowmesh.forkserver.server DESCRIPTOR [MODULE ...]`: the socket to its client, modules to import first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.stderr is not None:  # the script's starter may have closed it
        faulthandler.enable()
    for module in sys.argv[2:]:
        importlib.import_module(module)
    ForkServer(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
