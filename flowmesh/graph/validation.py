"""Validation of an edge's options, of a node in its position, and of the join of its inputs.

It returns sentences for the user and raises nothing: `Graph` collects them. No Graph and no networkx here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import GraphError
from ..node import Align, Node, check_options

# The window of each policy when `depth` is not given, in chunks.
DEPTHS = {"lossless": 256, "latest": 1, "drop_oldest": 4}
MAX_DEPTH = 65536
OPTIONS = ("policy", "depth", "bytes", "codec", "quality", "follow")
JOINS = ("follow", "zip", "any")


def option_error(
    policy: object, depth: object, bytes: object, follow: object, unknown: Mapping[str, object]
) -> str | None:
    """The error in the options of an edge, independent of the graph; the codecs check their own."""
    if unknown:
        return f"there is no option {', '.join(map(repr, unknown))}; there are: {', '.join(OPTIONS)}"
    if policy not in (None, *DEPTHS):
        return f"policy is {', '.join(map(repr, DEPTHS))} or None, not {policy!r}"
    if depth is not None and (type(depth) is not int or not 1 <= depth <= MAX_DEPTH):
        return f"depth is a whole number of chunks, 1 to {MAX_DEPTH}, not {depth!r}"
    if bytes is not None and (type(bytes) is not int or not 1 <= bytes <= 2**62):
        return f"bytes is a whole number of bytes, at least 1, not {bytes!r}"
    if policy == "latest" and bytes is not None:
        return "policy 'latest' keeps one chunk, however large: leave bytes out, or use policy='drop_oldest'"
    if policy == "latest" and depth not in (None, 1):
        return "policy 'latest' keeps one chunk: leave depth out, or use policy='drop_oldest'"
    if not isinstance(follow, bool):
        return f"follow is True or False, not {follow!r}"
    return None


def node_errors(name: str, node: Node, has_inputs: bool) -> Iterator[str]:
    """The errors of a node in its position; `join_errors` checks its join."""
    try:
        check_options(node)
    except GraphError as error:
        yield str(error)
    if node.name != name:
        yield f"{name}: the node was renamed to {node.name!r} after it was added"
    if has_inputs and node.rate is not None:
        yield f"{name}: rate paces a source, and edges lead to this node: leave rate out"
    if has_inputs and node.live:
        yield f"{name}: live is for a source, and edges lead to this node: leave live out"
    for method in ("setup", "step", "teardown"):
        code = getattr(node, method, None)
        if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
            yield f"{name}: {method} has a yield, so that calling it does nothing: send values with self.emit(value)"
    yield from _step_errors(name, node, has_inputs)


def join_errors(
    name: str, join: str | Align, inputs: Mapping[str, Mapping[str, Any]], triggers: Sequence[str]
) -> Iterator[str]:
    """The errors of a node's join.

    Args:
        name: the node's.
        join: how its inputs meet.
        inputs: {sender: the edge's options}, in order.
        triggers: those senders whose chunks cause a step; the others are sampled.
    """
    followed = [sender for sender, options in inputs.items() if options["follow"]]
    if len(followed) > 1:
        yield f"{name}: only one edge can be followed; follow=True is on those from {', '.join(followed)}"
    if len(inputs) > 1 and followed and join != "follow":
        edge = f"{followed[0]} -> {name}"
        yield f"follow=True on the edge {edge} contradicts join={join!r}: leave follow out, or set join='follow'"
    for sender, options in inputs.items():
        if sender not in triggers:
            yield from _sampling_errors(f"{sender} -> {name}", options, triggers[0])


def _sampling_errors(edge: str, options: Mapping[str, Any], followed: str) -> Iterator[str]:
    """A sampled edge holds the newest chunk and nothing else."""
    others = " or ".join(f"join={join!r}" for join in JOINS if join != "follow")
    for option, fitting in (("policy", "latest"), ("depth", 1)):
        if options[option] not in (None, fitting):
            yield (
                f"{option} {options[option]!r} on the edge {edge} contradicts join='follow': each chunk of {followed}"
                f" causes a step, which sees the newest one of this edge; leave {option} out, or set {others}"
            )


def _step_errors(name: str, node: Node, has_inputs: bool) -> Iterator[str]:
    step: Callable[..., Any] = node.step
    if getattr(step, "__func__", None) is Node.step:
        yield f"{name}: {type(node).__name__} has no step method"
    elif not callable(step):
        yield f"{name}: step is {step!r}, which can't be called"
    elif (signature := _signature(step)) and not _takes(signature, 1 if has_inputs else 0):
        index = "has inputs" if has_inputs else "is a source (no edge leads to it)"
        wanted = "step(self, data)" if has_inputs else "step(self)"
        # The signature's own text: only that has the * and / which make it differ.
        there = str(signature.replace(return_annotation=signature.empty))[1:-1]
        yield f"{name} {index}: write {wanted}, not step({', '.join(filter(None, ['self', there]))})"


def _signature(step: Callable[..., Any]) -> inspect.Signature | None:
    try:
        # What is called counts, not what a decorator says that it wraps.
        return inspect.signature(step, follow_wrapped=False)
    except (TypeError, ValueError):  # not every callable tells
        return None


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
