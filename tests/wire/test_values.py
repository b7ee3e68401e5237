"""Values cross from one process to another unchanged, and a damaged record is refused before it does harm."""

from __future__ import annotations

import enum
import math
import struct
import sys
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowmesh.chunk import CONTENT_TYPES, DataChunk
from flowmesh.errors import ChunkError, PickleRefused
from flowmesh.wire import values
from flowmesh.wire.packets import CHUNK, Chunk, decode, encode_fields
from flowmesh.wire.values import ALIGNMENT, ARRAY, BYTES, PICKLE, PLAIN, Packed, pack, unpack, write

FRAME = np.arange(120 * 160 * 3, dtype=np.uint8).reshape(120, 160, 3)


def send(*records: tuple[str, Any, str]) -> tuple[Packed, bytes, memoryview]:
    """The packed records, a packet with them, and their payload as it would lie in a slot."""
    packed = pack(records)
    slot = memoryview(bytearray(b"\xff" * (packed.size + 100)))
    write(packed, slot)
    return (
        packed,
        encode_fields((CHUNK, 1, 1, 1, -1, 1, 0, True, 0, 0, 0, {}, packed.records, 1, 0, packed.size)),
        slot[: packed.size],
    )


def travel(value: Any, content_type: str = "other") -> Any:
    """The value as the process at the other end gets it."""
    _, packet, slot = send(("x", value, content_type))
    chunk = decode(packet)
    assert isinstance(chunk, Chunk)
    arrived, arrived_type = unpack(chunk.records, slot)["x"]
    assert arrived_type == content_type
    inline = unpack(chunk.records, bytes(slot))["x"][0]
    assert alike(inline, arrived)
    return arrived


def form(value: Any) -> int:
    return pack([("x", value, "other")]).records[0][2]


def alike(a: Any, b: Any) -> bool:
    """Whether two values are the same in type and content: to the bit, so NaN is NaN and -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return bool(a.dtype.hasobject and np.array_equal(a, b)) or a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(alike(value, b[key]) for key, value in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b)


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Box:
    label: str
    corners: tuple[int, ...] = (0, 0)
    pixels: list[int] = field(default_factory=list)


class Text(str):
    pass


class Stubborn:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("not me")


def _explode() -> None:
    raise ZeroDivisionError("on arrival")


class Trap:
    def __reduce__(self) -> Any:
        return _explode, ()


class Owner(np.ndarray):  # what a lease hangs on: an ndarray's subclass made on the slot
    pass


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


# --- what goes in which form -----------------------------------------------------------------------------------------

PLAIN_VALUES = [
    None, True, False, 0, 1, -1, 2**63, 2**64 - 1, -(2**63), 0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, "", "text",
    "ünï✓𝄞", "\0", b"", b"raw", b"x" * 4096, [], {}, [[]], {"": {}}, [1, [2, [3, None]]], {"ü": 1},
    {"a": 1, "b": 2.5, "c": "text", "d": None, "e": b"x", "f": [1, {"g": False}], "h": "ü", "i": 2**64 - 1},
    nested(16),
]  # fmt: skip

PICKLED_VALUES = [
    (), (1, 2), ((1,), [2]), set(), {1, 2}, frozenset({1}), {1: "a"}, {"a": {2: 3}}, {"a": (1,)}, [(1,)], {(1, 2): 3},
    Colour.RED, Level.LOW, [Level.LOW], Box("cat", (1, 2), [3]), [Box("dog")], 2**64, 2**70, -(2**63) - 1, {"a": 2**64},
    [2**70], 1j, bytearray(b"x"), Text("sub"), {Text("key"): 1}, OrderedDict(a=1), "\ud800", {"\ud800": 1},
    {"a": "\udfff"}, ["ok", "\ud800"], range(3), ..., int, np.float64(1.5), np.uint8(3), np.bool_(True),
    {"n": np.int16(1)}, np.datetime64("2024-01-01"), np.dtype("<f4"), np.array([1, "a", None], dtype=object),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.zeros(2, "V5"), nested(17), nested(200),
    DataChunk({"in": (1, "other")}),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN_VALUES, ids=lambda value: f"{value!r:.30}")
def test_plain_values_lie_in_the_header_and_arrive_the_same(value: Any) -> None:
    assert form(value) == PLAIN
    assert pack([("x", value, "other")]) == Packed([("x", 0, PLAIN, value)], [], 0)
    assert alike(travel(value), value)


@pytest.mark.parametrize("value", PICKLED_VALUES, ids=lambda value: f"{value!r:.30}")
def test_what_msgpack_would_change_is_pickled_and_arrives_the_same(value: Any) -> None:
    assert form(value) == PICKLE
    assert alike(travel(value), value)


def test_what_holds_itself_arrives_holding_itself() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    tree: dict[str, Any] = {}
    tree["self"] = [tree]
    arrived = travel_unequal(ring)
    assert arrived[0] == 1
    assert arrived[1] is arrived
    arrived = travel_unequal(tree)
    assert arrived["self"][0] is arrived


def travel_unequal(value: Any) -> Any:
    packed, _, slot = send(("x", value, "other"))
    return unpack(packed.records, slot)["x"][0]


def test_what_is_deeper_than_pickle_can_go_is_refused_by_name() -> None:
    with pytest.raises(ChunkError, match="record 'x': a list can't be sent"):
        pack([("x", nested(10 * sys.getrecursionlimit()), "other")])


def test_long_bytes_lie_in_the_payload() -> None:
    value = bytes(range(256)) * 17
    assert pack([("x", value, "bytes")]).records == [("x", 5, BYTES, [0, len(value)])]
    assert alike(travel(value, "bytes"), value)


def test_a_memoryview_arrives_as_bytes() -> None:
    assert travel(memoryview(b"view"), "bytes") == b"view"


def test_lambdas_and_objects_of_local_classes_go_by_value() -> None:
    class Local:
        size = 3

    assert travel_unequal(lambda x: x + 1)(2) == 3
    assert travel_unequal([Local()])[0].size == 3
    assert np.array_equal(travel_unequal((lambda: 0, FRAME))[1], FRAME)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (threading.Lock(), r"a _thread\.lock can't be sent: cannot pickle '_thread\.lock' object"),
        ({"a": threading.Lock()}, r"a dict can't be sent: cannot pickle '_thread\.lock' object"),
        (Stubborn(), r"a .*Stubborn can't be sent: not me"),
    ],
)
def test_what_cannot_be_sent_is_named(value: Any, text: str) -> None:
    with pytest.raises(ChunkError, match=f"^record 'x': {text}") as caught:
        pack([("x", value, "other")])
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("record", [(3, 1, "other"), (None, 1, "other"), ("\ud800", 1, "other"), ("x", 1, "video")])
def test_names_and_content_types_that_cannot_be_sent(record: Any) -> None:
    with pytest.raises(ChunkError, match="a record can't be sent"):
        pack([record])


def test_records_keep_their_order_names_and_content_types() -> None:
    records = [(f"ö{i}", "t", content_type) for i, content_type in enumerate(CONTENT_TYPES)]
    packed = pack(iter(records))
    assert [(name, content_type) for name, (_, content_type) in unpack(packed.records, b"").items()] == [
        (name, content_type) for name, _, content_type in records
    ]
    assert unpack(pack([]).records, b"") == {}


# --- arrays ----------------------------------------------------------------------------------------------------------

ARRAYS = {
    "0-d": np.array(5),
    "0-d datetime": np.array("2024-01-01", "M8[D]"),
    "empty": np.zeros((0,)),
    "empty with lengths": np.zeros((3, 0, 2), np.int16),
    "non-contiguous": FRAME[::2, 5:50:3],
    "negative strides": FRAME[::-1, :, ::-1],
    "broadcast": np.broadcast_to(np.arange(3.0), (4, 3)),
    "read-only": np.frombuffer(b"12345678", "<u4"),
    "big-endian": np.arange(5, dtype=">i4"),
    "big-endian float": np.array([1.5, np.nan], ">f8"),
    "uint16": np.array([0, 65535], "u2"),
    "bool": np.array([[True], [False]]),
    "complex": np.array([1j, 2 - 1j], "c8"),
    "half": np.array([1.5, -0.0], "f2"),
    "long double": np.array([1, 3], "g") / 3,
    "bytes": np.array([b"a", b"bcd"]),
    "unicode": np.array(["ü", "", "abc"]),
    "datetime": np.array(["2024-01-01T00:00:00", "NaT"], "M8[ns]"),
    "datetime of 25 s": np.array([1, 2], "M8[25s]"),
    "datetime of any unit": np.array([1, 2], "m8"),
    "timedelta": np.array([1, -1], "m8[us]"),
    "long long": np.arange(3, dtype=np.longlong),
    "64 dimensions": np.zeros((1,) * 64),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_arrive_with_dtype_shape_and_content_and_read_only(array: np.ndarray[Any, Any]) -> None:
    assert form(array) == ARRAY
    arrived = travel(array, "array")
    assert alike(arrived, array)
    assert arrived.dtype.str == array.dtype.str
    assert not arrived.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        arrived[...] = arrived


def test_fortran_order_is_kept() -> None:
    array = np.asfortranarray(FRAME)
    arrived = travel(array)
    assert alike(arrived, array)
    assert arrived.strides == array.strides


FOREIGN = {
    "texts of no length": np.zeros(2, [("a", "U0"), ("b", "i4")])["a"],
    "a subclass": np.arange(3).view(Owner),
    "a record array": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "a number with fields": np.zeros(2, np.dtype((np.int32, {"low": (np.int16, 0), "high": (np.int16, 2)}))),
    "strings of any length": np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
}


@pytest.mark.parametrize("array", FOREIGN.values(), ids=FOREIGN.keys())
def test_arrays_of_other_kinds_are_pickled(array: np.ndarray[Any, Any]) -> None:
    assert form(array) == PICKLE
    arrived = travel_unequal(array)
    assert type(arrived) is type(array)
    assert arrived.dtype == array.dtype
    assert arrived.tolist() == array.tolist()


def test_masked_arrays_keep_their_mask() -> None:
    arrived = travel_unequal(np.ma.masked_array([1, 2, 3], mask=[False, True, False], fill_value=9))
    assert arrived.tolist() == [1, None, 3]
    assert arrived.fill_value == 9


@pytest.mark.parametrize("shape", [(3,), (1000, 10)], ids=["short", "long"])
def test_arrays_inside_a_value_arrive_read_only_whatever_their_size(shape: tuple[int, ...]) -> None:
    array = np.ones(shape)
    arrived = travel({"inside": [array, array.T]})
    assert alike(arrived["inside"][0], array)
    assert alike(arrived["inside"][1], array.T)
    assert not arrived["inside"][0].flags.writeable


def test_short_arrays_inside_a_value_need_no_payload() -> None:
    assert pack([("x", (np.ones(3),), "other")]).size == 0
    assert pack([("x", (FRAME,), "other")]).size == FRAME.nbytes


def test_arrays_are_views_and_nothing_is_copied_on_the_way_in() -> None:
    packed, _, slot = send(("one", FRAME, "image"), ("two", FRAME[::2], "image"), ("three", (FRAME,), "other"))
    assert all(np.shares_memory(blob, FRAME) for _, blob in packed.blobs)
    memory = np.frombuffer(slot, np.uint8)
    opened = unpack(packed.records, slot)
    assert all(np.shares_memory(array, memory) for array in (opened["one"][0], opened["two"][0], opened["three"][0][0]))


def test_blobs_are_aligned_apart_and_within_the_size() -> None:
    packed = pack([("a", np.ones(3, "u1"), "array"), ("b", b"x" * 5000, "bytes"), ("c", (FRAME,), "other")])
    sizes = [3, 5000, FRAME.nbytes]
    end = 0
    for (offset, _), size in zip(packed.blobs, sizes, strict=True):
        assert offset % ALIGNMENT == 0
        assert offset >= end
        end = offset + size
    assert packed.size == end
    memory = bytearray(b"\xaa" * (end + 5))
    write(packed, memoryview(memory))
    assert memory[3:64] == b"\xaa" * 61
    assert memory[end:] == b"\xaa" * 5


def test_an_empty_array_behind_another_finds_its_place() -> None:
    _, packet, slot = send(("a", np.ones(3, "u1"), "array"), ("b", np.zeros((0, 3)), "array"))
    chunk = decode(packet)
    assert isinstance(chunk, Chunk)
    assert unpack(chunk.records, slot)["b"][0].shape == (0, 3)


@pytest.mark.parametrize("value", [FRAME, {"inside": FRAME}], ids=["array", "pickle"])
def test_a_view_keeps_the_payloads_owner_alive(value: Any) -> None:
    packed, _, slot = send(("x", value, "other"))
    owner: Any = Owner((len(slot),), np.uint8, slot)
    alive = weakref.ref(owner)
    arrived = unpack(packed.records, memoryview(owner))["x"][0]
    crop = (arrived if isinstance(arrived, np.ndarray) else arrived["inside"])[5:, ::2]
    del owner, arrived
    assert alive() is not None
    del crop
    assert alive() is None


# --- any value -------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(), max_size=5)  # lone surrogates among them

DTYPES = st.one_of(hnp.scalar_dtypes(), hnp.byte_string_dtypes(max_len=9), hnp.unicode_string_dtypes(max_len=5))
NATIVE = DTYPES.map(lambda dtype: dtype.newbyteorder("="))  # numpy's own pickling often gives back the machine's order
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


@st.composite
def arrays(draw: st.DrawFn, kinds: st.SearchStrategy[np.dtype[Any]]) -> np.ndarray[Any, Any]:
    """Arrays of every kind of dtype, any shape and any strides."""
    dtype, shape = draw(kinds), draw(SHAPES)
    if dtype.kind == "U":  # not every pattern of bits is a character, nor a bool
        laid = np.full(shape, draw(st.text(max_size=5)), dtype)
    else:
        pattern = draw(st.binary(min_size=64, max_size=64)) if dtype.kind != "b" else bytes([0, 1, 1])
        laid = np.resize(np.frombuffer(pattern, np.uint8), math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
    cut = laid[draw(hnp.basic_indices(shape, allow_ellipsis=True))]
    return np.asarray(cut).transpose() if draw(st.booleans()) else np.asarray(cut)


ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), TEXT, st.binary(max_size=9),
    st.just(b"long" * 2000), st.sampled_from([*Colour, *Level]), st.frozensets(st.integers()),
)  # fmt: skip
KEYS = st.one_of(TEXT, st.integers())
VALUES = st.recursive(
    st.one_of(ATOMS, arrays(NATIVE)),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4), st.lists(inside, max_size=3).map(tuple), st.dictionaries(KEYS, inside, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(VALUES)
def test_any_value_arrives_the_same(value: Any) -> None:
    assert alike(travel(value), value)


@settings(deadline=None, max_examples=200)
@given(arrays(DTYPES))
def test_any_array_arrives_the_same(array: np.ndarray[Any, Any]) -> None:
    arrived = travel(array)
    assert alike(arrived, array)
    assert not arrived.flags.writeable


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5))
def test_any_records_arrive_the_same(values: dict[str, Any]) -> None:
    packed, _, slot = send(*((name, value, "other") for name, value in values.items()))
    arrived = unpack(packed.records, slot)
    assert alike({name: value for name, (value, _) in arrived.items()}, values)


# --- lists of pictures, and those who take no pickles ------------------------------------------------------------------


def test_a_list_of_arrays_travels_as_arrays() -> None:
    pictures = [FRAME, np.asfortranarray(FRAME[..., 0]), np.zeros((0, 3), np.float32), FRAME[::2, ::2]]
    assert form(pictures) == values.ARRAYS
    arrived = travel(pictures, "images")
    assert alike(arrived, pictures)
    assert not any(picture.flags.writeable for picture in arrived)
    assert len(send(("x", pictures, "images"))[0].blobs) == 4


def test_a_list_with_anything_else_in_it_does_not() -> None:
    assert form([]) == PLAIN
    for other in (None, 1, np.array([{}]), np.float64(1), Colour.RED):
        assert form([FRAME, other]) == PICKLE
    assert form((FRAME,)) == PICKLE


@pytest.mark.parametrize("value", [None, 3, "x", b"x" * 9000, FRAME, [FRAME], {"a": [1.5, b"x"]}])
def test_what_needs_no_pickle_goes_to_those_who_take_none(value: Any) -> None:
    packed = pack([("x", value, "other")], pickles=False)
    payload = memoryview(bytearray(packed.size))
    write(packed, payload)
    assert alike(unpack(packed.records, payload, pickles=False)["x"][0], value)


def test_a_pickle_is_refused_at_both_ends_with_the_path_to_the_value() -> None:
    value = {"a": [1, (2, 3)]}
    with pytest.raises(PickleRefused, match=r"record 'x': .*\['a'\]\[1\]"):
        pack([("x", value, "other")], pickles=False)
    with pytest.raises(ChunkError, match="record 'x' is pickled"):
        unpack(pack([("x", value, "other")]).records, b"", pickles=False)
