"""A worker on another host joins by one pasted line; each refusal stands beside a case that works."""

from __future__ import annotations

import signal

import pytest

from flowmesh.security.tokens import JoinToken

from ..multi_host.network import Host
from .conftest import WITHIN, Boss, Hire


def test_the_line_that_the_manager_prints_lets_a_worker_in_and_it_runs_nodes(boss: Boss, hire: Hire) -> None:
    worker = hire("--token", boss.token, "--id", "lab-3", "--no-pickle")
    worker.says(r"^registered as 'remote' with the Manager at 10\.77\.0\.1:9000$", WITHIN)
    boss.says("worker 'remote' registered")
    assert boss.do("manager.workers") == "('remote',)"
    assert boss.do("run()") == "running"
    worker.says("^running: beat, look$", WITHIN)
    assert boss.do("[(w.name, w.id, w.pickle) for w in manager.status().workers.values()]") == (
        "[('remote', 'lab-3', False)]"
    )
    worker.signal(signal.SIGINT)
    assert worker.ends(2 * WITHIN) == 0
    assert worker.output.endswith("ended: beat, look\nleft\n")
    boss.says("worker 'remote' .* left")


def test_a_token_is_good_once(boss: Boss, hire: Hire) -> None:
    first = hire("--token", boss.token)
    first.says("^registered", WITHIN)
    second = hire("--token", boss.token, name="second")
    assert second.ends(WITHIN) == 1
    assert "was used already" in second.output
    assert "flowmesh token new" in second.output
    third = hire("--token", boss.new_token(), name="third")
    third.says("^registered", WITHIN)
    assert boss.do("manager.workers") == "('remote', 'third')"
    assert [state in boss.do("manager.tokens()") for state in ("'used'", "'remote'", "'third'", "'open'")] == [
        True, True, True, False,
    ]  # fmt: skip


def test_an_expired_token_is_refused(boss: Boss, hire: Hire) -> None:
    token = boss.new_token(0.3)
    boss.says(f"the token {JoinToken.parse(token).id} has expired unused")
    worker = hire("--token", token)
    assert worker.ends(WITHIN) == 1
    assert "it expired at " in worker.output


def test_a_revoked_token_is_refused(boss: Boss, hire: Hire) -> None:
    token = JoinToken.parse(boss.new_token())
    assert boss.do(f"manager.revoke({token.id!r})") == "None"
    worker = hire("--token", token.text)
    assert worker.ends(WITHIN) == 1
    assert "was revoked" in worker.output
    hire("--token", boss.token).says("^registered", WITHIN)
    assert "WorkerError nothing to revoke is called 'nobody'; workers: 'remote'" in boss.do("manager.revoke('nobody')")


def test_a_mistyped_token_is_told_apart(boss: Boss, hire: Hire) -> None:
    wrong = boss.token[:-7] + ("A" if boss.token[-7] != "A" else "B") + boss.token[-6:]
    worker = hire("--token", wrong)
    assert worker.ends(WITHIN) == 1
    assert "this token is damaged" in worker.output
    assert wrong not in worker.output
    hire("--token", boss.token).says("^registered", WITHIN)


def test_without_a_token_the_line_to_run_is_told(boss: Boss, hire: Hire) -> None:
    worker = hire("--ip", "10.77.0.1", "--port", "9000")
    assert worker.ends(WITHIN) == 1
    assert "lets a worker in by a token only" in worker.output
    assert "flowmesh token new" in worker.output
    assert "flowmesh-worker --name NAME --token fm1-" in worker.output


def test_a_strangers_manager_is_refused_by_the_worker(boss: Boss, hire: Hire, here: Host) -> None:
    real = JoinToken.parse(boss.token)
    boss.end()
    stranger = Boss(here, user=65534)
    worker = hire("--token", real.text)
    assert worker.ends(WITHIN) == 1
    assert "is not the Manager that this worker has a token of" in worker.output
    hire("--token", stranger.token).says("^registered", WITHIN)


def test_a_revoked_worker_is_cut_off_and_its_nodes_fail(boss: Boss, hire: Hire) -> None:
    worker = hire("--token", boss.token, "--stay")
    worker.says("^registered", WITHIN)
    assert boss.do("run()") == "running"
    assert boss.do("manager.revoke('remote')") == "None"
    assert "WorkerError worker 'remote'" in (text := boss.do("manager.wait()"))
    assert "was revoked; it ran 'beat', 'look'" in text
    worker.says("its access was revoked", WITHIN)
    worker.says("waiting: .* does not take the token", WITHIN)
    assert boss.do("manager.workers") == "()"
    worker.signal(signal.SIGTERM)
    assert worker.ends(WITHIN) == 0


def test_of_two_workers_with_one_name_the_second_is_refused(boss: Boss, hire: Hire) -> None:
    hire("--token", boss.token).says("^registered", WITHIN)
    second = hire("--token", boss.new_token())
    assert second.ends(WITHIN) == 1
    assert "a worker named 'remote' is registered already: choose another name" in second.output


def test_allow_has_the_last_word(here: Host, hire: Hire) -> None:
    boss = Boss(here, "{'allow': lambda name, key, address: (name, len(key), address) == ('remote', 40, '10.77.0.2')}")
    stranger = hire("--token", boss.token, name="other")
    assert stranger.ends(WITHIN) == 1
    assert "allow= does not want it" in stranger.output
    hire("--token", boss.new_token()).says("^registered", WITHIN)


def test_many_workers_join_at_once(boss: Boss, hire: Hire) -> None:
    tokens = [boss.new_token() for _ in range(6)]
    workers = [hire("--token", token, name=f"w{number}") for number, token in enumerate(tokens)]
    for worker in workers:
        worker.says("^registered", 2 * WITHIN)
    assert boss.do("len(manager.workers)") == "6"


@pytest.mark.parametrize("way", ["@file", "stdin", "environment"])
def test_a_token_need_not_be_on_the_command_line(boss: Boss, hire: Hire, there: Host, way: str) -> None:
    if way == "@file":
        (there.folder / "token").write_text(f"{boss.token}\n")
        worker = hire("--token", "@token")
    elif way == "stdin":
        worker = hire("--token", "-")
        worker.tell(boss.token)
    else:
        worker = hire(environment={"FLOWMESH_TOKEN": boss.token})
    worker.says("^registered", WITHIN)
