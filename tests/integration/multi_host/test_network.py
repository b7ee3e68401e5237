"""The hosts themselves: what the other tests here rely on."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

import pytest

from .network import NOBODY, Clocks, Host, Network, Way
from .programs import Program

Deadline = Callable[[float], float]

SERVER = """
import socket, sys
with socket.create_server(("", 7000)) as server:
    print("listening", flush=True)
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(1 << 16):
            connection.sendall(b"ok")
            print(len(data), flush=True)
"""
CLIENT = """
import socket, sys
address, times, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with socket.create_connection((address, 7000), timeout=20) as connection:
    for number in range(times):
        connection.sendall(b"marker-%d;" % number + bytes(size))
        assert connection.recv(2) == b"ok"
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1 << 16):  # until it has all been read
        pass
"""
TICKS = """
import select, socket, sys, time
with socket.create_connection((sys.argv[1], 7000), timeout=60) as connection:
    while True:
        asked = time.monotonic()
        connection.sendall(b"tick")
        assert connection.recv(2) == b"ok"
        print("tick", asked, time.monotonic(), flush=True)
        select.select([], [], [], 0.01)
"""
SILENT = 0.6  # seconds


def ticks(program: Program, deadline: Deadline) -> None:
    """Wait for one that is asked from now on, and answered; the hosts share the monotonic clock."""
    now = time.monotonic()
    while not any(asked > now for asked, _ in asked_and_answered(program)):
        program.says("^tick ", deadline(20), since=len(program.output))


def asked_and_answered(program: Program) -> list[tuple[float, float]]:
    """When each tick was."""
    return [
        (float(asked), float(answered)) for asked, answered in re.findall(r"^tick (\S+) (\S+)$", program.output, re.M)
    ]


def passes_nothing(program: Program, mend: Callable[[], None], deadline: Deadline) -> None:
    """From now until `mend` is called, a moment later, nothing that is asked is answered; then all is as before."""
    cut = time.monotonic()
    with pytest.raises(AssertionError, match="not within"):
        program.says("^never said$", SILENT)
    mended = time.monotonic()
    mend()
    ticks(program, deadline)
    assert [each for each in asked_and_answered(program) if cut < each[0] and each[1] < mended] == []


def test_a_host_is_reached_at_its_address_and_counts_its_bytes(here: Host, there: Host, deadline: Deadline) -> None:
    server = here.python(SERVER)
    server.says("listening", deadline(20))
    assert here.listeners() == {7000: server.pid}
    before = there.traffic()
    there.python(CLIENT, here.address, "3", "100000").succeeds(deadline(30))
    assert there.traffic().sent - before.sent > 300_000
    assert here.traffic().received > 300_000


def test_a_narrow_line_is_narrow(here: Host, there: Host, deadline: Deadline) -> None:
    here.limit("8mbit")
    here.python(SERVER).says("listening", deadline(20))
    timed = f"import time; begun = time.monotonic()\n{CLIENT}\nprint('took', time.monotonic() - begun)"
    program = there.python(timed, here.address, "10", "100000")
    assert 0.7 < float(program.says(r"took ([\d.]+)", deadline(20))[1]) < deadline(4)


@pytest.mark.parametrize("ways", [(), ("in",), ("out",)], ids=["both", "in", "out"])
def test_a_cut_line_passes_nothing_until_it_is_mended(
    here: Host, there: Host, ways: tuple[Way, ...], deadline: Deadline
) -> None:
    here.python(SERVER).says("listening", deadline(20))
    ticking = there.python(TICKS, here.address)
    ticks(ticking, deadline)
    here.cut(*ways)
    passes_nothing(ticking, here.mend, deadline)


def test_a_host_can_lose_one_other(network: Network, here: Host, there: Host, deadline: Deadline) -> None:
    third = network.host("third")
    here.python(SERVER).says("listening", deadline(20))
    ticking = there.python(TICKS, here.address)
    ticks(ticking, deadline)
    there.lose(third)
    ticks(ticking, deadline)
    there.lose(here)
    passes_nothing(ticking, there.mend, deadline)


def test_an_eavesdropper_hears_every_byte(here: Host, there: Host, deadline: Deadline) -> None:
    here.python(SERVER).says("listening", deadline(20))
    capture = here.capture()
    there.python(CLIENT, here.address, "20", "100000").succeeds(deadline(30))
    heard = capture.heard()
    assert all(b"marker-%d;" % number in heard for number in range(20))
    assert b"marker-20;" not in heard
    assert len(heard) > 2_000_000


def test_hosts_share_neither_keys_nor_abstract_sockets(here: Host, there: Host, deadline: Deadline) -> None:
    bind = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0twice'); "
        "print('bound', flush=True); s.listen(); s.accept()"
    )
    here.python(bind).says("bound", deadline(20))
    there.python(bind).says("bound", deadline(20))
    assert here.state != there.state


def test_a_second_user_has_a_home_of_his_own(here: Host, deadline: Deadline) -> None:
    program = here.python(
        "import os; print(os.getuid(), os.environ['XDG_STATE_HOME']); open('mine', 'w'); "
        f"print(os.access({str(here.state)!r}, os.W_OK)); import flowmesh",
        user=NOBODY,
    )
    assert program.succeeds(deadline(20)).split() == [str(NOBODY), str(here.folder / f"user-{NOBODY}/state"), "False"]


def test_a_hosts_clocks_can_be_wrong(network: Network, here: Host, deadline: Deadline) -> None:
    tell = "import time; print(time.time_ns(), time.monotonic_ns())"
    wrong = network.host("wrong", Clocks(wall=-90.0, monotonic=5000))
    ours = [int(word) for word in here.python(tell).succeeds(deadline(30)).split()]
    theirs = [int(word) for word in wrong.python(tell).succeeds(deadline(30)).split()]
    assert theirs[0] - ours[0] == pytest.approx(-90e9, abs=20e9)
    assert theirs[1] - ours[1] == pytest.approx(5000e9, abs=20e9)


def test_what_runs_on_a_host_is_known_and_ends_with_it(network: Network, deadline: Deadline) -> None:
    host = network.host("short")
    program = host.python("print('up', flush=True); import signal; signal.pause()")
    program.says("up", deadline(20))
    assert host.pids() == [program.pid]
    program.signal(signal.SIGTERM)
    assert program.ends(deadline(20)) == -signal.SIGTERM
    assert host.pids() == []
