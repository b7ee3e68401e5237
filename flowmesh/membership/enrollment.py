"""Enrollment of a worker's own key with a Manager, by a token's key or the user's, and joining with it.

Every refusal that libzmq can report becomes a sentence that says what to do; every wait has a limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..errors import LinkError
from ..security.keys import KeyPair, user_keys
from ..security.tokens import JoinToken
from ..transport.control_link import WorkerLink
from ..transport.monitor import DialOutcome
from ..transport.sockets import wait
from ..wire.messages import Enroll, Enrollment, Refusal

_NEW = "ask for a new one: `flowmesh token new` on the Manager's machine, or print(manager.token().line) in its script"
_LINE = "flowmesh-worker --name NAME --token fm1-..."


class AbsentError(LinkError):
    """No Manager answers there, or not yet; try again."""


class DeniedError(LinkError):
    """The Manager answers and does not accept the key."""


class Membership:
    """The addresses and key of a Manager, and the credentials to join it.

    Attributes:
        own: the worker's own key pair; the Manager identifies the worker by it from then on.
        enrolled: whether `own` was enrolled.
        kept: whether the Manager's user has allowed `own` for all later Managers.
    """

    def __init__(
        self, hosts: Sequence[str], port: int, server_key: str, keys: KeyPair, token: JoinToken | None
    ) -> None:
        self.hosts = tuple(hosts)
        self.port = port
        self.server_key = server_key
        self.keys = keys
        self.token = token
        self.own = KeyPair.make()
        self.enrolled = False
        self.kept = False

    @classmethod
    def by_user(cls, host: str, port: int) -> Membership:
        """Membership of a Manager of the same user on the same machine: both read the same key file.

        Raises:
            LinkError: that file can't be used.
        """
        keys = user_keys()
        return cls((host,), port, keys.public, keys, None)

    @classmethod
    def by_token(cls, token: str | JoinToken, host: str | None = None, port: int | None = None) -> Membership:
        """Membership by a token; `host` and `port` replace those in it.

        Raises:
            LinkError: the text is no token.
        """
        token = JoinToken.parse(token) if isinstance(token, str) else token
        hosts = token.hosts if host is None else (host,)
        return cls(hosts, token.port if port is None else port, token.server_key, token.keys, token)

    @property
    def address(self) -> str:
        return " or ".join(f"{host}:{self.port}" for host in self.hosts)

    def __repr__(self) -> str:
        return f"<Access to the Manager at {self.address}>"

    def join(self, timeout: float, wait_on: int | None = None) -> WorkerLink:
        """Join; returns a connected link, whose key the Manager has accepted.

        Args:
            timeout: seconds for all of it.
            wait_on: a file descriptor; when it is ready or at its end, joining is given up.

        Raises:
            AbsentError: no Manager answers there.
            DeniedError: it does not accept us: the token is used up.
            LinkError: another Manager answers, or something else, or `wait_on` became ready.
        """
        dialling = _Dialling(self, time.monotonic() + timeout, wait_on)
        if self.enrolled:
            try:
                return dialling.reach(self.own, self.hosts)
            except DeniedError:
                pass  # another Manager than the one that has enrolled it
        try:
            link = dialling.reach(self.keys, self.hosts)
        except DeniedError:
            if self.token is None or self.enrolled:
                raise
            return dialling.reach(self.own, self.hosts)  # an enrollment just before a cut counts
        try:
            dialling.hand_in(link)
        finally:
            link.close()
        self.enrolled = True
        return dialling.reach(self.own, [link.host])

    def denied(self) -> str:
        if self.token is None:
            whom = "this worker in any more" if self.kept else "this user's key in"
            return f"the Manager at {self.address} does not let {whom}; {_NEW}"
        expired = time.time() >= self.token.expires
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.token.expires))
        why = f"it expired at {when}" if expired else "it was used already, was revoked, or its Manager is no more"
        return f"the Manager at {self.address} does not take the token {self.token.id}: {why}; {_NEW}"

    def strange(self) -> str:
        if self.token is None and not self.kept:
            return (
                f"the Manager at {self.address} is not this user's on this machine, and lets a worker in by a token only: "
                f"on its machine run `flowmesh token new`, or print(manager.token().line) in its script; it prints the "
                f"line to run here: {_LINE}"
            )
        return (
            f"whoever listens at {self.address} is not the Manager that this worker has a token of: is it the right "
            f"address, or does another program or another user's Manager have that port now? If so, {_NEW}"
        )

    def absent(self, mute: bool) -> str:
        why = "something listens there and does not answer" if mute else "check that it runs there"
        return (
            f"no Manager answers at {self.address}: {why}; only Manager(host='0.0.0.0') can be reached "
            "from other machines, and no firewall may be between"
        )


class _Dialling:
    """One attempt to join."""

    def __init__(self, access: Membership, deadline: float, wait_on: int | None) -> None:
        self._access = access
        self._deadline = deadline
        self._fds = [] if wait_on is None else [wait_on]

    def reach(self, keys: KeyPair, hosts: Sequence[str]) -> WorkerLink:
        """Dial all addresses at once, and keep the first link that is up."""
        access = self._access
        links: list[WorkerLink] = []
        try:
            for host in hosts:
                links.append(WorkerLink(host, access.port, access.server_key, keys))
            self._until(links, lambda: self._settled(links))
            found = next((link for link in links if link.outlook is DialOutcome.UP), None)
            if found is None:
                raise self._failure([link.outlook for link in links])
            links.remove(found)
            return found
        finally:
            for link in links:
                link.close()

    def hand_in(self, link: WorkerLink) -> None:
        """Enroll the own key, and wait for the Manager's consent."""
        link.send(Enroll(self._access.own.public))
        answers: list[Enrollment | Refusal] = []

        def answered() -> bool:
            answers.extend(message for message in link.receive() if isinstance(message, Enrollment | Refusal))
            return bool(answers)

        self._until([link], answered)
        if not answers:
            raise AbsentError(self._access.absent(mute=True))
        if isinstance(answers[0], Refusal):
            raise DeniedError(self._access.denied())
        self._access.kept = answers[0].keep

    def _until(self, links: Sequence[WorkerLink], done: Callable[[], bool]) -> None:
        sockets = [socket for link in links for socket in link.sockets]
        while not done() and (left := self._deadline - time.monotonic()) > 0:
            if wait(sockets, self._fds, left):
                raise LinkError(
                    f"joining the Manager at {self._access.address} was given up: whoever asked for it has gone"
                )

    @staticmethod
    def _settled(links: Sequence[WorkerLink]) -> bool:
        outlooks = {link.outlook for link in links}
        return bool(outlooks & {DialOutcome.UP, DialOutcome.DENIED}) or outlooks == {DialOutcome.STRANGER}

    def _failure(self, outlooks: Sequence[DialOutcome]) -> LinkError:
        if DialOutcome.DENIED in outlooks:
            return DeniedError(self._access.denied())
        if DialOutcome.STRANGER in outlooks:
            return LinkError(self._access.strange())
        return AbsentError(self._access.absent(mute=DialOutcome.MUTE in outlooks))
