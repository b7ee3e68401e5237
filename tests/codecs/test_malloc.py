"""Decoding frame after frame takes no new memory, once the process has asked for that."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from flowmesh.codecs.malloc import keep_freed_memory

DECODING = """
import resource, threading, numpy as np
from flowmesh.codecs.jpeg import JpegCodec
from flowmesh.codecs.malloc import keep_freed_memory
assert keep_freed_memory()
codec, frame = JpegCodec(), np.full((1080, 1920, 3), 90, np.uint8)
encoded = codec.encode(frame)
target = memoryview(bytearray(frame.nbytes))

def decode():
    for _ in range(3):
        codec.decode(encoded.parameters, encoded.data, target)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(5):
        codec.decode(encoded.parameters, encoded.data, target)
    print(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

decode()
thread = threading.Thread(target=decode)
thread.start()
thread.join()
"""


def test_a_frame_is_decoded_into_the_memory_of_the_one_before() -> None:
    ended = subprocess.run([sys.executable, "-c", DECODING], capture_output=True, text=True)
    faults = [int(line) for line in ended.stdout.split()]
    assert len(faults) == 2, ended.stderr
    assert max(faults) < 1500, "a page fault for each page of 5 frames of 6.2 MB would be 7,500"


def test_glibc_is_told_both_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []

    class Recorder:
        def mallopt(self, option: int, value: int) -> int:
            told.append((option, value))
            return int(option == -1)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Recorder())  # the tests' own memory stays as it was
    assert not keep_freed_memory()
    assert told == [(-3, 32 << 20), (-1, 64 << 20)]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # as musl, which has no mallopt
    assert not keep_freed_memory()
