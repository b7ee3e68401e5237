"""The floors between hosts, as programs of their own: PUSH/PULL over TCP with CURVE and nothing else, and the codec alone.

    python -m benchmarks.bare pull COUNT SIZE                     prints its key, then what it measured
    python -m benchmarks.bare push COUNT SIZE ADDRESS KEY         prints its processor seconds
    python -m benchmarks.bare codec COUNT                         JPEG there and back, at 30 frames a second

What is measured is printed as a line of JSON. Only the number at the head of each message is looked at.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import simplejpeg
import zmq

from .film import footage

PORT = 9700
FPS = 30.0
QUALITY = 80


def pull(count: int, size: int) -> dict[str, float]:
    with zmq.Context() as context, context.socket(zmq.PULL) as source:
        public, secret = zmq.curve_keypair()
        source.curve_server, source.curve_publickey, source.curve_secretkey = True, public, secret
        source.bind(f"tcp://*:{PORT}")
        print("key", public.decode(), flush=True)
        begun = 0.0
        for number in range(count):
            message = source.recv()
            begun = begun or time.perf_counter()
            assert int.from_bytes(message[:8], "little") == number
            assert len(message) == size
        return {"rate": (count - 1) / (time.perf_counter() - begun), "cpu": time.process_time()}


def push(count: int, size: int, address: str, key: str) -> dict[str, float]:
    with zmq.Context() as context, context.socket(zmq.PUSH) as out:
        out.curve_serverkey = key.encode()
        out.curve_publickey, out.curve_secretkey = zmq.curve_keypair()
        out.connect(f"tcp://{address}:{PORT}")
        rest = np.random.default_rng(1).bytes(size - 8)
        for number in range(count):
            out.send(number.to_bytes(8, "little") + rest)
    return {"cpu": time.process_time()}  # the context has ended: all of it is sent


def codec(count: int) -> dict[str, float]:
    """Medians of the times, and processor seconds, for encoding and decoding each frame: the library's two calls."""
    frames = footage()
    target = np.empty_like(frames[0])
    encoding, decoding = [], []
    begun, due = time.process_time(), time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, due - time.monotonic()))
        due += 1 / FPS
        begun_at = time.perf_counter()
        encoded = simplejpeg.encode_jpeg(frames[number % len(frames)], QUALITY, "BGR", "420")
        encoded_at = time.perf_counter()
        simplejpeg.decode_jpeg(encoded, "BGR", buffer=target)
        decoding.append(time.perf_counter() - encoded_at)
        encoding.append(encoded_at - begun_at)
    spent = time.process_time() - begun
    return {"p50": (float(np.median(encoding)) + float(np.median(decoding))) * 1000, "cpu": spent}


def main(work: str, *arguments: str) -> None:
    numbers = [int(argument) if argument.isdecimal() else argument for argument in arguments]
    works: dict[str, Callable[..., dict[str, float]]] = {"pull": pull, "push": push, "codec": codec}
    print("measured", json.dumps(works[work](*numbers)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
