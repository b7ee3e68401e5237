"""Between hosts: two or three network namespaces on this machine (needs root), beside bare ZeroMQ with CURVE, or the codec.

Each measurement has hosts of its own: `across.py` runs on the first, `flowmesh-worker` on the others, `bare.py` on both.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import flowmesh as fm
from tests.integration.multi_host.network import Host, Network, why_not
from tests.integration.multi_host.programs import Program

from .across import LARGE, LOAD, PORT
from .comparison import Benchmark, Figure, Gate
from .running import WITHIN

Measured = dict[str, Any]
RATE = 100e6  # bits a second of the narrow line
AGE = 2 * LARGE * 8 / RATE * 1000 + 50  # ms
_TICKS = os.sysconf("SC_CLK_TCK")


def benchmarks(quick: bool) -> list[Benchmark]:
    frames, loads, small, fresh = (60, 300, 20_000, 240) if quick else (300, 5_000, 300_000, 1_200)
    return [
        Benchmark(
            "hosts-image",
            "1080p at 30 fps as JPEG, one consumer",
            (
                Figure("p50", "1080p image at 30 fps, JPEG q80: one-way p50", "ms"),
                Figure("beyond", "  beyond encode + decode alone", "ms", Gate(1.5, at_most=True)),
                Figure("cpu", "  CPU of both links to the codec alone", "×", Gate(1.15, at_most=True)),
            ),
            partial(_image, frames),
        ),
        Benchmark(
            "hosts-three",
            "three consumers on the other host",
            (
                Figure("transfers", "3 consumers there: bytes sent to one transfer's", "×", Gate(1.1, at_most=True)),
                Figure("lost", "  frames that any of them did not get", "", Gate(0, at_most=True)),
            ),
            partial(_three, frames),
        ),
        Benchmark(
            "hosts-bytes",
            "100 kB arrays, lossless, CURVE",
            (
                Figure("rate", "100 kB arrays, lossless, CURVE", "msg/s", Gate(0.65)),
                Figure("cpu", "  CPU per 1,000, all processes", "s", Gate(1.5, at_most=True)),
            ),
            partial(_stream, "bytes", loads),
            partial(_bare, loads, LOAD),
        ),
        Benchmark(
            "hosts-small",
            "small chunks, lossless, CURVE",
            (Figure("rate", "small chunks, lossless, CURVE", "msg/s", Gate(100_000)), Figure("cpu", "  CPU per 1,000", "s")),
            partial(_stream, "small", small),
        ),
        Benchmark(
            "hosts-onwards",
            "passed on unchanged to a third host",
            (
                Figure("same", "passed on to a third host: all its frames are those seen on the way (1: yes)", "", Gate(1)),
                Figure("p50", "  one-way p50 over both", "ms"),
            ),
            partial(_onwards, frames),
        ),
        Benchmark(
            "hosts-narrow",
            "6.2 MB arrays at 100 Mbit/s, beside 1 kB chunks",
            (
                Figure("most", "6.2 MB arrays, latest, 100 Mbit/s: largest age", "ms", Gate(AGE, at_most=True)),
                Figure("p95", "  1 kB chunks beside them: p95", "ms", Gate(50, at_most=True)),
            ),
            partial(_narrow, fresh),
        ),
    ]  # fmt: skip


# --- flowmesh ------------------------------------------------------------------------------------------------------------


def _image(count: int) -> dict[str, float]:
    with _Hosts() as hosts:
        alone = _measured(_bare_program(hosts.here, "codec", count))
        found = hosts.graph("image", count)
    p50 = found["sinks"]["sink0"]["p50"]
    return {"p50": p50, "beyond": p50 - alone["p50"], "cpu": found["links"] / alone["cpu"]}


def _three(count: int) -> dict[str, float]:
    with _Hosts() as hosts:
        found = hosts.graph("three", count)
    got = [sink["got"] for sink in found["sinks"].values()]
    encoded = max(edge["encoded"] for edge in found["edges"].values())
    return {"transfers": found["sent"] / encoded, "lost": count - min(got)}


def _stream(work: str, count: int) -> dict[str, float]:
    with _Hosts() as hosts:
        found = hosts.graph(work, count)
    return {"rate": found["sinks"]["sink"]["rate"], "cpu": found["cpu"] * 1000 / count}


def _onwards(count: int) -> dict[str, float]:
    with _Hosts(third=True) as hosts:
        found = hosts.graph("onwards", count)
    near, far = found["sinks"]["near"], found["sinks"]["far"]
    return {"same": float(near["seen"] == far["seen"]), "p50": far["p50"]}


def _narrow(count: int) -> dict[str, float]:
    with _Hosts() as hosts:
        hosts.there.limit(f"{RATE / 1e6:g}mbit")
        found = hosts.graph("narrow", count)
    return {"most": found["sinks"]["stale"]["most"], "p95": found["sinks"]["fresh"]["p95"]}


# --- floors --------------------------------------------------------------------------------------------------------------


def _bare(count: int, size: int) -> dict[str, float]:
    with _Hosts() as hosts:
        pulling = _bare_program(hosts.there, "pull", count, size)
        key = pulling.says(r"^key (\S+)$", WITHIN)[1]
        pushing = _bare_program(hosts.here, "push", count, size, hosts.there.address, key)
        pulled, pushed = _measured(pulling), _measured(pushing)
    return {"rate": pulled["rate"], "cpu": (pulled["cpu"] + pushed["cpu"]) * 1000 / count}


def _bare_program(host: Host, *arguments: object) -> Program:
    return host.start(sys.executable, "-m", "benchmarks.bare", *map(str, arguments))


# --- hosts ---------------------------------------------------------------------------------------------------------------


class _Hosts:
    """Two hosts, or three."""

    def __init__(self, third: bool = False) -> None:
        if reason := why_not():
            raise fm.FlowmeshError(reason)
        self._folder = tempfile.TemporaryDirectory(prefix="hosts-")
        self._network = Network(Path(self._folder.name))
        self.here, self.there = self._network.host("here"), self._network.host("there")
        self.others = {"there": self.there} | ({"third": self._network.host("third")} if third else {})

    def graph(self, work: str, count: int) -> Measured:
        """What `across.py` measured; and of all hosts the processor seconds ("cpu") and those of the links ("links"), and
        the bytes that left the first host ("sent"), all from the start to the last chunk."""
        manager = self.here.start(sys.executable, "-m", "benchmarks.across", work, str(count), str(self.here.folder))
        for place, (name, host) in enumerate(self.others.items()):
            line = manager.says(rf"^{f'for {name}: ' if place else ''}.*?\bflowmesh-worker (--.*)$", WITHIN)
            host.worker(*shlex.split(line[1]), "--name", name)
        manager.says("^ready$", WITHIN)
        spent, links, sent = self._spent(), self._spent_by_links(), self.here.traffic().sent
        manager.tell("go")
        found = _measured(manager)
        found |= {"cpu": self._spent() - spent, "links": self._spent_by_links() - links}
        found["sent"] = self.here.traffic().sent - sent
        manager.tell("enough")
        manager.succeeds(WITHIN)
        return found

    def _spent(self) -> float:
        return sum(_processor_seconds(pid) for host in (self.here, *self.others.values()) for pid in host.pids())

    def _spent_by_links(self) -> float:
        """Of a host's processes, links alone listen; on the first host the Manager does, too."""
        listeners = [
            (port, pid) for host in (self.here, *self.others.values()) for port, pid in host.listeners().items()
        ]
        return sum(_processor_seconds(pid) for port, pid in listeners if port != PORT)

    def __enter__(self) -> _Hosts:
        return self

    def __exit__(self, *_: object) -> None:
        self._network.close()
        self._folder.cleanup()


def _measured(program: Program) -> Measured:
    return dict(json.loads(program.says(r"^measured (\{.*\})$", WITHIN)[1]))


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it has gone
    return (int(fields[11]) + int(fields[12])) / _TICKS
