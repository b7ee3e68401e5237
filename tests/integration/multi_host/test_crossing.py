"""Graphs whose edges cross hosts, seen from the user's program: every verb works there as it does on one host."""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
from collections.abc import Callable
from typing import Any

from ...conftest import SCALE
from .driver import PORT
from .harness import PASTED
from .network import Host, Network
from .programs import Program

Deadline = Callable[[float], float]
WITHIN = 40 * SCALE

PRELUDE = """
import json, sys, time
import numpy as np
import flowmesh as fm

class Count(fm.Node):
    limit = None
    def setup(self):
        self.number, self.end = 0, self.limit
    def step(self):
        if self.number == self.end:
            raise fm.EndOfStream
        self.number += 1
        return self.number
    @fm.register
    def enough(self):
        self.end = self.number
        return self.number
    @fm.register
    def skip(self, by):
        self.number += by
        return self.number

class Film(Count):
    def step(self):
        chunk = fm.DataChunk()
        chunk.add("number", super().step())
        rows, columns = np.mgrid[0:240, 0:320].astype(np.uint8)
        chunk.add("frame", np.dstack([rows, columns, rows ^ columns]) + np.uint8(self.number), "image")
        return chunk

class Square(fm.Node):
    def step(self, data):
        (chunk,) = data.values()
        number = chunk.get("default")["value"]
        if number == 7 and self.breaks:
            raise ValueError("seven is too much")
        return number * number

class Collect(fm.Node):
    def setup(self):
        self.got = []
    def step(self, data):
        (chunk,) = data.values()
        self.got.append(chunk.get("default")["value"])
        return self.got[-1]
    @fm.register
    def all(self):
        return self.got

class Look(fm.Node):
    def setup(self):
        self.worst = 0
    def step(self, data):
        (chunk,) = data.values()
        number = chunk.get("number")["value"]
        rows, columns = np.mgrid[0:240, 0:320].astype(np.uint8)
        true = np.dstack([rows, columns, rows ^ columns]) + np.uint8(number)
        frame = chunk.get("frame")["value"]
        assert not frame.flags.writeable
        self.worst = max(self.worst, int(np.abs(frame.astype(int) - true.astype(int)).max()))
    @fm.register
    def error(self):
        return self.worst

def say(word, value=None):
    print(word, json.dumps(value), flush=True)

def edges(manager):
    return {" ".join(pair): [edge.sent, edge.received, sum(edge.dropped.values()), edge.in_flight, edge.transport,
            edge.codec] for pair, edge in manager.status().edges.items()}

def until_here(*names):
    deadline = time.monotonic() + WITHIN
    while not set(names) <= set(manager.workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)

def until_received(least):
    deadline = time.monotonic() + WITHIN
    while not all(edge.received >= least for edge in manager.status().edges.values()):
        assert not manager.wait(0.01) and time.monotonic() < deadline

manager = fm.Manager(host="0.0.0.0", port=PORT)
graph = fm.Graph()
""".replace("PORT", str(PORT)).replace("WITHIN", str(WITHIN))

NEAR = f"""
near = fm.Worker(name="near")
near.connect(host="127.0.0.1", port={PORT})
until_here("near", "far")
"""


class Run:
    """A user's program on the first host, and its worker "far" on the second."""

    def __init__(self, here: Host, there: Host, program: str) -> None:
        self.there = there
        self.program: Program = here.python(PRELUDE + NEAR + program + "\nmanager.shutdown()\n")
        line = self.program.says(PASTED, WITHIN)[1]
        self.far = there.worker(*shlex.split(line.replace("--name NAME", "--name far")))

    def said(self, word: str, within: float = WITHIN) -> Any:
        """What the program has said under that word."""
        return json.loads(self.program.says(rf"^{word} (.*)$", within)[1])

    def ends(self) -> str:
        """Wait for a good end of both; the program's output."""
        output = self.program.succeeds(WITHIN)
        self.far.succeeds(WITHIN)
        assert self.there.pids() == []
        return output

    def pid_of(self, node: str) -> int:
        return int(self.said(f"pid_{node}"))


THERE_AND_BACK = """
count, square, collect = Count("count", limit=LIMIT, rate=500), Square("square", breaks=BREAKS), Collect("collect")
graph.add_edge(count, square)
graph.add_edge(square, collect)
manager.commit_graph(graph, {"near": ["count", "collect"], "far": ["square"]}, timeout=30)
"""


def there_and_back(limit: int | None, breaks: bool = False) -> str:
    return THERE_AND_BACK.replace("LIMIT", repr(limit)).replace("BREAKS", repr(breaks))


def test_what_goes_there_and_back_is_whole_in_every_run(here: Host, there: Host, deadline: Deadline) -> None:
    run = Run(
        here,
        there,
        there_and_back(None)
        + """
for _ in range(2):
    manager.start()
    until_received(1)
    manager.stop()
    say("paused", edges(manager))
    manager.start()
    until_received(200)
    say("count", manager.request_registered_method("count", "enough"))
    say("waited", manager.wait(30))
    say("edges", edges(manager))
say("done")
sys.stdin.readline()
""",
    )
    run.said("done")
    until = time.monotonic() + deadline(20)
    while there.listeners():  # its link ends with the graph
        assert time.monotonic() < until
    run.program.tell("go on")
    output = run.ends()
    for at_rest in map(json.loads, re.findall(r"^paused (.*)$", output, re.MULTILINE)):
        for sent, received, dropped, in_flight, *_ in at_rest.values():
            assert sent > 0
            assert (received, dropped, in_flight) == (sent, 0, 0)
    counts = [int(count) for count in re.findall(r"^count (\d+)$", output, re.MULTILINE)]
    whole = [
        {edge: [count, count, 0, 0, "link", None] for edge in ("count square", "square collect")} for count in counts
    ]
    assert len(counts) == 2
    assert list(map(json.loads, re.findall(r"^edges (.*)$", output, re.MULTILINE))) == whole
    assert re.findall(r"^waited (.*)$", output, re.MULTILINE) == ["true", "true"]


def test_values_are_gathered_and_methods_are_called_across_hosts(here: Host, there: Host) -> None:
    run = Run(
        here,
        there,
        there_and_back(None)
        + """
manager.start()
while len(manager.request_registered_method("collect", "all")) < 20:
    pass
manager.request_registered_method("count", "skip", by=1000)
manager.stop()
say("gathered", {name: chunk.get("default")["value"] for name, chunk in manager.gather().items()})
say("all", manager.request_registered_method("collect", "all"))
""",
    )
    gathered, everything = run.said("gathered"), run.said("all")
    assert everything[:10] == [number * number for number in range(1, 11)]
    assert gathered == {"count": gathered["count"], "square": gathered["count"] ** 2, "collect": gathered["count"] ** 2}
    assert everything[-1] == gathered["collect"]
    run.ends()


def test_an_error_on_the_other_host_comes_with_its_traceback(here: Host, there: Host) -> None:
    run = Run(
        here,
        there,
        there_and_back(None, breaks=True)
        + """
manager.start()
try:
    manager.wait(30)
except fm.NodeError as error:
    say("error", [str(error), error.node, error.worker, error.number])
say("state", manager.state)
""",
    )
    text, node, worker, number = run.said("error")
    assert (node, worker, number) == ("square", "far", 7)
    assert "ValueError: seven is too much" in text
    assert re.search(r'script\.py", line \d+, in step', text)
    assert run.said("state") == "failed"
    run.ends()


def test_a_node_of_the_other_host_that_is_killed_is_named_and_the_worker_goes_on(
    here: Host, there: Host, deadline: Deadline
) -> None:
    run = Run(
        here,
        there,
        there_and_back(None)
        + """
import os, signal
manager.start()
os.kill(manager.status().nodes["square"].pid, signal.SIGKILL)  # the hosts of a test share their pids
begun = time.monotonic()
try:
    manager.wait(30)
except fm.NodeDied as error:
    say("error", [error.node, error.worker])
say("took", time.monotonic() - begun)
manager.commit_graph(graph, {"near": ["count", "collect"], "far": ["square"]})
manager.start()
until_received(51)
say("running", manager.wait(0))
""",
    )
    assert run.said("error") == ["square", "far"]
    assert run.said("took") < deadline(4)
    assert run.said("running") is False
    run.ends()


def test_images_go_by_jpeg_and_exactly_where_that_is_asked_for(here: Host, there: Host) -> None:
    run = Run(
        here,
        there,
        """
film = Film("film", rate=100)
near, exact, image, second, sharp, newest = map(Look, ("near", "exact", "image", "second", "sharp", "newest"))
graph.add_edge(film, near)
graph.add_edge(film, exact, codec="exact")
graph.add_edge(film, image)
graph.add_edge(film, second)
graph.add_edge(film, sharp, codec="jpeg-444", quality=95)
graph.add_edge(film, newest, codec="raw", policy="latest")
far = ["exact", "image", "second", "sharp", "newest"]
manager.commit_graph(graph, {"near": ["film", "near"], "far": far}, timeout=30)
manager.start()
while manager.status().nodes["second"].steps < 40:
    time.sleep(0.02)
manager.stop()
say("errors", {name: manager.request_registered_method(name, "error") for name in ("near", *far)})
say("wire", {target: edge.encoded for (_, target), edge in manager.status().edges.items()})
say("edges", edges(manager))
""",
    )
    errors, wire = run.said("errors"), run.said("wire")
    assert (errors["near"], errors["exact"], errors["newest"]) == (0, 0, 0)
    assert 0 < errors["sharp"] < errors["image"] == errors["second"]
    assert wire["near"] == 0
    assert 0 < wire["image"] == wire["second"] < wire["sharp"]
    at_rest = run.said("edges")
    codecs = {"exact": "exact", "image": "jpeg", "second": "jpeg", "sharp": "jpeg", "newest": "raw"}
    assert {edge: codec for edge, (*_, codec) in at_rest.items()} == {
        "film near": None,
        **{f"film {name}": codec for name, codec in codecs.items()},
    }
    for edge, (sent, received, dropped, in_flight, *_) in at_rest.items():
        assert sent >= 40
        assert (in_flight, received + dropped) == (0, sent)
        assert not dropped or edge == "film newest"
    run.ends()


def test_a_graph_on_one_host_opens_no_port(here: Host, there: Host) -> None:
    run = Run(
        here,
        there,
        """
count, collect = Count("count"), Collect("collect")
graph.add_edge(count, collect)
manager.commit_graph(graph, {"far": ["count", "collect"]}, timeout=30)
manager.start()
say("edges", edges(manager))
sys.stdin.readline()
""",
    )
    ((*_, transport, codec),) = run.said("edges").values()
    assert transport in ("ring", "socket")
    assert codec is None
    assert there.listeners() == {}
    assert set(here.listeners()) == {PORT}
    run.program.tell("go on")
    run.ends()


def test_the_link_beside_the_manager_listens_where_other_machines_reach_it(here: Host, there: Host) -> None:
    run = Run(
        here,
        there,
        there_and_back(None)
        + """
import socket
rows = [line.split() for line in open("/proc/net/tcp")][1:]
listening = [row[1].partition(":")[0] for row in rows if row[3] == "0A"]
say("listening", [socket.inet_ntoa(bytes.fromhex(address)[::-1]) for address in listening])
""",
    )
    assert sorted(run.said("listening")) == ["0.0.0.0", here.address]
    run.ends()


def test_a_worker_that_was_silent_for_long_is_taken_back_with_nothing_running(here: Host, there: Host) -> None:
    run = Run(
        here,
        there,
        there_and_back(None)
        + """
manager.start()
say("started")
try:
    manager.wait(30)
except fm.WorkerError as error:
    say("error", str(error))
manager.reset()
say("workers", list(manager.workers))
while "far" not in manager.workers:
    time.sleep(0.02)
say("back")
manager.commit_graph(graph, {"near": ["count", "collect"], "far": ["square"]})
manager.start()
until_received(51)
say("running", manager.wait(0))
""",
    )
    run.said("started")
    run.far.signal(signal.SIGSTOP)
    assert "worker 'far'" in run.said("error")
    assert run.said("workers") == ["near"]
    run.far.signal(signal.SIGCONT)
    run.said("back")
    assert run.said("running") is False
    run.ends()


def test_links_that_do_not_reach_each_other_are_told_of_at_once_and_fail_the_commit(
    network: Network, here: Host, there: Host, deadline: Deadline
) -> None:
    third = network.host("third")
    program = here.python(
        PRELUDE
        + """
print("second", manager.token().line, flush=True)
until_here("far", "second")
count, collect = Count("count"), Collect("collect")
graph.add_edge(count, collect)
say("cut")
sys.stdin.readline()
begun = time.monotonic()
try:
    manager.commit_graph(graph, {"far": ["count"], "second": ["collect"]}, timeout=8)
except fm.DeadlineError as error:
    say("error", str(error))
say("took", time.monotonic() - begun)
manager.shutdown()
"""
    )
    first = program.says(PASTED, WITHIN)[1]
    there.worker(*shlex.split(first.replace("--name NAME", "--name far")))
    second = program.says(r"^second .*?flowmesh-worker (--\S.*)$", WITHIN)[1]
    third.worker(*shlex.split(second.replace("--name NAME", "--name second")))
    program.says("^cut", WITHIN)
    there.lose(third)
    third.lose(there)
    program.tell("go on")
    complaint = r"the links of the workers 'far' \(at {}:\d+\) and 'second' \(at {}:\d+\) do not reach each other: "
    complaint = complaint.format(re.escape(there.address), re.escape(third.address)) + "is a firewall between them"
    program.says(f"^{complaint}", deadline(8))
    text = json.loads(program.says("^error (.*)$", deadline(30))[1])
    assert re.fullmatch(rf"after 8 s {complaint}\?", text)
    assert json.loads(program.says("^took (.*)$", deadline(20))[1]) < 8 + deadline(2)
    program.succeeds(WITHIN)
