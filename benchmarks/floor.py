"""The floors: bare loops without any framework, about the practical limit in Python on this machine, measured in the same run.

small    msgspec dicts over a seqpacket pair, a window of 256, acknowledgements every 64; with a relay between for two hops
frames   a ring of shared slots, a seqpacket descriptor a frame, written with one copy, read in place by each consumer
paced    either of them at a given rate: one-way times instead of a throughput

Each returns its figures by name; "cpu" is seconds of all processes per 1,000 chunks.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise

import msgspec
import numpy as np

from .film import Frame, blank, mark, verify
from .forks import Report, run

Pair = tuple[socket.socket, socket.socket]

WINDOW, BATCH = 256, 64
SLOTS = 6
WARM_UP = 5  # chunks of a paced run that are not counted


class Header(msgspec.Struct, array_like=True):
    number: int
    time: int
    value: msgspec.Raw


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header).decode
_value = msgspec.msgpack.Decoder().decode


# --- small chunks --------------------------------------------------------------------------------------------------------


def small(count: int, hops: int) -> dict[str, float]:
    """Messages a second through `hops` hops ("rate"), and "cpu"."""
    with _pairs(hops) as pairs:
        relays = [partial(_relay, before[1], after[0], count) for before, after in pairwise(pairs)]
        source, sink = partial(_produce, pairs[0][0], count), partial(_consume, pairs[-1][1], count)
        return _throughput(count, run([source, *relays, sink]))


def paced_small(count: int, rate: float) -> dict[str, float]:
    """One-way times of small messages at a rate: "entry p50" and "entry p99" in µs."""
    with _pairs(1) as [(out, source)]:
        _, sink = run([partial(_produce_paced, out, count, rate), partial(_consume_paced, source, count)])
        return sink.values


def _produce(out: socket.socket, count: int) -> dict[str, float]:
    acknowledged = 0
    for number in range(1, count + 1):
        while number - acknowledged > WINDOW:
            (acknowledged,) = struct.unpack("q", out.recv(8))
        value = msgspec.Raw(_encode({"n": number, "x": 1.5}))
        out.send(_encode(Header(number, time.monotonic_ns(), value)))
    return _settle(out, acknowledged, count)


def _relay(source: socket.socket, out: socket.socket, count: int) -> dict[str, float]:
    acknowledged = 0
    for number in range(1, count + 1):
        header = _decode(source.recv(65536))
        value = _value(header.value)
        while number - acknowledged > WINDOW:
            (acknowledged,) = struct.unpack("q", out.recv(8))
        out.send(_encode(Header(number, header.time, msgspec.Raw(_encode(value)))))
        if number % BATCH == 0 or number == count:
            source.send(struct.pack("q", number))
    return _settle(out, acknowledged, count)


def _consume(source: socket.socket, count: int) -> dict[str, float]:
    begun = 0.0
    for number in range(1, count + 1):
        header = _decode(source.recv(65536))
        if number == 1:
            begun = time.perf_counter()
        assert _value(header.value)["n"] == number
        if number % BATCH == 0 or number == count:
            source.send(struct.pack("q", number))
    return {"seconds": time.perf_counter() - begun}


def _produce_paced(out: socket.socket, count: int, rate: float) -> dict[str, float]:
    for number in _ticks(count, rate):
        now = time.monotonic_ns()
        out.send(_encode(Header(number, now, msgspec.Raw(_encode({"n": number, "at": now})))))
    return _settle(out, 0, count)


def _consume_paced(source: socket.socket, count: int) -> dict[str, float]:
    entries = []
    for _ in range(count):
        header = _decode(source.recv(65536))
        entered = time.monotonic_ns()
        entries.append(entered - _value(header.value)["at"])
    source.send(struct.pack("q", count))
    return percentiles("entry", entries)


# --- frames --------------------------------------------------------------------------------------------------------------


def frames(count: int, consumers: int, shape: tuple[int, ...]) -> dict[str, float]:
    """Frames a second to the slowest of some consumers ("rate"), and "cpu"."""
    with _ring(shape) as slots, _pairs(consumers) as pairs:
        watchers = [partial(_watch, source, slots, count) for _, source in pairs]
        return _throughput(count, run([partial(_film, [out for out, _ in pairs], slots, count), *watchers]))


def paced_frames(count: int, rate: float, shape: tuple[int, ...]) -> dict[str, float]:
    """One-way times of frames at a rate: "entry ..." and, after reading, "read ..." in µs, p50 and p99."""
    with _ring(shape) as slots, _pairs(1) as [(out, source)]:
        _, sink = run([partial(_film_paced, out, slots, count, rate), partial(_watch_paced, source, slots, count)])
        return sink.values


def _film(outs: list[socket.socket], slots: list[Frame], count: int) -> dict[str, float]:
    frame, words = blank(slots[0].shape)
    acknowledged = [0] * len(outs)
    for number in range(1, count + 1):
        words[0] = number
        for place, out in enumerate(outs):
            while number - acknowledged[place] > len(slots) - 1:
                (acknowledged[place],) = struct.unpack("q", out.recv(8))
        slots[number % len(slots)][:] = frame
        for out in outs:
            out.send(struct.pack("q", number))
    for place, out in enumerate(outs):
        _settle(out, acknowledged[place], count)
    return {}


def _watch(source: socket.socket, slots: list[Frame], count: int) -> dict[str, float]:
    begun = 0.0
    for _ in range(count):
        (number,) = struct.unpack("q", source.recv(8))
        begun = begun or time.perf_counter()
        verify(slots[number % len(slots)], number)
        source.send(struct.pack("q", number))
    return {"seconds": time.perf_counter() - begun}


def _film_paced(out: socket.socket, slots: list[Frame], count: int, rate: float) -> dict[str, float]:
    frame, words = blank(slots[0].shape)
    for number in _ticks(count, rate):
        words[0] = time.monotonic_ns()
        slots[number % len(slots)][:] = frame
        out.send(struct.pack("q", number))
    return _settle(out, 0, count)


def _watch_paced(source: socket.socket, slots: list[Frame], count: int) -> dict[str, float]:
    entries, reads = [], []
    for _ in range(count):
        (number,) = struct.unpack("q", source.recv(8))
        entered = time.monotonic_ns()
        frame = slots[number % len(slots)]
        sent = mark(frame)
        verify(frame, sent)
        reads.append(time.monotonic_ns() - sent)
        entries.append(entered - sent)
    source.send(struct.pack("q", count))
    return percentiles("entry", entries) | percentiles("read", reads)


# --- between the processes -----------------------------------------------------------------------------------------------


@contextmanager
def _pairs(count: int) -> Iterator[list[Pair]]:
    with ExitStack() as stack:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
        for end in (end for pair in pairs for end in pair):
            stack.enter_context(end)
        yield pairs


@contextmanager
def _ring(shape: tuple[int, ...]) -> Iterator[list[Frame]]:
    """Slots that every process sees, touched once: a page's first use costs as much as a frame."""
    size = int(np.prod(shape))
    file = os.memfd_create("floor")
    os.ftruncate(file, size * SLOTS)
    memory = mmap.mmap(file, size * SLOTS)
    os.close(file)
    slots = [np.frombuffer(memory, np.uint8, size, place * size).reshape(shape) for place in range(SLOTS)]
    for slot in slots:
        slot[:] = 1
    yield slots  # the memory goes with the last of them


def _ticks(count: int, rate: float) -> Iterator[int]:
    due = time.monotonic()
    for number in range(1, count + 1):
        time.sleep(max(0.0, due - time.monotonic()))
        yield number
        due += 1 / rate


def _settle(out: socket.socket, acknowledged: int, count: int) -> dict[str, float]:
    while acknowledged < count:
        (acknowledged,) = struct.unpack("q", out.recv(8))
    return {}


def _throughput(count: int, reports: Iterable[Report]) -> dict[str, float]:
    reports = list(reports)
    slowest = max(report.values.get("seconds", 0.0) for report in reports)
    return {"rate": (count - 1) / slowest, "cpu": sum(report.cpu for report in reports) * 1000 / count}


def percentiles(name: str, nanoseconds: list[int]) -> dict[str, float]:
    """p50 and p99 in µs, without the warm-up."""
    p50, p99 = np.percentile(nanoseconds[WARM_UP:], (50, 99)) / 1000
    return {f"{name} p50": float(p50), f"{name} p99": float(p99)}
