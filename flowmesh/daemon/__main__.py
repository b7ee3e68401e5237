"""`python -m flowmesh.daemon DESCRIPTOR`: the daemon of a Worker that a script made. The descriptor is its lifeline."""

from __future__ import annotations

import select
import signal
import sys
import time

from ..channel.packets import PeerGone
from ..channel.pipe import Pipe
from ..errors import FlowmeshError, LinkError
from ..link.control import WorkerLink, enrol
from ..link.keys import KeyPair, user_keys
from ..runtime.spawn import Spawner
from ..wire.messages import Refusal, Welcome
from .daemon import Daemon
from .lifeline import Join, Joined, decode_join, encode


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the script's: it tells us by the lifeline
    lifeline = Pipe(int(sys.argv[1]))
    spawner = Spawner()  # at once: it imports while the script goes on
    try:
        join = _asked(lifeline)
        daemon = _join(join, spawner, lifeline) if join is not None else None
    except FlowmeshError as error:
        lifeline.send(encode(Joined(str(error))))
        daemon = None
    if daemon is None:
        spawner.close()
        return
    signal.signal(signal.SIGTERM, lambda *_: setattr(daemon, "asked_to_leave", True))
    signal.signal(signal.SIGQUIT, lambda *_: setattr(daemon, "asked_to_end", True))
    lifeline.send(encode(Joined()))
    daemon.run()


def _asked(lifeline: Pipe) -> Join | None:
    """What the script wants; None when it has gone instead."""
    try:
        while (received := lifeline.receive()) is None:
            select.select([lifeline], [], [])
    except PeerGone:
        return None
    return decode_join(received[0])


def _join(join: Join, spawner: Spawner, lifeline: Pipe) -> Daemon:
    """Hand in a key of our own with the user's standing one, and register.

    Raises:
        LinkError: nobody answers, or the Manager refuses.
    """
    deadline = time.monotonic() + join.timeout
    standing = user_keys()
    link = enrol(
        join.host, join.port, standing.public, standing, KeyPair.make(), join.timeout, wait_on=lifeline.fileno()
    )
    daemon = Daemon(join.name, link, spawner, lifeline)
    link.send(daemon.registration())
    _await_welcome(link, deadline)
    return daemon


def _await_welcome(link: WorkerLink, deadline: float) -> None:
    while (left := deadline - time.monotonic()) > 0:
        link.wait([], left)
        for message in link.receive():
            if isinstance(message, Welcome):
                return
            if isinstance(message, Refusal):
                raise LinkError(f"the Manager refused this worker: {message.reason}")
    raise LinkError("the Manager did not answer the registration in time")


if __name__ == "__main__":
    main()
