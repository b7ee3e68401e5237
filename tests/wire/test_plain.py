"""What is plain, and how the way to what is not reads. That plain values come back: test_contract.py."""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Any

import msgspec
import numpy as np
import pytest

from flowmesh.errors import ChunkError
from flowmesh.wire import plain


class Colour(enum.IntEnum):
    RED = 1


def nested(depth: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"k": value}
    return value


HERSELF: list[Any] = []
HERSELF.append(HERSELF)
DEEP = "[0]" * 16
OBSTACLES: list[tuple[Any, str]] = [
    ((1, 2), "a tuple"),
    ({1, 2}, "a set"),
    (2j, "a complex"),
    (2**64, "an int of more than 64 bits"),
    (-(2**63) - 1, "an int of more than 64 bits"),
    ("\ud800", "a text that UTF-8 can't hold"),
    (bytearray(b"x"), "a bytearray"),
    (Colour.RED, f"a {Colour.__module__}.Colour"),
    (OrderedDict(a=1), "a collections.OrderedDict"),
    (np.float64(1), "a numpy.float64"),
    ({"a": [0, 1, 2, np.ones((2, 2)).view(np.matrix)]}, "['a'][3]: a numpy.matrix"),
    ([1, {"b": {"c": (1,)}}], "[1]['b']['c']: a tuple"),
    ({"a": 1, "b": 2**70}, "['b']: an int of more than 64 bits"),
    ({"a": {3: "x"}}, "['a']: a dict with the key 3, which is no proper text"),
    ({"\udfff": 1}, r"a dict with the key '\udfff', which is no proper text"),
    ({"it's": [None, ...]}, '["it\'s"][1]: an ellipsis'),
    (nested(17, list), f"{DEEP}: a list nested more than 16 deep"),
    (nested(17, dict), f"{DEEP.replace('0', repr('k'))}: a dict nested more than 16 deep"),
    (HERSELF, f"{DEEP}: a list nested more than 16 deep"),
]


@pytest.mark.parametrize(("value", "text"), OBSTACLES)
def test_what_is_not_plain_is_found_and_named(value: Any, text: str) -> None:
    assert not plain.plain(value)
    assert str(plain.obstacle(value)) == text
    with pytest.raises(ChunkError) as caught:
        plain.encode(value)
    assert str(caught.value) == f"not a plain value: {text}"


@pytest.mark.parametrize("value", [nested(16, list), nested(16, dict), {"ü": "ß", "": [True, 2**64 - 1, -(2**63)]}])
def test_what_is_plain_has_no_obstacle(value: Any) -> None:
    assert plain.plain(value)
    assert plain.obstacle(value) is None
    assert plain.decode(plain.encode(value)) == value


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "can't be read"),
        (b"\xc1", "can't be read"),
        (b"\x01\x01", "can't be read"),
        (b"\xa1\xff", "can't be read"),
        (b"\x91" * 5000 + b"\x01", "can't be read"),
        (b"\xdd\xff\xff\xff\xff", "can't be read"),
        (b"\xc6\xff\xff\xff\xff", "can't be read"),
        (b"\x91" * 17 + b"\x01", "nested more than 16 deep"),
        (b"\x81\x01\x01", "a dict with the key 1"),
        (b"\x81\x91\x01\x01", r"a dict with the key \(1,\)"),
        (b"\xd4\x05a", "a msgspec.*Ext"),
        (msgspec.msgpack.encode({"t": msgspec.msgpack.Ext(5, b"")}), r"\['t'\]: a msgspec"),
        (b"\xd6\xff\x00\x00\x00\x01", "a datetime.datetime"),
    ],
)
def test_what_arrives_is_plain_or_refused(data: bytes, text: str) -> None:
    with pytest.raises(ChunkError, match=text):
        plain.decode(data)
