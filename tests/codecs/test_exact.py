"""Exact arrays: the chains of filters give what they were given, they gain something, and no other header is let through."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmesh.codecs.exact import ExactCodec
from flowmesh.errors import ChunkError

from .cases import GREY, Target, arrived, picture, same_bits

CODES = "? u1 i2 f2 f4 f8 c16 U3 S3 S1 S50 M8[s]"


def films(code: str, height: int, width: int, channels: int, step: int) -> np.ndarray[Any, Any]:
    values = picture(height, width, channels).astype(np.int64) * step // 7
    return (values % 2 == 0) if code == "?" else values.astype(code)


@settings(max_examples=200)
@given(st.sampled_from(CODES.split()), st.integers(1, 90), st.integers(1, 90), st.integers(1, 5), st.integers(1, 99))
def test_whatever_the_chain_and_the_rest_behind_the_last_element(
    code: str, height: int, width: int, channels: int, step: int
) -> None:
    array = films(code, height, width, channels, step)
    for each in (array, array[:, :, 0], array.T):
        assert same_bits(arrived(ExactCodec(), each), each)


@pytest.mark.parametrize(
    ("array", "ratio"),
    [
        (picture(540, 960), 2.5),
        (picture(540, 960, 1), 2),
        (picture(540, 960, 4), 2.5),
        (np.asfortranarray(picture(540, 960)), 2),
        (picture(540, 960, 1) > 100, 20),
        (picture(540, 960, 1).astype(np.uint16) * 31, 3),
        (picture(540, 960, 1).astype(np.float32) / 255, 3),
        (np.arange(100_000), 100),
        (np.zeros((540, 960)), 10_000),
    ],
    ids=["BGR", "grey", "BGRA", "Fortran's", "mask", "depth", "floats", "numbers", "zeros"],
)
def test_it_gains(array: np.ndarray[Any, Any], ratio: float) -> None:
    assert array.nbytes / len(ExactCodec().encode(array).data) > ratio


# --- headers of others -----------------------------------------------------------------------------------------------

ARRAY = picture(40, 56)
DATA = bytes(ExactCodec().encode(ARRAY).data)
BITS = bytes(ExactCodec().encode(GREY > 100).data)
HEADERS = {
    "another version": (0, b"\x04"),
    "another version of Zstandard": (1, b"\x02"),
    "the format without filters": (2, b"\x81"),
    "the filter DELTA": (2, b"\x8d"),
    "LZ4": (2, b"\x25"),
    "a codec of the user's": (2, b"\xe5"),
    "no typesize": (3, b"\x00"),
    "another typesize than BYTEDELTA's": (3, b"\x04"),
    "a large typesize": (3, b"\xff"),
    "no blocks": (8, struct.pack("<i", 0)),
    "negative blocks": (8, struct.pack("<i", -1)),
    "blocks larger than the array": (8, struct.pack("<i", ARRAY.nbytes + 1)),
    "a chain of three": (16, bytes((1, 35, 2))),
    "BYTEDELTA alone": (16, bytes((35, 0))),
    "a filter of the user's": (16, b"\xa0"),
    "a filter behind the chain": (21, b"\x01"),
    "a plug-in": (22, b"\xa0"),
    "a codec's parameter": (23, b"\x01"),
    "BYTEDELTA of size 0": (25, b"\x00"),
    "BYTEDELTA of another size": (25, b"\x04"),
    "the reserved byte": (30, b"\x01"),
    "a dictionary": (31, b"\x01"),
    "a lazy chunk, which opens a file": (31, b"\x08"),
    "all NaN": (31, b"\x20"),
    "a repeated value": (31, b"\x30"),
    "uninitialised memory": (31, b"\x40"),
}


def refused(data: bytes, size: int, why: str) -> None:
    target = Target(size)
    with pytest.raises(ChunkError, match=why):
        ExactCodec().decode((), data, target.view)
    assert bytes(target.view) == b"\xff" * size


@pytest.mark.parametrize(("place", "new"), HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_is_never_made_is_refused(place: int, new: bytes) -> None:
    refused(DATA[:place] + new + DATA[place + len(new) :], ARRAY.nbytes, "asks for what is never made here")


@pytest.mark.parametrize("place", [4, 12])
@pytest.mark.parametrize("number", [0, -1, 2**31 - 1, -(2**31), ARRAY.nbytes - 1])
def test_sizes_are_looked_at_before_all_else(place: int, number: int) -> None:
    refused(DATA[:place] + struct.pack("<i", number) + DATA[place + 4 :], ARRAY.nbytes, "the data claims to be")


def test_blocks_that_would_take_much_memory_are_refused() -> None:
    large = np.zeros(5 << 20, np.uint8)
    data = bytearray(ExactCodec().encode(large).data)
    data[8:12] = struct.pack("<i", large.nbytes)
    refused(bytes(data), large.nbytes, "asks for what is never made here")


def test_the_headers_here_are_those_of_both_chains() -> None:
    assert (DATA[16:22], BITS[16:22]) == (bytes((1, 35, 0, 0, 0, 0)), bytes((2, 0, 0, 0, 0, 0)))


def test_no_heavy_library_is_imported_before_its_codec_is_used() -> None:
    code = """
import sys
from flowmesh.codecs import registry, selection
from flowmesh.wire import pickled, plain
heavy = {"cv2", "blosc2", "lz4", "cloudpickle", "zmq"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
import numpy
registry.codec(2).encode(numpy.zeros(9))
import blosc2
assert blosc2.set_releasegil(True), "blosc2 would keep the other threads waiting"
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
