"""What is secret is seen by nobody: not in /proc, not by nodes, not on the wire; and whoever is not meant does not get in."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from zmq.utils import z85

from flowmesh.security.keys import KeyPair
from flowmesh.security.tokens import JoinToken

from ..multi_host.network import Host
from .conftest import PORT, WITHIN, Boss, Hire

NOBODY = 65534


def _shown(pid: int, name: str) -> str:
    """What everybody may read of a process; nothing of one that has just gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_token_on_the_command_line_does_not_stay_in_the_process_list(boss: Boss, hire: Hire, there: Host) -> None:
    worker = hire("--token", boss.token, "--id", "lab")
    worker.says("^registered", WITHIN)
    lines = {pid: _shown(pid, "cmdline") for pid in there.pids()}
    assert any("--id\0lab" in line and "--token\0****" in line for line in lines.values())
    assert not any(JoinToken.parse(boss.token).text[8:40] in line for line in lines.values())


def test_a_token_in_the_environment_is_neither_shown_nor_inherited(boss: Boss, hire: Hire, there: Host) -> None:
    worker = hire(environment={"FLOWMESH_TOKEN": boss.token, "KEPT": "yes"})
    worker.says("^registered", WITHIN)
    assert boss.do("run()") == "running"
    assert boss.do("sorted(k for k in answer('look', 'environment') if k in ('KEPT', 'FLOWMESH_TOKEN'))") == "['KEPT']"
    assert there.pids()
    assert not any(boss.token in _shown(pid, "environ") for pid in there.pids())


def test_a_capture_shows_no_name_and_no_key(boss: Boss, hire: Hire, there: Host) -> None:
    capture = there.capture()
    worker = hire("--token", boss.token, "--id", "a-quite-secret-id", name="a-quite-secret-name")
    worker.says("^registered", WITHIN)
    worker.signal(signal.SIGINT)
    assert worker.ends(WITHIN) == 0
    heard = capture.heard()
    token = JoinToken.parse(boss.token)
    assert b"CURVE" in heard  # it has heard something
    for secret in (b"a-quite-secret", b"Registration", token.keys.secret.encode(), z85.decode(token.keys.secret),
                   token.keys.public.encode(), z85.decode(token.keys.public), token.server_key.encode()):  # fmt: skip
        assert secret not in heard


def test_logs_and_reprs_show_no_secret(boss: Boss, hire: Hire) -> None:
    hire("--token", boss.token).says("^registered", WITHIN)
    shown = boss.do("(manager, manager.token(), manager.tokens(), manager.status())")
    token = JoinToken.parse(boss.token)
    assert "<Token " in shown
    assert "fm1-" not in shown
    assert boss.program.output.count(token.text) == 1  # the line that was meant to be pasted
    assert token.keys.secret not in boss.program.output + shown


def test_another_user_of_the_same_host_is_refused_and_the_same_user_is_not(boss: Boss, here: Host) -> None:
    other = here.worker("--name", "other", user=NOBODY)
    assert other.ends(WITHIN) == 1
    assert "is not this user's on this machine, and lets a worker in by a token only" in other.output
    same = here.worker("--name", "same")
    same.says("^registered", WITHIN)
    invited = here.worker("--name", "invited", "--token", boss.token, user=NOBODY)
    invited.says("^registered", WITHIN)
    assert boss.do("manager.workers") == "('same', 'invited')"


def test_a_manager_that_was_not_told_to_listens_to_its_own_machine_only(here: Host, there: Host) -> None:
    program = here.python(
        "import flowmesh as fm, sys\nmanager = fm.Manager(port=9000)\nprint('up', flush=True)\nsys.stdin.readline()\n"
    )
    program.says("^up$", WITHIN)
    knock = f"import socket; socket.create_connection(({here.address!r}, 9000), 2)"
    probe = there.start(sys.executable, "-c", knock)
    assert probe.ends(WITHIN) == 1
    assert "ConnectionRefusedError" in probe.output
    program.tell("")
    program.succeeds(WITHIN)
    Boss(here)
    assert there.start(sys.executable, "-c", knock).succeeds(WITHIN) == ""


HOSTILE = """
import os, random, socket, sys
random.seed(7)
held = []
for number in range(300):
    s = socket.create_connection((sys.argv[1], 9000), 5)
    if number % 3:
        s.sendall(random.choice([bytes(64), b"\\xff" + bytes(8) + b"\\x7f\\3\\0CURVE" + bytes(44), random.randbytes(3000)]))
    held.append(s)
print("held", flush=True)
sys.stdin.readline()
"""


def test_many_connections_that_say_nothing_or_nonsense_keep_nobody_out(boss: Boss, hire: Hire, there: Host) -> None:
    (there.folder / "hostile.py").write_text(HOSTILE)
    hostile = there.start(sys.executable, "hostile.py", "10.77.0.1")
    hostile.says("held", WITHIN)
    hire("--token", boss.token).says("^registered", WITHIN)
    assert boss.do("run()") == "running"
    hostile.tell("")
    hostile.ends(WITHIN)
    assert boss.do("manager.state") == "running"


def test_a_key_of_ones_own_making_does_not_get_in(boss: Boss, there: Host, hire: Hire) -> None:
    real = JoinToken.parse(boss.token)
    forged = JoinToken(real.hosts, real.port, real.server_key, KeyPair.make(), real.expires)
    worker = hire("--token", forged.text)
    assert worker.ends(WITHIN) == 1
    assert "does not take the token" in worker.output
    hire("--token", boss.token).says("^registered", WITHIN)


def test_what_is_no_manager_is_told(there: Host, hire: Hire) -> None:
    deaf = socket.socket()
    deaf.close()
    token = JoinToken(("10.77.0.1",), PORT, KeyPair.make().public, KeyPair.make(), 2e9)
    worker = hire("--token", token.text)
    worker.says(r"waiting for a Manager at 10\.77\.0\.1:9000", WITHIN)
    worker.signal(signal.SIGINT)
    assert worker.ends(WITHIN) == 0
