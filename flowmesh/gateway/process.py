"""The gateway process, from its first message to its exit: one loop on one thread, one wait for everything.

It has the only copy of nothing: the producers keep every chunk that is not delivered yet.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..channel.counters import CounterPage
from ..channel.message_socket import MessageSocket
from ..channel.packet_socket import PeerGone
from ..codecs.malloc import keep_freed_memory
from ..errors import LinkError
from ..transport.data_link import DataLink
from ..wire import messages
from ..wire.messages import CloseTransfers, GatewayOpened, LogLine, Message, OpenGateway, decode, encode
from .codec_pipeline import CodecPipeline
from .incoming import IncomingTransfer
from .local_reader import LocalReader
from .lossless import LosslessOutgoingTransfer
from .lossy import LossyOutgoingTransfer
from .sessions import PeerSessions

Watched = tuple[int, bool, bool, Callable[[], None]]  # a file descriptor, whether it is read, written, its handler


def main(descriptor: int) -> None:
    """Serve as a worker's gateway; `descriptor` is the message socket to the worker. Returns when that is closed."""
    pipe = MessageSocket(descriptor)
    first = _first_message(pipe)
    if first is None:
        return
    keep_freed_memory()
    link = Gateway(first.worker, _listen(first, pipe), pipe)
    try:
        link.run()
    finally:
        link.close()


def _first_message(pipe: MessageSocket) -> OpenGateway | None:
    """The worker's first message; None when it has gone instead."""
    received = pipe.wait()
    if received is None:
        return None
    message = decode(received[0])
    if not isinstance(message, OpenGateway):
        raise LinkError(f"a link's process was told {type(message).__name__} before OpenLink")
    return message


def _listen(first: OpenGateway, pipe: MessageSocket) -> DataLink:
    """Listen at the requested port or, when that is taken, at any other."""
    try:
        return DataLink(first.address, first.port)
    except LinkError as error:
        if not first.port:
            raise
        text = f"the link can't listen at port {first.port} and takes another one: {error}"
        pipe.send(encode(LogLine("", first.worker, logging.WARNING, text)))
        return DataLink(first.address, 0)


class Gateway:
    """The gateway's loop."""

    def __init__(self, worker: str, data: DataLink, pipe: MessageSocket) -> None:
        self._worker = worker
        self._data = data
        self._pipe = pipe
        self._coding = CodecPipeline()
        self._peers = PeerSessions(worker, data, self._say)
        self._watched: dict[int, tuple[bool, bool]] = {}
        self._leaving = False
        self._say(GatewayOpened(worker, data.own_address))

    def run(self) -> None:
        """Serve until the worker closes the socket."""
        peers = self._peers
        while True:
            peers.send()
            handlers = self._watch()
            due = peers.due
            ready, said = self._data.wait(None if due is None else due - time.monotonic())
            for descriptor in ready:
                handlers[descriptor]()
            if self._leaving:
                return
            if said:
                peers.receive()
            if due is not None:
                peers.tick()

    def _watch(self) -> dict[int, Callable[[], None]]:
        """The file descriptors to wait for, each with its handler: only those that can be handled now."""
        handlers: dict[int, Callable[[], None]] = {}
        wanted: dict[int, tuple[bool, bool]] = {}
        for descriptor, reads, writes, handler in self._all():
            if reads or writes:
                handlers[descriptor] = handler
                wanted[descriptor] = reads, writes
        if wanted != self._watched:
            for descriptor in self._watched.keys() - wanted.keys():
                self._data.watch(descriptor, False, False)
            for descriptor, (reads, writes) in wanted.items():
                if self._watched.get(descriptor) != (reads, writes):
                    self._data.watch(descriptor, reads, writes)
            self._watched = wanted
        return handlers

    def _all(self) -> Iterator[Watched]:
        yield self._pipe.fileno(), True, self._pipe.wants_room, self._listen
        yield self._coding.pool.bell, True, False, self._coding.pool.finish
        for outgoing in self._peers.outgoing.values():
            tap = outgoing.tap
            yield tap.fileno(), outgoing.wants, tap.wants_room, outgoing.serve
        for incoming in self._peers.incoming.values():
            for delivery in incoming.deliveries:
                if not (delivery.over or delivery.edge.gone):
                    edge = delivery.edge
                    yield edge.end.fileno(), True, edge.wants_room, partial(incoming.listen, delivery)

    # --- the worker --------------------------------------------------------------------------------------------------

    def _say(self, message: Message) -> None:
        self._pipe.send(encode(message))

    def _complain(self, text: str) -> None:
        self._say(LogLine("", self._worker, logging.ERROR, text))

    def _listen(self) -> None:
        self._pipe.flush()
        try:
            while (received := self._pipe.receive()) is not None:
                self._told(decode(received[0]), received[1])
        except PeerGone:
            self._leaving = True

    def _told(self, message: Message, files: Sequence[int]) -> None:
        match message:
            case messages.PeerGateways(links=links):
                self._peers.peers_changed(links)
            case messages.OpenOutgoing(transfer=transfer):
                self._coding.warm_up()
                page = CounterPage(files[0], 1, 0)
                edge = transfer.edges[0]
                stream = self._coding.stream(transfer.output, edge.codec, edge.quality)
                kind = LosslessOutgoingTransfer if edge.policy == "lossless" else LossyOutgoingTransfer
                self._peers.add_outgoing(kind(transfer, LocalReader(files[1]), page, stream, self._complain))
                self._coding.pool.shared = self._peers.transfers > 1
            case messages.OpenIncoming(transfer=transfer, run=run, restarts=again):
                self._coding.warm_up()
                page = CounterPage(files[0], len(transfer.edges), 0)
                self._peers.add_incoming(
                    IncomingTransfer(transfer, files[1:], page, self._coding, run, again, self._complain)
                )
                self._coding.pool.shared = self._peers.transfers > 1
            case CloseTransfers():
                self._peers.forget()

    def close(self) -> None:
        """Close at once; what waits is not sent."""
        self._peers.forget()
        self._coding.pool.close()
        self._data.close()
        self._pipe.flush(within=0.5)
        self._pipe.close()
