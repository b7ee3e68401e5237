"""BaseNode: what all ready-made nodes have in common. A parameter that none of them knows is an error, not an attribute."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from ..chunk import DataChunk
from ..errors import GraphError
from ..node import OPTIONS, Node


class BaseNode(Node):
    """A node whose parameters are all known. Of its own, a subclass declares them as class attributes."""

    def __init__(self, name: str | None = None, **options: Any) -> None:
        kind = type(self)
        unknown = [key for key in options if key not in OPTIONS and not hasattr(kind, key)]
        if unknown:
            known = [key for key, one in inspect.signature(kind).parameters.items() if one.kind is not one.VAR_KEYWORD]
            raise GraphError(
                f"{kind.__name__} has no parameter {', '.join(map(repr, unknown))}; it has: {', '.join(known)}, "
                f"and a node's options: {', '.join(OPTIONS)}"
            )
        super().__init__(name, **options)


class ItemNode(BaseNode):
    """A step that takes its chunks one at a time, from however many senders: how they meet is no question."""

    join = "any"

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        if self.join != "any":
            raise GraphError(f"{self.name}: a {type(self).__name__} takes its chunks one at a time: leave join out")


def only(data: Mapping[str, DataChunk]) -> tuple[str, DataChunk]:
    """The sender and the chunk of a step of OneByOne."""
    [item] = data.items()
    return item


def path_of(name: str, path: object) -> Path:
    """The parameter `path` of the node of that name; raises GraphError for what is none."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise GraphError(f"{name}: path is a text or a pathlib.Path, not {path!r}")
    return Path(path)


def is_whole(value: object, least: int) -> TypeGuard[int]:
    """Whether it is a whole number of at least so much; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
