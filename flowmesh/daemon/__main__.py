"""`python -m flowmesh.daemon DESCRIPTOR`: the daemon of a Worker that a script made. The descriptor is its lifeline."""

from __future__ import annotations

import signal
import sys

from ..channel.message_socket import MessageSocket
from ..errors import FlowmeshError
from ..forkserver.client import ForkServerClient
from ..membership.enrollment import Membership
from .lifeline import ConnectReply, ConnectRequest, decode_join, encode
from .options import WorkerOptions
from .processes import NODE
from .registration import heed, raise_limits, register


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the script's: the script reports it by the lifeline
    raise_limits()
    lifeline = MessageSocket(int(sys.argv[1]))
    spawner = ForkServerClient(NODE)  # at once: it imports while the script goes on
    daemon = None
    try:
        join = _asked(lifeline)
        if join is not None:
            options = WorkerOptions(capacity=join.capacity, functions=join.functions)
            daemon = register(join.name, _access(join), join.timeout, spawner, lifeline, options)
    except FlowmeshError as error:
        lifeline.send(encode(ConnectReply(str(error))))
    if daemon is None:
        spawner.close()
        return
    lifeline.send(encode(ConnectReply()))
    heed(daemon, signal.SIGTERM)
    daemon.run()


def _asked(lifeline: MessageSocket) -> ConnectRequest | None:
    """The script's request; None when the script has gone instead."""
    received = lifeline.wait()
    return None if received is None else decode_join(received[0])


def _access(join: ConnectRequest) -> Membership:
    if join.token:
        return Membership.by_token(join.token, join.host, join.port)
    assert join.host is not None
    assert join.port is not None
    return Membership.by_user(join.host, join.port)


if __name__ == "__main__":
    main()
