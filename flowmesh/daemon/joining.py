"""How a worker joins a Manager: it hands in a key of its own with the user's standing one, and registers with that."""

from __future__ import annotations

import resource
import signal
import time

from ..channel.pipe import Pipe
from ..errors import LinkError, WorkerError
from ..link.control import WorkerLink, enrol
from ..link.keys import KeyPair, user_keys
from ..runtime.spawn import Spawner
from ..wire.messages import Refusal, Welcome
from .daemon import Daemon


def register(name: str, host: str, port: int, timeout: float, spawner: Spawner, lifeline: Pipe | None) -> Daemon:
    """The daemon, registered.

    Raises:
        LinkError: nobody answers there.
        WorkerError: the Manager refuses; the text says why.
    """
    deadline = time.monotonic() + timeout
    standing = user_keys()
    wait_on = None if lifeline is None else lifeline.fileno()
    link = enrol(host, port, standing.public, standing, KeyPair.make(), timeout, wait_on=wait_on)
    daemon = Daemon(name, link, spawner, lifeline)
    link.send(daemon.registration())
    try:
        _await_welcome(link, deadline)
    except BaseException:
        link.close()
        raise
    return daemon


def _await_welcome(link: WorkerLink, deadline: float) -> None:
    while (left := deadline - time.monotonic()) > 0:
        link.wait([], left)
        for message in link.receive():
            if isinstance(message, Welcome):
                return
            if isinstance(message, Refusal):
                raise WorkerError(f"the Manager refused this worker: {message.reason}")
    raise LinkError("the Manager did not answer the registration in time")


def serve(daemon: Daemon, *leave_on: signal.Signals) -> None:
    """Run the daemon to its end; these signals let it tear down and leave, SIGQUIT ends it at once."""
    for number in leave_on:
        signal.signal(number, lambda *_: setattr(daemon, "asked_to_leave", True))
    signal.signal(signal.SIGQUIT, lambda *_: setattr(daemon, "asked_to_end", True))
    daemon.run()


def raise_limits() -> None:
    """A node takes several descriptors: use as many as we may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
