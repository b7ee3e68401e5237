from __future__ import annotations

import enum
import types
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmesh.errors import LinkError
from flowmesh.wire.messages import AnyMessage, Message, decode, encode

MESSAGES: tuple[type[Message], ...] = get_args(AnyMessage)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**63 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    str: st.text(st.characters(codec="utf-8"), max_size=20),
    bytes: st.binary(max_size=20),
    types.NoneType: st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, whatever the messages are made of."""
    if kind in PLAIN:
        return PLAIN[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.builds(kind, **{field.name: values(field.type) for field in msgspec.structs.fields(kind)})
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if get_origin(kind) is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    return st.one_of(*map(values, arguments))


any_message = st.sampled_from(MESSAGES).flatmap(values)


def test_the_union_holds_every_message() -> None:
    assert set(MESSAGES) == set(Message.__subclasses__())


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_message_is_frozen_and_says_its_route(kind: type[Message]) -> None:
    assert kind.__struct_config__.frozen
    assert "→" in (kind.__doc__ or "")


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_message_comes_back_equal(kind: type[Message]) -> None:
    @given(values(kind))
    @settings(max_examples=20, deadline=None)
    def comes_back(message: Message) -> None:
        assert decode(encode(message)) == message
        assert type(decode(memoryview(encode(message)))) is kind

    comes_back()


@given(any_message)
@settings(deadline=None)
def test_a_message_that_was_cut_is_refused(message: Message) -> None:
    data = encode(message)
    for end in range(len(data)):
        with pytest.raises(LinkError, match="can't be read"):
            decode(data[:end])


@given(any_message, st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_message_is_refused_or_is_another_one(message: Message, data: st.DataObject) -> None:
    damaged = bytearray(encode(message))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    refused_or_read(bytes(damaged))


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_noise_is_refused(noise: bytes) -> None:
    refused_or_read(noise)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(msgspec.msgpack.encode({"type": "Nonsense"}), id="unknown message"),
        pytest.param(msgspec.msgpack.encode({"key": "a"}), id="no type"),
        pytest.param(msgspec.msgpack.encode({"type": "Enrol", "key": 5}), id="wrong type"),
        pytest.param(msgspec.msgpack.encode({"type": "Enrol"}), id="missing field"),
        pytest.param(b"\x82\xa4type\xa5Enrol\xa3key\xa1\xff", id="not utf-8"),
        pytest.param(b"\x91" * 100_000, id="deep nesting"),
        pytest.param(b"\x82\xa4type\xa5Enrol\xa1x" + b"\x91" * 100_000, id="deep nesting in an unknown field"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="a list said to be huge"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="a map said to be huge"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(LinkError, match="can't be read"):
        decode(data)


def refused_or_read(data: bytes) -> None:
    """Whatever the bytes are, the answer is a message or a LinkError."""
    try:
        message = decode(data)
    except LinkError:
        return
    assert isinstance(message, MESSAGES)
