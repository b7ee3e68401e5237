"""Values that hold Tasks, and verdicts on values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .future import Task


def filled(value: Any) -> Any:
    """The value with each Task in it, in plain tuples, lists, sets and dicts, replaced by its result."""
    if isinstance(value, Task):
        return value.result()
    if type(value) in (tuple, list, set, frozenset):
        return type(value)(filled(each) for each in value)
    if type(value) is dict:
        return {key: filled(each) for key, each in value.items()}
    return value


def flaw_of(value: Any, validate: Callable[[Any], Any] | None) -> str:
    """What is wrong with a result, by its `validate`; "" if nothing. False or a text rejects it."""
    if validate is None:
        return ""
    verdict = validate(value)
    if isinstance(verdict, str) and verdict:
        return verdict
    return "validate() returned False" if verdict is False else ""
