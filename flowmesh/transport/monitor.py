"""The outcome of dialling, from libzmq's socket monitor: the dialling socket itself never reports it."""

from __future__ import annotations

import struct
from enum import Enum

import zmq

from .sockets import Socket, waiting

STRANGE = 3  # handshakes in a row that the other end broke off: once may be a Manager that is just ending
_EVENT = struct.Struct("=Hi")  # an event and its value; pyzmq's own reader imports asyncio, and with it 5 MB
_EVENTS = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


class DialOutcome(Enum):
    """The state of dialling one address."""

    DIALLING = "nothing is known yet"
    ABSENT = "nobody listens there"
    MUTE = "somebody listens there, and says nothing"
    STRANGER = "whoever listens there has not the Manager's key, or is no Manager"
    DENIED = "the Manager does not allow the key; libzmq does not dial again"
    UP = "connected, and both sides know the other's key"


class SocketMonitor:
    """The monitor of a socket that dials one address. Make it before the socket connects, and read it often.

    Attributes:
        socket: readable when there is news.
        outlook: as of the last `read`.
    """

    def __init__(self, watched: Socket) -> None:
        self._watched = watched
        self.socket: Socket = watched.get_monitor_socket(_EVENTS)
        self.outlook = DialOutcome.DIALLING
        self._broken_off = 0

    def read(self) -> DialOutcome:
        """Read the events; returns the state."""
        for frames in waiting(self.socket, 1000):
            self._happened(_EVENT.unpack_from(frames[0].bytes)[0])
        return self.outlook

    def _happened(self, event: int) -> None:
        match event:
            case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._broken_off = 0
                self.outlook = DialOutcome.UP
            case zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self.outlook = DialOutcome.DENIED
            case zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                self._broken_off += 1
                if self._broken_off >= STRANGE:
                    self.outlook = DialOutcome.STRANGER
            case zmq.EVENT_CONNECTED if self.outlook is not DialOutcome.STRANGER:
                self.outlook = DialOutcome.MUTE
            case zmq.EVENT_CLOSED:
                self._broken_off = 0
                self.outlook = DialOutcome.ABSENT
            case zmq.EVENT_DISCONNECTED if self.outlook is DialOutcome.UP:
                self.outlook = DialOutcome.DIALLING
            case _:
                pass

    def close(self) -> None:
        """Close the monitor, before the watched socket."""
        if not self.socket.closed:
            self._watched.disable_monitor()
            self.socket.close(linger=0)
