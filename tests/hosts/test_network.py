"""The hosts themselves: what the other tests here rely on."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from .network import NOBODY, Clocks, Host, Network, Way

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
import select, socket, sys
with socket.create_connection((sys.argv[1], 7000), timeout=20) as connection:
    print("connected", flush=True)
    while True:
        connection.sendall(b"tick")
        assert connection.recv(2) == b"ok"
        print("tick", flush=True)
        select.select([], [], [], 0.01)
"""


def test_a_host_is_reached_at_its_address_and_counts_its_bytes(here: Host, there: Host, deadline: Deadline) -> None:
    server = here.python(SERVER)
    server.says("listening", deadline(10))
    assert here.listeners() == {7000: server.pid}
    before = there.traffic()
    there.python(CLIENT, here.address, "3", "100000").succeeds(deadline(10))
    assert there.traffic().sent - before.sent > 300_000
    assert here.traffic().received > 300_000


def test_a_narrow_line_is_narrow(here: Host, there: Host, deadline: Deadline) -> None:
    here.limit("8mbit")
    here.python(SERVER).says("listening", deadline(10))
    timed = f"import time; begun = time.monotonic()\n{CLIENT}\nprint('took', time.monotonic() - begun)"
    program = there.python(timed, here.address, "10", "100000")
    assert 0.7 < float(program.says(r"took ([\d.]+)", deadline(20))[1]) < deadline(4)


@pytest.mark.parametrize("ways", [(), ("in",), ("out",)], ids=["both", "in", "out"])
def test_a_cut_line_passes_nothing_until_it_is_mended(
    here: Host, there: Host, ways: tuple[Way, ...], deadline: Deadline
) -> None:
    here.python(SERVER).says("listening", deadline(10))
    ticking = there.python(TICKS, here.address)
    ticking.says("(?s)(tick.*){3}", deadline(10))
    here.cut(*ways)
    heard = len(ticking.output) + 20  # a line or two may have been on their way
    with pytest.raises(AssertionError, match="not within"):
        ticking.says("(?s)(tick.*){3}", 0.6, since=heard)
    here.mend()
    ticking.says("(?s)(tick.*){3}", deadline(20), since=heard)


def test_a_host_can_lose_one_other(network: Network, here: Host, there: Host, deadline: Deadline) -> None:
    third = network.host("third")
    here.python(SERVER).says("listening", deadline(10))
    ticking = there.python(TICKS, here.address)
    ticking.says("(?s)(tick.*){3}", deadline(10))
    there.lose(third)
    ticking.says("(?s)(tick.*){3}", deadline(10), since=len(ticking.output))
    there.lose(here)
    heard = len(ticking.output) + 20
    with pytest.raises(AssertionError, match="not within"):
        ticking.says("(?s)(tick.*){3}", 0.6, since=heard)
    there.mend()
    ticking.says("(?s)(tick.*){3}", deadline(20), since=heard)


def test_an_eavesdropper_hears_every_byte(here: Host, there: Host, deadline: Deadline) -> None:
    here.python(SERVER).says("listening", deadline(10))
    capture = here.capture()
    there.python(CLIENT, here.address, "20", "100000").succeeds(deadline(10))
    heard = capture.heard()
    assert all(b"marker-%d;" % number in heard for number in range(20))
    assert b"marker-20;" not in heard
    assert len(heard) > 2_000_000


def test_hosts_share_neither_keys_nor_abstract_sockets(here: Host, there: Host, deadline: Deadline) -> None:
    bind = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0twice'); print('bound'); s.listen(); s.accept()"
    )
    here.python(bind).says("bound", deadline(10))
    there.python(bind).says("bound", deadline(10))
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
    ours = [int(word) for word in here.python(tell).succeeds(deadline(10)).split()]
    theirs = [int(word) for word in wrong.python(tell).succeeds(deadline(10)).split()]
    assert theirs[0] - ours[0] == pytest.approx(-90e9, abs=20e9)
    assert theirs[1] - ours[1] == pytest.approx(5000e9, abs=20e9)


def test_what_runs_on_a_host_is_known_and_ends_with_it(network: Network, deadline: Deadline) -> None:
    host = network.host("short")
    program = host.python("print('up'); import signal; signal.pause()")
    program.says("up", deadline(10))
    assert host.pids() == [program.pid]
    program.signal(signal.SIGTERM)
    assert program.ends(deadline(10)) == -signal.SIGTERM
    assert host.pids() == []
