"""A link's process as its worker has it: started, told, heard, killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from flowmesh.channel.message_socket import MessageSocket
from flowmesh.channel.packet_socket import PeerGone, pair
from flowmesh.wire.messages import (
    GatewayOpened,
    LinkNews,
    Message,
    OpenGateway,
    OpenIncoming,
    OpenOutgoing,
    PeerGateways,
    decode,
    encode,
)
from flowmesh.wire.plan_specs import EdgeSpec, LinkAddress, Transfer

from ..conftest import SCALE

ADDRESS = "127.0.0.1"
WITHIN = 30.0  # seconds
START = "import sys; from flowmesh.gateway.process import main; main(int(sys.argv[1]))"
Said = TypeVar("Said", bound=Message)


class Host:
    """A worker with its link."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.start()

    def start(self) -> None:
        ours, theirs = pair()
        self._pipe = MessageSocket(ours)
        self._heard: list[Message] = []
        self.process = subprocess.Popen([sys.executable, "-c", START, str(theirs)], pass_fds=[theirs])
        os.close(theirs)
        self.tell(OpenGateway(self.name, ADDRESS))
        self.link: LinkAddress = self.hears(GatewayOpened).link

    def tell(self, message: Message, *files: int) -> None:
        self._pipe.send(encode(message), files)

    def hears(
        self, kind: type[Said], within: float = WITHIN, which: Callable[[Said], bool] = lambda said: True
    ) -> Said:
        """The next message of that kind that is meant; others are kept for later."""
        deadline = time.monotonic() + within * SCALE
        while True:
            for message in self._heard:
                if isinstance(message, kind) and which(message):
                    self._heard.remove(message)
                    return message
            left = deadline - time.monotonic()
            assert left > 0, f"{self.name} did not say {kind.__name__} within {within} s, but {self._heard}"
            select.select([self._pipe], [], [], left)
            self._receive()

    def _receive(self) -> None:
        try:
            while (received := self._pipe.receive()) is not None:
                self._heard.append(decode(received[0]))
        except PeerGone:
            raise AssertionError(f"the link of {self.name} has gone: {self.process.wait()}") from None

    def knows(self, *hosts: Host) -> None:
        self.tell(PeerGateways("g", {host.name: host.link for host in hosts}))

    def sends(self, transfer: Transfer, page: int, end: int) -> None:
        """Takes over `end`."""
        self.tell(OpenOutgoing("g", 1, transfer, ()), page, end)
        os.close(end)

    def receives(self, transfer: Transfer, page: int, ends: Sequence[int], again: int = 0) -> None:
        """Takes over `ends`."""
        self.tell(OpenIncoming("g", 1, transfer, (), again), page, *ends)
        for end in ends:
            os.close(end)

    def is_up_with(self, other: Host, within: float = WITHIN) -> None:
        self.hears(LinkNews, within, lambda news: news.peer == other.name and news.up)

    def has_lost(self, other: Host, within: float = WITHIN) -> LinkNews:
        return self.hears(LinkNews, within, lambda news: news.peer == other.name and not news.up)

    @property
    def cpu(self) -> float:
        """Seconds of processor time that the link has used."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._pipe.close()

    def leave(self) -> None:
        """Close the pipe; the link's process ends."""
        self._pipe.close()
        assert self.process.wait(WITHIN * SCALE) == 0


def transfer(
    source: str, target: str, *, index: int = 0, policy: str = "lossless", depth: int = 256, slots: int = 4,
    consumers: Sequence[str] = ("sink",), codec: str | None = None, producer: str = "film", output: int = 0,
) -> Transfer:  # fmt: skip
    edges = tuple(
        EdgeSpec(10 * index + place, producer, consumer, policy, depth, slots, codec=codec)
        for place, consumer in enumerate(consumers)
    )
    return Transfer(index, producer, output, source, target, edges, slots=4 + len(consumers) * (slots + 6))
