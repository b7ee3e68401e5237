"""Errors of pickling: a walk from a node down to the part that can't be pickled.

Each part is pickled by itself to see whether it fails, so the work is bounded: when it is used up, the answer is the
part where the walk stood.
"""

from __future__ import annotations

import collections
import functools
import sys
import time
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import ShippingError
from ..node import Node
from .imports import globals_of_code
from .pickling import is_single_dispatch, try_pickle

TRIALS = 2_000
PATIENCE = 2.0  # seconds

_HINT = "make it in setup(), which runs in the node's process"
_CLOSED = sys.stdlib_module_names - {"__main__"}
_WRAPPERS = (types.MethodType, staticmethod, classmethod, property, functools.partial, functools._lru_cache_wrapper)
_WRAPPED = ("__self__", "__func__", "__wrapped__", "fget", "fset", "fdel", "func", "args", "keywords")


class PathStep(NamedTuple):
    """The position of a part: a path as written in Python, and the function that leads there, if one does."""

    path: str
    lead: str = ""

    def at(self, suffix: str) -> PathStep:
        return PathStep(self.path + suffix, self.lead)


def explain(node: Node, error: Exception) -> ShippingError:
    """An error that names what in `node`, or in its code, can't be pickled; `error` is what pickling raised."""
    culprit = _Walk().find(node, PathStep(node.name))
    if culprit is None or culprit[0] is node:
        return ShippingError(f"node {node.name!r} can't be shipped: {type(error).__name__}: {error}")
    thing, place = culprit
    what = "parameters" if place.path.startswith(f"{node.name}.") and not place.lead else "code"
    return ShippingError(f"node {node.name!r}: {what} can't be shipped: {_sentence(thing, place)}; {_HINT}")


def find_culprit(thing: object, name: str) -> str:
    """A sentence that leads from `thing`, which is called `name`, to what in it can't be pickled; "" if all can."""
    if can_travel(thing):
        return ""
    culprit = _Walk().find(thing, PathStep(name))
    return "" if culprit is None else _sentence(*culprit)


def can_travel(value: object) -> bool:
    """Whether `value` can be pickled with all the code of `__main__` that it needs."""
    try:
        try_pickle(value)
    except Exception:
        return False
    return True


def _sentence(thing: object, place: PathStep) -> str:
    kind = _type_name(thing)
    article = "an" if kind[0] in "aeiouAEIOU" else "a"
    if not place.lead:
        return f"{place.path} is {article} {kind}, which can't be pickled"
    if place.lead.endswith(f"{place.path!r}"):
        return f"{place.lead} ({kind}), which can't be pickled"
    return f"{place.lead}, and {place.path} is {article} {kind}, which can't be pickled"


def _type_name(thing: object) -> str:
    kind = type(thing)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


class _Walk:
    """One walk, which meets nothing twice."""

    def __init__(self) -> None:
        self._seen: dict[int, object] = {}  # the objects too: an id must not be used again meanwhile
        self._trials = TRIALS
        self._until = time.monotonic() + PATIENCE

    def find(self, thing: object, place: PathStep) -> tuple[object, PathStep] | None:
        """The deepest part of `thing` that can't be pickled while all its parts can; None if it was met elsewhere."""
        self._seen[id(thing)] = thing
        deepest = True
        for part, where in _parts(thing, place):
            if id(part) in self._seen:
                # it is being looked into already, and may be why `thing` fails
                deepest = deepest and self._travels(part)
            elif not self._travels(part):
                culprit = self.find(part, where)
                if culprit is not None:
                    return culprit
                deepest = False
        return (thing, place) if deepest else None

    def _travels(self, part: object) -> bool:
        if isinstance(part, str | bytes | int | float | None) or not self._trials or time.monotonic() > self._until:
            return True
        self._trials -= 1
        return can_travel(part)


def _parts(thing: Any, place: PathStep) -> Iterator[tuple[object, PathStep]]:
    if isinstance(thing, dict):
        yield from _items(thing, place)
    if isinstance(thing, list | tuple):
        yield from ((part, place.at(f"[{index}]")) for index, part in enumerate(thing))
    elif isinstance(thing, set | frozenset | collections.deque):
        yield from ((part, PathStep(f"an item of {place.path}", place.lead)) for part in thing)
    elif is_single_dispatch(thing):
        yield from ((each, place) for each in thing.registry.values())
    elif isinstance(thing, types.FunctionType):
        yield from _function(thing, place)
    elif isinstance(thing, type):
        yield from _class(thing)
    elif isinstance(thing, _WRAPPERS):
        yield from ((part, place) for name in _WRAPPED if (part := getattr(thing, name, None)) is not None)
    else:
        yield from _attributes(thing, place)


def _items(thing: dict[Any, Any], place: PathStep) -> Iterator[tuple[object, PathStep]]:
    for key, value in list(thing.items()):
        yield key, PathStep(f"a key of {place.path}", place.lead)
        yield value, place.at(f"[{key!r}]")


def _function(function: types.FunctionType, place: PathStep) -> Iterator[tuple[object, PathStep]]:
    name = place.path
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            held = cell.cell_contents
        except ValueError:  # not bound yet
            continue
        yield held, PathStep(variable, f"{name} uses the enclosing function's {variable!r}")
    for variable in sorted(globals_of_code(function.__code__)):
        if variable in function.__globals__:
            yield function.__globals__[variable], PathStep(variable, f"{name} uses the global {variable!r}")
    for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield default, PathStep(f"a default of {name}")
    yield from ((value, PathStep(f"{name}.{key}")) for key, value in vars(function).items())


def _class(kind: type) -> Iterator[tuple[object, PathStep]]:
    if kind.__module__ != "__main__" and "<locals>" not in kind.__qualname__:
        return
    for name, value in list(vars(kind).items()):
        if name not in ("__dict__", "__weakref__", "_abc_impl"):
            yield value, PathStep(f"{kind.__qualname__}.{name}")
    yield from ((base, PathStep(base.__qualname__)) for base in (*kind.__bases__, type(kind)))


def _attributes(thing: object, place: PathStep) -> Iterator[tuple[object, PathStep]]:
    """The attributes of an object, then its class. What the standard library makes is one thing, not its insides."""
    kind = type(thing)
    if kind.__module__.partition(".")[0] in _CLOSED and kind is not types.SimpleNamespace:
        return
    yield from ((value, place.at(f".{name}")) for name, value in list(getattr(thing, "__dict__", {}).items()))
    for slots in (vars(base).get("__slots__", ()) for base in kind.__mro__):
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(thing, name):
                yield getattr(thing, name), place.at(f".{name}")
    yield kind, PathStep(kind.__qualname__)
