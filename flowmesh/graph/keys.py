"""Keys of a graph's nodes: keys are names, and a Node object finds the entry of its name."""

from __future__ import annotations

from typing import Any

from ..node import Node


def key_of(node: object) -> Any:
    """The key of what a user gives: a Node's name, or the thing itself."""
    return getattr(node, "name", None) if isinstance(node, Node) else node


class ByName(dict[Any, Any]):
    """The dict in which networkx keeps nodes and edges. Only names are set; Node objects can be looked up and
    deleted."""

    def __missing__(self, node: object) -> Any:
        if isinstance(node, Node):
            return self[key_of(node)]
        raise KeyError(node)

    def __contains__(self, node: object) -> bool:
        return super().__contains__(key_of(node))

    def __delitem__(self, node: object) -> None:
        super().__delitem__(key_of(node))
