"""Flags of flowmesh-worker that show only between hosts."""

from __future__ import annotations

import signal

from ..multi_host.network import Host
from .conftest import WITHIN, Boss, Hire


def test_wport_is_the_port_of_the_link(boss: Boss, hire: Hire, here: Host, there: Host) -> None:
    hire("--token", boss.token, "--wport", "9123").says("^registered", WITHIN)
    here.worker("--name", "local").says("^registered", WITHIN)
    assert boss.do("run({'remote': ['beat'], 'local': ['look']})") == "running"
    assert 9123 in there.listeners()


def test_a_worker_that_takes_no_pickle_is_fed_none(boss: Boss, hire: Hire, here: Host) -> None:
    worker = hire("--token", boss.token, "--no-pickle")
    worker.says("^registered", WITHIN)
    here.worker("--name", "local").says("^registered", WITHIN)
    split = "{'local': ['beat'], 'remote': ['look']}"
    assert boss.do(f"run({split})") == "running"
    assert boss.do("(manager.wait(0.5), manager.reset())") == "(False, None)"
    assert boss.do(f"run({split}, value={{1, 2}})") == "running"
    assert "pickle" in (text := boss.do("manager.wait()"))
    assert "'beat'" in text
    worker.signal(signal.SIGINT)
    assert worker.ends(WITHIN) == 0
