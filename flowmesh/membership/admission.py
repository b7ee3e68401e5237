"""Admission of workers to a Manager: approval, new tokens, and announcements.

It accepts no key by itself: the allowlist does that. It knows nothing of the graph.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..errors import LinkError
from ..security.addresses import is_loopback, reachable
from ..security.keys import KeyPair
from ..security.tokens import JoinToken
from ..standard_streams import write_stderr
from ..transport.control_link import ManagerLink
from .keystore import WorkerKeystore
from .mdns import MdnsAnnouncement

log = logging.getLogger("flowmesh")
ApproveWorker = Callable[[str, str, str], bool]


class Admission:
    """Admission to the Manager that listens with `link` and has the public key `key`.

    Attributes:
        kept: the keys that earlier Managers of this user have accepted permanently, with their names.

    Raises:
        LinkError: the file of kept workers can't be used.
    """

    def __init__(self, link: ManagerLink, key: str, allow: ApproveWorker | None) -> None:
        self._link = link
        self._key = key
        self._allow = allow
        self._store = WorkerKeystore()
        self._announcement: MdnsAnnouncement | None = None
        self.kept = self._store.load()
        for each in (key, *self.kept):
            link.allow(each)

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach it."""
        return not is_loopback(self._link.host)

    def mint(self, expires: float) -> JoinToken:
        """Make a new token, which is valid once the Machine knows it.

        Raises:
            LinkError: only this machine can reach the Manager, or `expires` is not a number of seconds.
        """
        if not self.is_open:
            raise LinkError(
                f"only this machine can reach the Manager at {self._link.host}: "
                "make it with Manager(host='0.0.0.0'), or with an address that other machines can reach"
            )
        if not 0 < expires < 1e9:
            raise LinkError(f"expires is a number of seconds above 0, not {expires!r}")
        hosts = reachable(self._link.host)
        return JoinToken(hosts, self._link.port, self._key, KeyPair.make(), time.time() + expires)

    def invite(self, token: JoinToken) -> None:
        """Show the line to paste: on the terminal, not in the log, which is kept and passed on."""
        write_stderr(
            f"flowmesh: a worker on another machine joins with this line, once, within the hour:\n  {token.line}\n"
        )

    def announce(self) -> None:
        """Announce the Manager on the local network, until `close`.

        Raises:
            LinkError: it can't be announced, or the extra is not installed.
        """
        self._announcement = MdnsAnnouncement(reachable(self._link.host), self._link.port, self._key)

    def admits(self, name: str, key: str) -> bool:
        """Ask the user's `allow`; any exception of it is logged and counts as a refusal."""
        if self._allow is None:
            return True
        try:
            return bool(self._allow(name, key, self._link.address_of(key)))
        except Exception:
            log.exception("allow= raised for worker %r, which is refused", name)
            return False

    def keep(self, key: str, name: str) -> None:
        """Record a key for later Managers; with no name, remove it. After a failure only this Manager knows it."""
        try:
            if name:
                self._store.add(key, name)
            else:
                self._store.remove(key)
        except LinkError as error:
            log.error("%s", error)

    def close(self) -> None:
        """Withdraw the announcement on the local network."""
        if self._announcement is not None:
            self._announcement.close()
