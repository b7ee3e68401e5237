"""The processes of a worker: the fork server, and the NodeProcess of each node.

Their messages are not read here, and the Machine decides what follows from their ends.
"""

from __future__ import annotations

import socket
from itertools import count

from ..channel.message_socket import MessageSocket
from ..control.worker.node_record import NodeRecord
from ..errors import WorkerError
from ..forkserver.client import ForkServerClient
from ..forkserver.protocol import Exited, Forked
from .node_process import NodeProcess

NODE = "flowmesh.runtime.process"  # what a node's process runs


class Processes:
    """The forked processes. A fork server that has died is replaced when something is to be forked, not before: one
    that can't start must not be started again and again.

    Attributes:
        seats: the node processes, by the node's name.
    """

    def __init__(self, spawner: ForkServerClient) -> None:
        self.seats: dict[str, NodeProcess] = {}
        self._spawner = spawner
        self._spawner_alive = True
        self._numbers = count(1)
        self._pids: dict[int, str] = {}

    def descriptors(self) -> list[int]:
        """The file descriptors to read: of the fork server, and of nodes."""
        server = [self._spawner.fileno()] if self._spawner_alive else []
        return server + [seat.pipe.fileno() for seat in self.seats.values() if seat.pipe is not None]

    # --- the fork server ---------------------------------------------------------------------------------------------

    def spawn(self, module: str) -> tuple[int, MessageSocket]:
        """Fork a process that runs this module; returns its number, and the message socket to it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = next(self._numbers)
        self._live_spawner().fork(number, module, theirs.fileno())
        theirs.close()
        return number, MessageSocket(ours.detach())

    def preload(self, module: str) -> None:
        """Import a module before the next processes are forked, so that they have it."""
        self._live_spawner().preload(module)

    def kill(self, pid: int) -> None:
        """Kill a process."""
        self._spawner.kill(pid)

    def news(self) -> list[Forked | Exited]:
        """The messages of the fork server.

        Raises:
            WorkerError: it has died, and all that it has forked, and was to fork.
        """
        try:
            return self._spawner.news() if self._spawner_alive else []
        except WorkerError:
            self._spawner.close()
            self._spawner_alive = False
            raise

    def _live_spawner(self) -> ForkServerClient:
        if not self._spawner_alive:
            self._spawner = ForkServerClient(NODE)
            self._spawner_alive = True
        return self._spawner

    # --- nodes -------------------------------------------------------------------------------------------------------

    @property
    def pids(self) -> list[int]:
        """The nodes' processes."""
        return list(self._pids)

    @property
    def awaited(self) -> list[str]:
        """The names of the nodes that are being forked."""
        return [name for name, seat in self.seats.items() if not seat.pid and seat.pipe is not None]

    def fork(self, name: str, member: NodeRecord) -> NodeProcess:
        """Fork a node process, and keep its NodeProcess."""
        number, pipe = self.spawn(NODE)
        seat = self.seats[name] = NodeProcess(number, member, pipe)
        return seat

    def forked(self, news: Forked) -> str:
        """Note that a process was forked; returns its node's name, "" if its graph was released before."""
        name = next((name for name, seat in self.seats.items() if seat.number == news.seat), "")
        if not name:
            self.kill(news.pid)
            return ""
        seat = self.seats[name]
        seat.pid = news.pid
        self._pids[news.pid] = name
        if seat.kill_when_forked:
            self.kill(news.pid)
        return name

    def exited(self, pid: int) -> str:
        """Note that a process has ended; returns its node's name, "" if its graph was released."""
        return self._pids.pop(pid, "")

    def kill_node(self, name: str) -> None:
        """Kill a node process, or as soon as it is forked."""
        seat = self.seats[name]
        if seat.pid:
            self.kill(seat.pid)
        else:
            seat.kill_when_forked = True

    def release(self) -> None:
        """Forget all nodes; later messages of their processes are ignored."""
        for seat in self.seats.values():
            seat.close()
        self.seats.clear()
        self._pids.clear()

    def close(self) -> None:
        """Close the fork server, after all that it has forked."""
        self._spawner.close()
