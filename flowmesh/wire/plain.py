"""Plain values: those that msgpack returns unchanged. It would change all others silently.

Plain are None, bool, int of 64 bits, float, str, bytes, and lists and dicts by str of these, nested up to DEPTH:
exactly these types, no subclass. msgpack turns tuples into lists, enums into their values and dataclasses into dicts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ..errors import ChunkError

DEPTH = 16  # deeper values are pickled: pickle keeps what holds itself, and reads it without recursion

_ALWAYS = frozenset({type(None), bool, float, bytes})

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Obstacle(NamedTuple):
    """The part of a value that is not plain: `path` leads to it, as written after the value's name; "" is the value."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what


def plain(value: Any, depth: int = DEPTH) -> bool:
    """Whether msgpack returns the same value. Unrolled for a dict's items: it runs for each chunk."""
    kind = type(value)
    if kind is dict:
        if not depth:
            return False
        for key, item in value.items():
            if type(key) is not str or not (key.isascii() or encodable(key)):
                return False
            kind = type(item)
            if kind is int:
                if -(2**63) <= item < 2**64:
                    continue
            elif kind is str:
                if item.isascii():
                    continue
            elif kind in _ALWAYS:
                continue
            if not plain(item, depth - 1):
                return False
        return True
    if kind is str:
        return value.isascii() or encodable(value)
    if kind is int:
        return bool(-(2**63) <= value < 2**64)
    if kind is list:
        return depth > 0 and _all_plain(value, depth - 1)
    return kind in _ALWAYS


def encodable(text: str) -> bool:
    """False for text with lone surrogates, which UTF-8 does not have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encode(value: Any) -> bytes:
    """Encode a plain value as msgpack.

    Raises:
        ChunkError: it is not plain; the text names the part that is not.
    """
    if not plain(value):
        raise ChunkError(f"not a plain value: {obstacle(value)}")
    return _encode(value)


def decode(data: bytes | memoryview) -> Any:
    """The plain value in `data`.

    Raises:
        ChunkError: it is damaged, or holds what is not plain.
    """
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChunkError(f"a plain value can't be read: {error}") from error
    if not plain(value):
        raise ChunkError(f"not a plain value: {obstacle(value)}")
    return value


def obstacle(value: Any) -> Obstacle | None:
    """The first thing in `value` that is not plain; None if all is."""
    return None if plain(value) else _obstacle(value, "", DEPTH)


def described(value: Any) -> str:
    """A value's type as its user knows it: "a numpy.matrix"."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _all_plain(values: list[Any], depth: int) -> bool:
    for value in values:
        if type(value) not in _ALWAYS and not plain(value, depth):
            return False
    return True


def _obstacle(value: Any, path: str, depth: int) -> Obstacle:
    """`value` is known not to be plain."""
    kind = type(value)
    if kind is int:
        return Obstacle(path, "an int of more than 64 bits")
    if kind is str:
        return Obstacle(path, "a text that UTF-8 can't hold")
    if kind is not list and kind is not dict:
        return Obstacle(path, described(value))
    if not depth:
        return Obstacle(path, f"a {kind.__name__} nested more than {DEPTH} deep")
    if kind is dict and (strange := [key for key in value if type(key) is not str or not encodable(key)]):
        return Obstacle(path, f"a dict with the key {strange[0]!r:.100}, which is no proper text")
    items = value.items() if kind is dict else enumerate(value)
    key, item = next(entry for entry in items if not plain(entry[1], depth - 1))
    return _obstacle(item, f"{path}[{key!r}]", depth - 1)
