"""Damaged and hostile records: refused, or a value within the payload; never another exception."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmesh.chunk import CONTENT_TYPES
from flowmesh.errors import ChunkError
from flowmesh.wire.values import ARRAY, BYTES, PICKLE, unpack

from .test_values import TEXT, Box, Trap

HEADERS: dict[str, Any] = {
    "an object dtype": ["|O", [1], 0, 0],
    "objects": ["O", [1], 0, 0],
    "no dtype": ["", [1], 0, 0],
    "a dtype that is none": ["<i3", [1], 0, 0],
    "a dtype that numpy does not parse": ["<M8[zz]", [1], 0, 0],
    "a unit of 0 seconds, by which numpy divides": ["<M8[0s]", [1], 0, 0],
    "a structured dtype": ["<i4,|O", [1], 0, 0],
    "a dtype with a shape": ["(2,3)<f4", [1], 0, 0],
    "raw memory": ["|V8", [1], 0, 0],
    "texts of no length": ["<U0", [3], 0, 0],
    "texts too long": ["<U9999999999", [0], 0, 0],
    "a dtype as bytes": [b"<f4", [1], 0, 0],
    "a dtype as list": [["<f4"], [1], 0, 0],
    "a shape of -1": ["|u1", [-1], 0, 0],
    "two negative lengths": ["|u1", [-2, -2], 0, 0],
    "a length of true": ["|u1", [True], 0, 0],
    "a broken length": ["|u1", [1.0], 0, 0],
    "a shape that is a number": ["|u1", 4, 0, 0],
    "a shape whose product overflows": ["|u1", [2**32, 2**32], 0, 0],
    "a shape whose product overflows to a fitting one": ["<i4", [2**62 + 1], 0, 0],
    "a length beyond 64 bits": ["|u1", [2**64], 0, 0],
    "a length beyond 64 bits beside 0": ["|u1", [0, 2**64], 0, 0],
    "lengths that overflow beside 0": ["<i4", [0, 2**62, 2**62], 0, 0],
    "too many dimensions": ["|u1", [1] * 65, 0, 0],
    "a negative offset": ["|u1", [1], -64, 0],
    "an offset beyond": ["|u1", [1], 128, 0],
    "an offset far beyond": ["|u1", [0], 2**70 // 64 * 64, 0],
    "an end beyond": ["|u1", [65], 64, 0],
    "an offset between": ["|u1", [1], 32, 0],
    "an offset of true": ["|u1", [1], True, 0],
    "no offset": ["|u1", [1], None, 0],
    "an order that is none": ["|u1", [1], 0, 2],
    "a negative order": ["|u1", [1], 0, -1],
    "an order of text": ["|u1", [1], 0, "C"],
    "too few parts": ["|u1", [1], 0],
    "too many parts": ["|u1", [1], 0, 0, 0],
    "no parts": None,
    "parts by name": {"dtype": "|u1"},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.filterwarnings("error")
def test_a_hostile_array_header_makes_no_array(header: Any) -> None:
    with pytest.raises(ChunkError, match="record 'x': "):
        unpack([("x", 0, ARRAY, header)], bytes(128))


@pytest.mark.parametrize(
    "place", [[0, 129], [128, 1], [-64, 64], [64, -1], [1, 1], [True, 1], [0, "1"], [0], [0, 1, 2], None, 7, "ab"]
)
def test_a_hostile_place_is_refused(place: Any) -> None:
    with pytest.raises(ChunkError, match="record 'x': "):
        unpack([("x", 0, BYTES, place)], bytes(128))
    with pytest.raises(ChunkError, match="record 'x': "):
        unpack([("x", 0, PICKLE, [pickle.dumps(1), [place]])], bytes(128))


@pytest.mark.parametrize(
    "records",
    [
        None, 7, "abc", {}, (), [7], [None], ["abcd"], [()], [("x", 0, 0)], [("x", 0, 0, 1, 2)], [[[], [], [], []]],
        [("x", len(CONTENT_TYPES), 0, 1)], [("x", -1, 0, 1)], [("x", "other", 0, 1)], [("x", [], 0, 1)],
        [("x", 0, 4, 1)], [("x", 0, -1, 1)], [("x", 0, None, 1)], [("x", 0, {}, 1)],
        [(1, 0, 0, 1)], [(None, 0, 0, 1)], [(b"x", 0, 0, 1)], [("x", 0, 0, 1), ("x", 0, 0, 2)],
    ],
    ids=repr,
)  # fmt: skip
def test_damaged_records_are_refused(records: Any) -> None:
    with pytest.raises(ChunkError):
        unpack(records, b"")


ORPHAN = pickle.dumps(Box("x")).replace(b"Box", b"Bix")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([b"", []], "EOFError"),
        ([b"\x80\x05N", []], "."),
        ([pickle.dumps(Trap()), []], "ZeroDivisionError: on arrival"),
        ([ORPHAN, []], "AttributeError: .*Bix"),
        ([pickle.dumps(pickle.PickleBuffer(b"x"), 5, buffer_callback=lambda buffer: None), []], "UnpicklingError"),
        ([pickle.dumps(1), None], "damaged"),
        (["text", []], "damaged"),
        ([b""], "damaged"),
        (None, "damaged"),
    ],
)
def test_a_pickle_that_cannot_be_read_says_why(value: Any, text: str) -> None:
    with pytest.raises(ChunkError, match=f"record 'x': .*{text}") as caught:
        unpack([("x", 0, PICKLE, value)], b"")
    assert caught.value.__cause__ is not None


JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 200), st.integers(-(2**70), 2**70), st.floats(), TEXT,
        st.sampled_from(["<f4", "|u1", "|O", "<U3", "|S5", "<M8[ns]", ">i2", 0, 64, 128]),
    ),
    lambda inside: st.one_of(st.lists(inside, max_size=4), st.dictionaries(TEXT, inside, max_size=2)),
    max_leaves=8,
)  # fmt: skip  # holds no bytes: so a pickle among it is never read
SHAPE = st.lists(st.sampled_from([0, 1, 2, 5, 128, 2**32, 2**63, -1, None, True]), max_size=4)
ARRAY_HEADER = st.tuples(
    st.from_regex(r"[<>|=]?[a-zA-Z?][0-9]{0,3}", fullmatch=True),
    SHAPE,
    st.sampled_from([0, 64, 128, -64, 7, None]),
    st.integers(-1, 2),
).map(list)
RECORD = st.tuples(
    st.one_of(TEXT, JUNK),
    st.one_of(st.integers(-1, 6), JUNK),
    st.one_of(st.integers(-1, 4), JUNK),
    st.one_of(ARRAY_HEADER, JUNK),
)


@settings(deadline=None, max_examples=500)
@given(st.one_of(JUNK, st.lists(st.one_of(RECORD, JUNK), max_size=3)), st.binary(max_size=200))
@pytest.mark.filterwarnings("error")
def test_junk_is_refused_or_is_a_value_within_the_payload(records: Any, payload: bytes) -> None:
    try:
        opened = unpack(records, payload)
    except ChunkError:
        return
    for value, content_type in opened.values():
        assert content_type in CONTENT_TYPES
        if isinstance(value, np.ndarray):
            assert value.nbytes <= len(payload)
            assert not value.flags.writeable
            value.tobytes()
