"""Registration of a worker with a Manager: it enrolls a key of its own, and registers with that."""

from __future__ import annotations

import resource
import signal
import time

from ..channel.message_socket import MessageSocket
from ..errors import LinkError, WorkerError
from ..forkserver.client import ForkServerClient
from ..membership.enrollment import AbsentError, Membership
from ..transport.control_link import WorkerLink
from ..wire.messages import Refusal, Welcome
from .loop import Daemon
from .options import WorkerOptions


def register(
    name: str,
    access: Membership,
    timeout: float,
    spawner: ForkServerClient,
    lifeline: MessageSocket | None,
    terms: WorkerOptions | None = None,
    wait_on: int | None = None,
) -> Daemon:
    """Join a Manager; returns the registered daemon. Joining is given up when the file descriptor `wait_on` can be
    read; while dialling, also when `lifeline` can.

    Raises:
        LinkError: nothing answers there, or it does not accept this worker.
        WorkerError: the Manager refuses; the text says why.
    """
    deadline = time.monotonic() + timeout
    link = access.join(timeout, wait_on=wait_on if lifeline is None else lifeline.fileno())
    daemon = Daemon(name, link, spawner, lifeline, terms or WorkerOptions())
    try:
        link.send(daemon.registration())
        _await_welcome(link, deadline, wait_on)
    except BaseException:
        daemon.abandon()
        raise
    return daemon


def _await_welcome(link: WorkerLink, deadline: float, wait_on: int | None) -> None:
    fds = [] if wait_on is None else [wait_on]
    while (left := deadline - time.monotonic()) > 0:
        if link.wait(fds, left):
            raise LinkError("registering was given up")
        for message in link.receive():
            if isinstance(message, Welcome):
                return
            if isinstance(message, Refusal):
                raise WorkerError(f"the Manager refused this worker: {message.reason}")
    raise AbsentError("the Manager did not answer the registration in time")


def heed(daemon: Daemon, *leave_on: signal.Signals) -> None:
    """Install handlers: these signals let the daemon tear down and leave, and SIGQUIT ends it at once."""
    for number in leave_on:
        signal.signal(number, lambda *_: setattr(daemon, "asked_to_leave", True))
    signal.signal(signal.SIGQUIT, lambda *_: setattr(daemon, "asked_to_end", True))


def raise_limits() -> None:
    """Raise the limit of file descriptors as far as allowed: a node needs several."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
