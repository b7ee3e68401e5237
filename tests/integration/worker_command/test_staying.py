"""How long a worker stays: through cuts, and with --stay from one Manager to the next."""

from __future__ import annotations

import signal
import time

import pytest

from ...conftest import SCALE
from ..multi_host.network import Host
from .conftest import WITHIN, Boss, Hire


def test_an_idle_worker_registers_and_leaves_within_two_seconds(boss: Boss, hire: Hire) -> None:
    worker = hire("--token", boss.token)
    worker.says("^registered", WITHIN)
    begun = time.monotonic()
    worker.signal(signal.SIGINT)
    assert worker.ends(WITHIN) == 0
    assert time.monotonic() - begun < 2.0 * SCALE
    boss.says("worker 'remote' .* left")


def test_it_waits_for_a_manager_that_is_not_up_yet(here: Host) -> None:
    early = here.worker("--name", "early")
    early.says("waiting for a Manager at 127.0.0.1:9000", WITHIN)
    boss = Boss(here)
    begun = time.monotonic()
    early.says("^registered", WITHIN)
    assert time.monotonic() - begun < 2.0 * SCALE
    assert boss.do("manager.workers") == "('early',)"


def test_without_stay_it_ends_with_its_manager(boss: Boss, hire: Hire) -> None:
    worker = hire("--token", boss.token)
    worker.says("^registered", WITHIN)
    boss.end()
    assert worker.ends(WITHIN) == 0
    assert worker.output.endswith("the Manager has shut down\nleft\n")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_with_stay_it_joins_the_next_manager(here: Host, how: signal.Signals) -> None:
    boss = Boss(here)
    worker = here.worker("--name", "remote", "--stay")
    worker.says("^registered", WITHIN)
    assert boss.do("run()") == "running"
    worker.says("^running", WITHIN)
    boss.end(how)
    worker.says(
        "the Manager has shut down" if how == signal.SIGINT else "does not let this worker in|not heard", WITHIN
    )
    since = len(worker.output)
    following = Boss(here)
    worker.says("^registered", WITHIN, since)
    assert following.do("run()") == "running"
    worker.signal(signal.SIGINT)
    assert worker.ends(WITHIN) == 0


def test_with_stay_a_new_token_in_its_file_lets_it_join_the_next_manager(here: Host, there: Host, hire: Hire) -> None:
    boss = Boss(here)
    file = there.folder / "token"
    file.write_text(boss.token)
    worker = hire("--token", "@token", "--stay")
    worker.says("^registered", WITHIN)
    boss.end()
    worker.says("the Manager has shut down", WITHIN)
    since = len(worker.output)
    following = Boss(here)
    worker.says("waiting: ", WITHIN, since)
    file.write_text(following.token)
    worker.says("^registered", 2 * WITHIN, since)
    worker.signal(signal.SIGINT)
    assert worker.ends(WITHIN) == 0


def test_after_a_cut_it_registers_again_without_a_new_token(boss: Boss, hire: Hire, there: Host) -> None:
    worker = hire("--token", boss.token)
    worker.says("^registered", WITHIN)
    there.cut()
    boss.says("worker 'remote' .* vanished")
    there.mend()
    boss.says("(?s)vanished.*worker 'remote' registered")
    assert boss.do("run()") == "running"


def test_a_manager_that_has_vanished_is_given_up(boss: Boss, hire: Hire, there: Host) -> None:
    worker = hire("--token", boss.token)
    worker.says("^registered", WITHIN)
    assert boss.do("run()") == "running"
    there.cut()
    assert worker.ends(2 * WITHIN) == 1
    assert "the Manager was not heard for 10 s" in worker.output
    assert "ended: beat, look" in worker.output
    assert there.pids() == []


WORKER = """
import sys
import flowmesh as fm
worker = fm.Worker(name="remote")
worker.connect(token=sys.stdin.readline().strip())
print("connected", worker, flush=True)
sys.stdin.readline()
"""


def test_a_scripts_worker_joins_with_a_token(boss: Boss, there: Host) -> None:
    script = there.python(WORKER)
    script.tell(boss.token)
    script.says("^connected <Worker 'remote'", WITHIN)
    assert boss.do("run()") == "running"
    again = there.python(WORKER)
    again.tell(boss.token)
    assert again.ends(WITHIN) == 1
    assert "LinkError: worker 'remote': the Manager at 10.77.0.1:9000 does not take the token" in again.output
    script.tell("")
    assert script.succeeds(WITHIN)


def test_a_lasting_token_lets_a_worker_come_back_to_later_managers_until_it_is_revoked(here: Host, hire: Hire) -> None:
    boss = Boss(here)
    worker = hire("--token", boss.do("manager.token(keep=True)"), "--stay")
    worker.says("^registered", WITHIN)
    boss.end()
    since = len(worker.output)
    boss = Boss(here)
    worker.says("^registered", 2 * WITHIN, since)
    worker.signal(signal.SIGINT)
    assert worker.ends(WITHIN) == 0
    again = hire()  # as after a restart of its machine
    again.says(r"^registered as 'remote' with the Manager at 10\.77\.0\.1:9000", WITHIN)
    again.signal(signal.SIGINT)
    assert again.ends(WITHIN) == 0
    boss.says("(?s)(registered.*left.*){2}")
    assert boss.do("manager.revoke('remote')") == "None"
    struck = hire()
    assert struck.ends(WITHIN) == 1
    assert "does not let this worker in any more" in struck.output
    boss.end()
    boss = Boss(here)
    assert hire().ends(WITHIN) == 1
    assert boss.do("manager.tokens()").count("TokenStatus") == 1


def test_another_kind_of_token_lets_it_back_to_the_same_manager_only(here: Host, hire: Hire) -> None:
    boss = Boss(here)
    worker = hire("--token", boss.token)
    worker.says("^registered", WITHIN)
    boss.end()
    assert worker.ends(WITHIN) == 0
    Boss(here)
    again = hire("--ip", "10.77.0.1")
    assert again.ends(WITHIN) == 1
    assert "by a token only" in again.output
