"""A Manager is found on the local network; being found gives no trust."""

from __future__ import annotations

import signal

from flowmesh.security.tokens import JoinToken
from flowmesh.wire.fingerprints import fingerprint

from ..multi_host.network import Host
from .conftest import WITHIN, Boss, Hire


def test_a_worker_finds_the_manager_of_its_token_wherever_it_is_now(here: Host, hire: Hire) -> None:
    boss = Boss(here, "{'zeroconf': True}")
    token = JoinToken.parse(boss.token)
    elsewhere = JoinToken(("10.77.0.99",), 1, token.server_key, token.keys, token.expires)
    worker = hire("--token", elsewhere.text, "--zeroconf")
    shown = fingerprint(token.server_key)
    worker.says(rf"^found a Manager at 10\.77\.0\.1:9000, key {shown}: ours$", WITHIN)
    worker.says(r"^registered as 'remote' with the Manager at 10\.77\.0\.1:9000$", WITHIN)
    worker.signal(signal.SIGINT)
    assert worker.ends(WITHIN) == 0
    boss.end()


def test_one_that_is_found_lets_nobody_in_without_a_token(here: Host, hire: Hire) -> None:
    boss = Boss(here, "{'zeroconf': True}")
    worker = hire("--zeroconf", "--ip", "10.77.0.1")
    worker.says(r"^found a Manager at 10\.77\.0\.1:9000, key [0-9a-f-]{24}: another, which takes a token", WITHIN)
    assert worker.ends(WITHIN) == 1
    assert "lets a worker in by a token only" in worker.output
    assert boss.do("manager.workers") == "()"
    hire("--token", boss.token).says("^registered", WITHIN)
