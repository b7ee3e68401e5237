"""The service of a worker started by a command: join, serve, and, if it is to stay, join the next Manager."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from flowmesh.daemon.capacity import offer
from flowmesh.daemon.loop import Daemon
from flowmesh.daemon.options import WorkerOptions
from flowmesh.daemon.registration import heed, raise_limits, register
from flowmesh.errors import FlowmeshError, LinkError, WorkerError
from flowmesh.forkserver.client import ForkServerClient
from flowmesh.membership.enrollment import AbsentError, Membership
from flowmesh.membership.keystore import load_access, save_access
from flowmesh.membership.mdns import look_around
from flowmesh.wire.fingerprints import fingerprint

from .console import ConsoleReporter, say
from .options import read_token

_TRY = 5.0  # seconds that a Manager has to answer, before it is dialled anew; until then it is dialled every second
_PATIENCE = 10.0  # seconds of silence after which a Manager has vanished: far more than a loaded network causes
_LONGEST_PAUSE = 30.0  # seconds between two attempts after refusals


class WorkerService:
    """The worker of one command.

    Args:
        asked: the parsed command line.
        token: as given: text, @FILE, - or nothing.
    """

    def __init__(self, asked: argparse.Namespace, token: str | None) -> None:
        self._asked = asked
        self._token = token
        self._access: Membership | None = None
        self._joined = False
        self._interrupted = False
        self._dialling = False
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._seen: set[str] = set()
        self._terms = WorkerOptions(
            id=asked.id,
            pickle=not asked.no_pickle,
            link_port=asked.wport,
            patience=_PATIENCE,
            tell=ConsoleReporter(),
            capacity=offer(asked.slots, asked.kind, asked.label, asked.price, asked.functions, asked.only_registered),
            functions="" if asked.functions is None else os.path.abspath(asked.functions),
        )

    def run(self) -> int:
        """Run to the end; returns the exit status."""
        raise_limits()
        try:
            while True:
                daemon = self._join()
                daemon.run()
                status = self._parted(daemon)
                if status is not None:
                    return status
        except KeyboardInterrupt:
            return 0
        except (FlowmeshError, OSError) as error:
            print(f"flowmesh-worker: {error}", file=sys.stderr)
            return 1

    def _parted(self, daemon: Daemon) -> int | None:
        """Handle the end of a connection to a Manager; returns the exit status, None to join the next one."""
        if daemon.asked_to_leave or not (daemon.dismissed or daemon.ending):
            say("left")
            return 0
        say(daemon.ending or "the Manager has shut down")
        if self._asked.stay:
            return None
        say("left")
        return 1 if daemon.ending else 0

    def _interrupt(self, *_: object) -> None:
        """Note the interrupt, and raise: an exception raised while the collector frees something is lost. During
        dialling nothing is raised, as a half-made link could never be closed: the doorbell ends that."""
        self._interrupted = True
        os.eventfd_write(self._bell, 1)
        if not self._dialling:
            raise KeyboardInterrupt

    # --- joining -----------------------------------------------------------------------------------------------------

    def _join(self) -> Daemon:
        """Dial until a Manager accepts this worker."""
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        spawner = ForkServerClient()  # at once: it imports while we dial
        try:
            daemon = self._dial(spawner)
        except BaseException:
            spawner.close()
            raise
        heed(daemon, signal.SIGINT, signal.SIGTERM)
        self._dialling = False
        if self._interrupted:  # before the handlers were installed
            signal.raise_signal(signal.SIGINT)
        self._joined = True
        assert self._access is not None
        if self._access.kept:
            save_access(self._asked.name, self._access)
        say(f"registered as {self._asked.name!r} with the Manager at {self._access.address}")
        return daemon

    def _dial(self, spawner: ForkServerClient) -> Daemon:
        said, pause = "", 1.0
        while True:
            if self._interrupted:
                raise KeyboardInterrupt
            access = self._find()
            try:
                return self._register(access, 1.0 if not said else _TRY, spawner)
            except AbsentError:
                text, pause = f"waiting for a Manager at {access.address} (Ctrl+C ends this)", 0.0
            except (LinkError, WorkerError) as error:
                if self._interrupted:
                    raise KeyboardInterrupt from None
                if not (self._asked.stay and self._joined):
                    raise
                text, pause = f"waiting: {error}", min(2 * pause + 1.0, _LONGEST_PAUSE)
            if text != said:
                say(text)
            said = text
            if not self._interrupted:
                time.sleep(pause)

    def _register(self, access: Membership, timeout: float, spawner: ForkServerClient) -> Daemon:
        self._dialling = True
        try:
            return register(self._asked.name, access, timeout, spawner, None, self._terms, self._bell)
        except BaseException:
            self._dialling = False
            raise

    def _find(self) -> Membership:
        """The membership to join with: a token in a file may be a new one."""
        asked = self._asked
        if self._access is None or (self._token or "").startswith("@"):
            text = read_token(self._token)
            if text is None:
                self._access = self._without_token()
            elif self._access is None or self._access.token is None or self._access.token.text != text:
                self._access = Membership.by_token(text, asked.ip, asked.port)
                kept = load_access(asked.name)
                if kept is not None and kept.server_key == self._access.server_key:  # the token may be used up: by us
                    self._access.own, self._access.enrolled, self._access.kept = kept.own, True, True
        if asked.zeroconf:
            self._look_for(self._access)
        return self._access

    def _without_token(self) -> Membership:
        """The saved membership of an earlier token, unless another address is given; else the user's own key."""
        asked = self._asked
        kept = load_access(asked.name)
        if kept is None or (asked.ip is not None and asked.ip not in kept.hosts):
            return Membership.by_user(asked.ip or "127.0.0.1", asked.port or 9000)
        kept.port = asked.port or kept.port
        return kept

    def _look_for(self, access: Membership) -> None:
        """Find the Manager with the known key on the local network. Others are shown, and not joined."""
        ours = fingerprint(access.server_key)
        sights = look_around(until=ours)
        for sight in sights:
            at = " or ".join(f"{host}:{sight.port}" for host in sight.hosts)
            whose = "ours" if sight.fingerprint == ours else "another, which takes a token of its own"
            text = f"found a Manager at {at}, key {sight.fingerprint}: {whose}"
            if text not in self._seen:
                self._seen.add(text)
                say(text)
        for sight in sights:
            if sight.fingerprint == ours:
                access.hosts, access.port = sight.hosts, sight.port
