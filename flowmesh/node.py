"""Node, the base class of users' nodes; and `register`, which makes a method callable from the Manager.

A Node knows nothing of processes or sockets. `NodeHost` is its interface to its surroundings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeGuard, TypeVar

import numpy as np

from .errors import GraphError, StateError

Method = TypeVar("Method", bound=Callable[..., Any])


class Align(NamedTuple):
    """A join by time: with each chunk of the first edge goes the nearest of every other input.

    Attributes:
        tolerance: how far apart, in seconds of origin time, partners may be.
    """

    tolerance: float


class NodeHost(Protocol):
    """The surroundings of a running node."""

    def emit(self, value: Any) -> None: ...

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray: ...


def register(method: Method) -> Method:
    """Mark a method of a Node as callable by `Manager.request_registered_method`; it runs between two steps."""
    method.__flowmesh_registered__ = True  # type: ignore[attr-defined]
    return method


class Node:
    """One piece of work in a graph, which runs in a process of its own on a worker.

    Subclass it and write `step`, and `setup` and `teardown` where needed. Create what can't be pickled (cameras, files,
    sockets, models) in `setup`, which runs in the node process.

    * A node without inputs is a source: `step(self)`. It raises `EndOfStream` when it has nothing more to give.
    * Any other: `step(self, data)`, where `data[name]` is the DataChunk that came from the node of that name.

    The return value of `step` is sent to the downstream nodes; None sends nothing; `self.emit(value)` sends as often as
    you like. `setup`, `step`, `teardown` may be `async def`: they run on one event loop, one at a time.

    Options are class attributes, or keywords of the same name:

    Attributes:
        rate: steps per second of a source, paced without drift; None runs as fast as those that follow.
        live: the source can't wait (a camera): its edges drop the oldest instead of holding it up.
        join: how several inputs meet: "follow" | "zip" | "any" | Align(seconds). None: "follow" in a step, "any" in a
            sink.
        on_error: "stop" (an exception in `step` fails the graph) or "skip" (it is counted, the chunk is skipped).
        hold: how many shared frames an input may keep before later ones are copied for it.
    """

    rate: float | None = None
    live: bool = False
    join: str | Align | None = None
    on_error: str = "stop"
    hold: int = 4

    _host: NodeHost | None = None

    def __init__(self, name: str | None = None, **parameters: Any) -> None:
        self.name = type(self).__name__ if name is None else name
        check_name(self.name)
        for key, value in parameters.items():
            _check_parameter(self, key)
            setattr(self, key, value)
        check_options(self)

    def setup(self) -> Any:
        """Runs once, in the node process, before the first step."""

    # Written so that type checkers take both step(self) and step(self, data) for it.
    def step(self, *data: Any, **_: Any) -> Any:
        """Runs once per chunk (in a source, once per tick); the return value is sent downstream."""
        raise NotImplementedError(f"{type(self).__name__} has no step method")

    def teardown(self) -> Any:
        """Runs once after the last step, whenever `setup` was begun, also after an error."""

    def emit(self, value: Any) -> None:
        """Send a value now, before `step` returns; waits while a lossless edge is full.

        Raises:
            StateError: outside of a running step.
        """
        self._running("emit").emit(value)

    def allocate(self, shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
        """An uninitialised array to fill and return or emit, in shared memory where that spares a copy; it never waits.

        Up to 8 KiB, with no edge to send it along, where no slot is free, and while the node keeps three already, it is
        an ordinary array. Once it is sent it is read-only.

        Raises:
            StateError: outside of a running step.
        """
        return self._running("allocate").allocate(shape, dtype)

    @property
    def logger(self) -> logging.Logger:
        """A logger whose lines reach the Manager, with the node's name."""
        return logging.getLogger(f"flowmesh.node.{self.name}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'name', '?')!r}>"

    def _running(self, verb: str) -> NodeHost:
        if self._host is None:
            raise StateError(f"{self.name}: {verb}() works only inside step()")
        return self._host


RECORDER_PREFIX = "record@"  # a recorder that was added to a graph is named after its worker
OPTIONS = ("rate", "live", "join", "on_error", "hold")
JOINS = ("follow", "zip", "any")


def _check_parameter(node: Node, key: str) -> None:
    """Raise GraphError for a parameter that hides a method, or is an option that is misspelt or not there yet."""
    kind = type(node)
    if key in OPTIONS:
        return
    if _is_taken(kind, key):
        raise GraphError(f"{node.name}: the parameter {key!r} would hide an attribute of {kind.__name__}")
    if hasattr(kind, key):  # declared: a parameter of its own, whatever its name
        return
    if key == "restart":
        raise GraphError(f"{node.name}: restart= is not supported yet: a node that dies fails the graph; leave it out")
    for option in OPTIONS:
        if _is_one_edit(key, option):
            raise GraphError(
                f"{node.name}: there is no option {key!r}; did you mean {option!r}? If it is a parameter of your own, "
                f"declare it in the class: {key} = None"
            )


def _is_one_edit(a: str, b: str) -> bool:
    """Whether one letter left out, put in, replaced or swapped with the next makes one word of the other."""
    if len(a) > len(b):
        a, b = b, a
    if len(b) - len(a) > 1:
        return False
    differ = next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    rest_a, rest_b = a[differ:], b[differ:]
    if len(a) < len(b):
        return rest_a == rest_b[1:]
    return rest_a[1:] == rest_b[1:] or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])


def _is_taken(kind: type[Node], key: str) -> bool:
    """Whether a parameter of that name would hide a method; a plain class attribute is its default."""
    there = getattr(kind, key, None)
    return hasattr(Node, key) or callable(there) or isinstance(there, property)


def check_name(name: object) -> None:
    """Raise GraphError unless the name can be used in messages, paths and commands."""
    if not isinstance(name, str) or not name or len(name) > 200:
        raise GraphError(f"a node's name is a text of 1 to 200 characters, not {name!r}")
    if any(not character.isprintable() or character in "/," for character in name):
        raise GraphError(
            f"the node's name {name!r} holds a character that can't be used: '/', ',' or a control character"
        )


def check_options(node: Node) -> None:
    """Raise GraphError for an option whose value can't be."""
    if node.rate is not None and not (is_number(node.rate) and 0 < node.rate < float("inf")):
        raise GraphError(f"{node.name}: rate is a number of steps a second above 0, not {node.rate!r}")
    if not isinstance(node.live, bool):
        raise GraphError(f"{node.name}: live is True or False, not {node.live!r}")
    if node.on_error not in ("stop", "skip"):
        raise GraphError(f"{node.name}: on_error is 'stop' or 'skip', not {node.on_error!r}")
    if not isinstance(node.join, Align) and node.join not in (None, *JOINS):
        raise GraphError(f"{node.name}: join is 'follow', 'zip', 'any' or Align(seconds), not {node.join!r}")
    if isinstance(node.join, Align) and not (is_number(node.join.tolerance) and node.join.tolerance >= 0):
        raise GraphError(f"{node.name}: Align takes a tolerance in seconds, from 0, not {node.join.tolerance!r}")
    if not isinstance(node.hold, int) or isinstance(node.hold, bool) or node.hold < 0:
        raise GraphError(f"{node.name}: hold is a whole number from 0, not {node.hold!r}")


def is_recorder(name: str) -> bool:
    """Whether the name is that of a recorder that `Graph.record` has added."""
    return name.startswith(RECORDER_PREFIX)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a whole or a decimal number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def registered_methods(node: Node) -> tuple[str, ...]:
    """The names of the node's methods that the Manager may call."""
    names = (name for name in dir(type(node)) if not name.startswith("__"))
    return tuple(n for n in names if getattr(getattr(type(node), n, None), "__flowmesh_registered__", False))
