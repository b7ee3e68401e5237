"""The floors: bare loops without any framework, about the practical limit in Python on this machine, measured in the same run.

    small    msgspec dicts over a seqpacket pair, a window of 256, acknowledgements every 64; with a relay between for two hops
    frames   a ring of shared slots, a seqpacket descriptor a frame, the consumer sums a part of each frame
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import time
from collections.abc import Callable

import msgspec
import numpy as np

WINDOW, BATCH = 256, 64


class Header(msgspec.Struct, array_like=True):
    number: int
    time: int
    value: msgspec.Raw


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header).decode
_value = msgspec.msgpack.Decoder().decode


def small(count: int, hops: int) -> float:
    """Messages a second through `hops` hops."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(hops)]
    result, report = os.pipe()
    children = [_child(lambda: _produce(pairs[0][0], count))]
    for hop in range(hops - 1):
        children.append(_child(lambda hop=hop: _relay(pairs[hop][1], pairs[hop + 1][0], count)))
    children.append(_child(lambda: _consume(pairs[-1][1], count, report)))
    (seconds,) = struct.unpack("d", os.read(result, 8))
    for child in children:
        os.waitpid(child, 0)
    for one, other in pairs:
        one.close()
        other.close()
    os.close(result)
    os.close(report)
    return count / seconds


def frames(count: int, consumers: int, shape: tuple[int, ...], slots: int = 6) -> float:
    """Frames a second to each of some consumers: copied into a slot once, read in place by all."""
    size = int(np.prod(shape))
    file = os.memfd_create("floor")
    os.ftruncate(file, size * slots)
    memory = mmap.mmap(file, size * slots)
    np.frombuffer(memory, np.uint8)[:] = 1
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(consumers)]
    result, report = os.pipe()
    children = [_child(lambda: _film([pair[0] for pair in pairs], memory, shape, slots, count))]
    for pair in pairs:
        children.append(_child(lambda pair=pair: _watch(pair[1], memory, shape, slots, count, report)))
    slowest = max(struct.unpack("d", os.read(result, 8))[0] for _ in pairs)
    for child in children:
        os.waitpid(child, 0)
    for one, other in pairs:
        one.close()
        other.close()
    for descriptor in (file, result, report):
        os.close(descriptor)
    return count / slowest


def _child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def _produce(out: socket.socket, count: int) -> None:
    acknowledged = 0
    for number in range(1, count + 1):
        while number - acknowledged > WINDOW:
            (acknowledged,) = struct.unpack("q", out.recv(8))
        value = msgspec.Raw(_encode({"n": number, "x": 1.5}))
        out.send(_encode(Header(number, time.monotonic_ns(), value)))
    while acknowledged < count:
        (acknowledged,) = struct.unpack("q", out.recv(8))


def _relay(source: socket.socket, out: socket.socket, count: int) -> None:
    acknowledged = 0
    for number in range(1, count + 1):
        header = _decode(source.recv(65536))
        value = _value(header.value)
        while number - acknowledged > WINDOW:
            (acknowledged,) = struct.unpack("q", out.recv(8))
        out.send(_encode(Header(number, header.time, msgspec.Raw(_encode(value)))))
        if number % BATCH == 0 or number == count:
            source.send(struct.pack("q", number))


def _consume(source: socket.socket, count: int, report: int) -> None:
    begun = 0.0
    for number in range(1, count + 1):
        header = _decode(source.recv(65536))
        if number == 1:
            begun = time.perf_counter()
        assert _value(header.value)["n"] == number
        if number % BATCH == 0 or number == count:
            source.send(struct.pack("q", number))
    os.write(report, struct.pack("d", time.perf_counter() - begun))


def _film(outs: list[socket.socket], memory: mmap.mmap, shape: tuple[int, ...], slots: int, count: int) -> None:
    frame = np.ones(shape, np.uint8)
    views = _views(memory, shape, slots)
    acknowledged = [0] * len(outs)
    for number in range(1, count + 1):
        for place, out in enumerate(outs):
            while number - acknowledged[place] > slots - 1:
                (acknowledged[place],) = struct.unpack("q", out.recv(8))
        views[number % slots][:] = frame
        for out in outs:
            out.send(struct.pack("q", number))
    for place, out in enumerate(outs):
        while acknowledged[place] < count:
            (acknowledged[place],) = struct.unpack("q", out.recv(8))


def _watch(
    source: socket.socket, memory: mmap.mmap, shape: tuple[int, ...], slots: int, count: int, report: int
) -> None:
    views = _views(memory, shape, slots)
    begun = 0.0
    for _ in range(count):
        (number,) = struct.unpack("q", source.recv(8))
        begun = begun or time.perf_counter()
        checksum(views[number % slots])
        source.send(struct.pack("q", number))
    os.write(report, struct.pack("d", time.perf_counter() - begun))


def _views(memory: mmap.mmap, shape: tuple[int, ...], slots: int) -> list[np.ndarray]:
    size = int(np.prod(shape))
    return [np.frombuffer(memory, np.uint8, size, place * size).reshape(shape) for place in range(slots)]


def checksum(frame: np.ndarray) -> int:
    """What a consumer reads of a frame: every 64-bit word of it."""
    return int(np.bitwise_xor.reduce(frame.reshape(-1).view(np.uint64)))
