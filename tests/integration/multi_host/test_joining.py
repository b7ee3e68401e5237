"""Who may join from another host, and who may not: each refusal beside a case that works."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .network import NOBODY, Host, Network
from .programs import Program

Deadline = Callable[[float], float]
MANAGER = """
import sys
import flowmesh as fm

with fm.Manager(host="0.0.0.0", port=9000) as manager:
    print("up", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["token", seconds]:
                token = manager.token(expires=float(seconds))
                print("token", token.id, token.text, flush=True)
            case ["tokens"]:
                print("tokens", *(f"{token.id}={token.state}" for token in manager.tokens()), flush=True)
            case ["revoke", which]:
                manager.revoke(which)
                print("revoked", which, flush=True)
            case ["workers"]:
                print("workers", *manager.workers, flush=True)
            case ["leave"]:
                break
"""
REFUSED = 1


class Door:
    """A Manager that hands out tokens."""

    def __init__(self, host: Host, deadline: Deadline, environment: dict[str, str] | None = None) -> None:
        self._within = deadline(30)
        self.program = host.python(MANAGER, environment=environment)
        self.program.says("^up$", deadline(30))

    def token(self, expires: float = 600.0) -> str:
        """A new token's text."""
        return self._ask(f"token {expires}", r"^token (\S+) (\S+)$").split()[-1]

    def id_of(self, token: str) -> str:
        """What the Manager calls it."""
        lines = [line.split() for line in self.program.output.splitlines() if line.startswith("token ")]
        (found,) = [name for _, name, text in lines if text == token]
        return found

    def revoke(self, which: str) -> None:
        self._ask(f"revoke {which}", "^revoked .*$")

    def tokens(self) -> dict[str, str]:
        """{id: state} of all tokens."""
        return dict(entry.split("=") for entry in self._ask("tokens", "^tokens(.*)$").split()[1:])

    def workers(self) -> list[str]:
        return self._ask("workers", "^workers(.*)$").split()[1:]

    def leave(self) -> None:
        self.program.tell("leave")
        self.program.succeeds(self._within)

    def _ask(self, line: str, answer: str) -> str:
        heard = len(self.program.output)
        self.program.tell(line)
        return self.program.says(answer, self._within, heard)[0]


@pytest.fixture
def door(here: Host, deadline: Deadline) -> Door:
    return Door(here, deadline)


def joins(host: Host, deadline: Deadline, *arguments: str, name: str = "welcome") -> Program:
    """A worker that is let in."""
    worker = host.worker("--name", name, *arguments)
    worker.says(f"registered as '{name}'", deadline(40))
    return worker


def refused(host: Host, deadline: Deadline, why: str, *arguments: str, user: int | None = None) -> Program:
    """A worker that is told why not, and ends."""
    worker = host.worker("--name", "stranger", *arguments, user=user)
    worker.says(why, deadline(30))
    assert worker.ends(deadline(30)) == REFUSED
    assert "Traceback" not in worker.output
    return worker


def test_a_token_lets_one_worker_in_once(door: Door, there: Host, network: Network, deadline: Deadline) -> None:
    token = door.token()
    worker = joins(there, deadline, "--token", token)
    refused(network.host("third"), deadline, "token", "--token", token)
    assert door.workers() == ["welcome"]
    assert "used" in door.tokens()[door.id_of(token)]
    worker.signal(signal.SIGINT)
    assert worker.ends(deadline(30)) == 0
    door.leave()


def test_an_expired_or_revoked_token_is_refused_and_a_fresh_one_is_not(
    door: Door, there: Host, deadline: Deadline
) -> None:
    revoked, short = door.token(), door.token(expires=0.2)
    door.revoke(door.id_of(revoked))
    joins(there, deadline, "--token", door.token())
    for token in (short, revoked):
        refused(there, deadline, "token", "--token", token)
    assert door.workers() == ["welcome"]
    door.leave()


def test_a_damaged_token_is_told_from_one_that_is_not_allowed(door: Door, there: Host, deadline: Deadline) -> None:
    token = door.token()
    swapped = "A" if token[20] != "A" else "B"
    refused(there, deadline, "damaged", "--token", token[:20] + swapped + token[21:])
    refused(there, deadline, "damaged", "--token", token[:-7])
    joins(there, deadline, "--token", token)
    door.leave()


def test_a_key_that_nobody_knows_is_refused(door: Door, here: Host, there: Host, deadline: Deadline) -> None:
    stranger = refused(there, deadline, "token", "--ip", here.address)
    assert "flowmesh token new" in stranger.output or "--token" in stranger.output  # what to do
    assert door.workers() == []
    joins(there, deadline, "--token", door.token())
    assert door.workers() == ["welcome"]
    door.leave()


def test_another_user_of_the_same_host_is_refused(door: Door, here: Host, deadline: Deadline) -> None:
    refused(here, deadline, "token", "--ip", "127.0.0.1", user=NOBODY)
    assert door.workers() == []
    joins(here, deadline, "--ip", "127.0.0.1")
    door.leave()


def test_another_user_cannot_use_this_users_key(door: Door, here: Host, deadline: Deadline) -> None:
    (key,) = here.state.rglob("user.key")
    assert key.stat().st_mode & 0o777 == 0o600
    state = {"XDG_STATE_HOME": str(here.state)}
    worker = here.worker("--name", "thief", "--ip", "127.0.0.1", environment=state, user=NOBODY)
    assert worker.ends(deadline(30)) == REFUSED
    assert "key" in worker.output
    assert "Traceback" not in worker.output
    assert door.workers() == []
    door.leave()


def test_a_worker_obeys_no_other_manager_than_its_tokens(
    door: Door, here: Host, there: Host, deadline: Deadline
) -> None:
    token = door.token()
    door.leave()
    strange = here.folder / "strange"
    strange.mkdir()
    other = Door(here, deadline, environment={"XDG_STATE_HOME": str(strange)})  # at the same address, with another key
    refused(there, deadline, "Manager", "--token", token)
    assert other.workers() == []
    joins(there, deadline, "--token", other.token())
    assert other.workers() == ["welcome"]
    other.leave()


def test_a_revoked_worker_is_sent_home_and_cannot_come_back(door: Door, there: Host, deadline: Deadline) -> None:
    worker = joins(there, deadline, "--token", door.token())
    door.revoke("welcome")
    assert worker.ends(deadline(30)) in (0, REFUSED)
    assert door.workers() == []
    joins(there, deadline, "--token", door.token())
    door.leave()


def test_no_secret_is_in_the_process_list_the_environment_or_the_log(
    door: Door, there: Host, deadline: Deadline
) -> None:
    token = door.token()
    worker = joins(there, deadline, "--token", token)
    for pid in there.pids():
        for name in ("cmdline", "environ"):
            assert token.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert token not in worker.output
    for path in there.state.rglob("*"):
        assert not path.is_file() or path.stat().st_mode & 0o077 == 0
        assert not path.is_file() or token.encode() not in path.read_bytes()
    door.leave()


def test_a_manager_of_loopback_is_not_reached_from_outside(here: Host, there: Host, deadline: Deadline) -> None:
    manager = here.python(
        "import sys; import flowmesh as fm\n"
        "with fm.Manager(port=9000) as manager:\n    print('up', flush=True); sys.stdin.readline()"
    )
    manager.says("^up$", deadline(30))
    outside = there.worker("--name", "outside", "--ip", here.address)
    outside.says("waiting for a Manager", deadline(30))
    joins(here, deadline, "--ip", "127.0.0.1")
    assert os.path.exists(f"/proc/{outside.pid}")
    outside.signal(signal.SIGINT)
    assert outside.ends(deadline(30)) == 0
    manager.tell("leave")
    manager.succeeds(deadline(30))


def test_a_worker_waits_for_its_manager(here: Host, there: Host, deadline: Deadline) -> None:
    first = Door(here, deadline)
    token = first.token()
    there.cut()
    worker = there.worker("--name", "early", "--token", token)
    worker.says("waiting for a Manager", deadline(30))
    there.mend()
    worker.says("registered as 'early'", deadline(30))
    assert first.workers() == ["early"]
    first.leave()
    assert worker.ends(deadline(30)) == 0


def test_an_isolated_network_without_a_default_route_is_enough(deadline: Deadline, tmp_path: Path) -> None:
    with Network(tmp_path, routed=False) as network:
        door = Door(network.host("here"), deadline)
        joins(network.host("there"), deadline, "--token", door.token())
        door.leave()
