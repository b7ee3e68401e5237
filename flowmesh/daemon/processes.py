"""The processes of a worker: the fork server that makes them, and the seat of each node.

What they say is not heard here, and what follows from their ends is not decided here.
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
    """Whoever is forked here. A fork server that has died is replaced when something is to be forked, not before: what
    can't start must not be started for ever.

    Attributes:
        seats: the nodes' places, by the node's name.
    """

    def __init__(self, spawner: ForkServerClient) -> None:
        self.seats: dict[str, NodeProcess] = {}
        self._spawner = spawner
        self._spawner_alive = True
        self._numbers = count(1)
        self._pids: dict[int, str] = {}

    def descriptors(self) -> list[int]:
        """Where something may be heard: of the fork server, and of nodes."""
        server = [self._spawner.fileno()] if self._spawner_alive else []
        return server + [seat.pipe.fileno() for seat in self.seats.values() if seat.pipe is not None]

    # --- the fork server ---------------------------------------------------------------------------------------------

    def spawn(self, module: str) -> tuple[int, MessageSocket]:
        """Have a process forked that runs this module; its seat's number, and the pipe to it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = next(self._numbers)
        self._live_spawner().fork(number, module, theirs.fileno())
        theirs.close()
        return number, MessageSocket(ours.detach())

    def preload(self, module: str) -> None:
        """Import a module before the next are forked, so that they have it."""
        self._live_spawner().preload(module)

    def kill(self, pid: int) -> None:
        """End a process at once."""
        self._spawner.kill(pid)

    def news(self) -> list[Forked | Exited]:
        """What the fork server has said.

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
        """The nodes that are being forked."""
        return [name for name, seat in self.seats.items() if not seat.pid and seat.pipe is not None]

    def fork(self, name: str, member: NodeRecord) -> NodeProcess:
        """Have a node's process made, and a seat for it."""
        number, pipe = self.spawn(NODE)
        seat = self.seats[name] = NodeProcess(number, member, pipe)
        return seat

    def forked(self, news: Forked) -> str:
        """A process is there; whose it is, "" if of a graph that was released before it was forked."""
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
        """A process has ended; whose it was, "" if of a graph that was released."""
        return self._pids.pop(pid, "")

    def kill_node(self, name: str) -> None:
        """End a node's process at once, or as soon as it is forked."""
        seat = self.seats[name]
        if seat.pid:
            self.kill(seat.pid)
        else:
            seat.kill_when_forked = True

    def release(self) -> None:
        """Let all nodes go; what is still heard of their processes is nobody's."""
        for seat in self.seats.values():
            seat.close()
        self.seats.clear()
        self._pids.clear()

    def close(self) -> None:
        """Let the fork server go, when all that it has forked was told to."""
        self._spawner.close()
