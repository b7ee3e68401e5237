"""Whoever reaches the ports of a running graph, and has no key: nothing is said to him, and nothing goes wrong."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import msgspec
from zmq.utils import z85

from .harness import Site
from .network import Host, Network

Deadline = Callable[[float], float]

GARBAGE = """
import random, socket, sys
chance = random.Random(7)
heads = [b"", b"GET / HTTP/1.1\\r\\n\\r\\n", b"\\xff" + bytes(8) + b"\\x7f"]
heads.append(heads[2] + b"\\x03\\x01CURVE" + bytes(47))  # the beginning of a ZMTP greeting, and all of it
for port in map(int, sys.argv[2:]):
    for number in range(40):
        with socket.create_connection((sys.argv[1], port), timeout=20) as one:
            try:
                one.sendall(heads[number % 4] + chance.randbytes(chance.choice((1, 64, 300, 70_000))))
            except OSError:
                pass  # it was hung up on
print("done", flush=True)
"""
WITHOUT_A_KEY = """
import sys, zmq
from zmq.utils.monitor import recv_monitor_message
address, ports, server_key = sys.argv[1], sys.argv[2:-1], sys.argv[-1].encode()
wrong, _ = zmq.curve_keypair()
with zmq.Context() as context:
    for port in ports:
        for key in (None, wrong, server_key):
            with context.socket(zmq.DEALER) as socket:
                socket.linger = 0
                if key:
                    socket.curve_serverkey = key
                    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
                with socket.get_monitor_socket() as events:
                    socket.connect(f"tcp://{address}:{port}")
                    for word in (b"", b"Registration", b"\\x81\\xa4type\\xa9Heartbeat"):
                        socket.send(word)
                    answered = bool(socket.poll(300))
                    seen = set()
                    while events.poll(0):
                        seen.add(recv_monitor_message(events)["event"])
                    socket.disable_monitor()
                print(port, {None: "plain", wrong: "wrong", server_key: "right"}[key],
                      answered, zmq.EVENT_HANDSHAKE_SUCCEEDED in seen, flush=True)
print("done", flush=True)
"""
IDLE = """
import socket, sys
held = [socket.create_connection((sys.argv[1], int(port)), timeout=20) for port in sys.argv[2:] for _ in range(100)]
print("held", flush=True)
sys.stdin.readline()
"""


def test_who_has_no_key_is_not_answered_and_disturbs_nobody(
    network: Network, here: Host, there: Host, deadline: Deadline
) -> None:
    graph = "graph.add_edge(Numbers('numbers', count=10**9, rate=100), Check('seen', report=report('seen')))"
    site = Site(here, {"there": there}, graph, {"here": ["numbers"], "there": ["seen"]})
    site.started()
    stranger, key = network.host("stranger"), manager_key(site)
    stranger.python(IDLE, there.address, *ports(there), name="idle.py").says("held", deadline(40))
    answers = []
    for host in (here, there):
        stranger.python(GARBAGE, host.address, *ports(host), name="garbage.py").succeeds(deadline(60))
        asked = stranger.python(WITHOUT_A_KEY, host.address, *ports(host), key, name="key.py")
        answers += re.findall(r"^\d+ (\w+) (\w+) (\w+)$", asked.succeeds(deadline(60)), re.MULTILINE)
    assert len(answers) == 9  # three ports, three ways
    assert {(answered, welcome) for _, answered, welcome in answers} == {("False", "False")}
    assert site.status()["state"] == "running"
    count = site.enough("numbers")
    site.finished()
    assert site.reported("seen")["seen"] == list(range(count))


def ports(host: Host) -> list[str]:
    return [str(port) for port in sorted(host.listeners())]


def manager_key(site: Site) -> str:
    """The Manager's public key, out of the token: who has that alone gets nowhere."""
    (text,) = set(re.findall(r"fm1-([\w-]+)", site.manager.output))
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return z85.encode(msgspec.msgpack.decode(raw[4:])[2]).decode()
