"""Functions that shipped pickles call while they are loaded, by name: so their names must not change.

Some objects of `__main__` pickle by name only, and the child's `__main__` has no such name yet: they are made anew.
"""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Callable
from typing import Any

_make_new_type: Callable[[str, Any], Any] = typing.NewType  # a type checker takes a direct call for a declaration


def main_globals() -> dict[str, Any]:
    """The globals of the `__main__` that loads: all that is shipped by value shares them, as it did in the script."""
    return sys.modules["__main__"].__dict__


def cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """`function` behind an empty `functools.lru_cache`."""
    return functools.lru_cache(maxsize, typed)(function)


def cached_property(function: Callable[[Any], Any], name: str | None) -> Any:
    """A `functools.cached_property`, which holds a lock in Python 3.11."""
    made = functools.cached_property(function)
    made.attrname = name
    return made


def single_dispatch(name: str) -> Any:
    """A `functools.singledispatch` function of `__main__`, to be filled: its implementations may lead back to it."""

    def unfilled(*arguments: Any) -> Any:
        raise TypeError(f"{name} was called while it was loaded")

    unfilled.__name__ = name
    unfilled.__module__ = "__main__"
    return functools.singledispatch(unfilled)


def fill_single_dispatch(
    function: Any, state: tuple[str | None, str, dict[str, Any], tuple[tuple[type, Any], ...]]
) -> None:
    """Give it its documentation, qualified name, attributes and implementations."""
    function.__doc__, function.__qualname__, attributes, implementations = state
    vars(function).update(attributes)
    for kind, implementation in implementations:
        function.register(kind, implementation)


def new_type(name: str, supertype: Any) -> Any:
    """A `typing.NewType` of `__main__`."""
    made: Any = _make_new_type(name, supertype)
    made.__module__ = "__main__"
    return made


def parameter_specification(name: str) -> Any:
    """A `typing.ParamSpec` of `__main__`."""
    made: Any = typing.ParamSpec(name)  # type: ignore[misc]
    made.__module__ = "__main__"
    return made
