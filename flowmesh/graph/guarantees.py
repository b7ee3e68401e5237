"""Guarantees of each sink of a graph, with reasons. They follow from the graph alone; nothing is run here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..wire.plan_specs import EdgeSpec

if TYPE_CHECKING:
    from .graph import Graph

EXACTLY_ONCE = "every chunk, in order, exactly once"
AT_MOST_ONCE = "in order, each at most once; what is left out is counted"
LATEST = "the newest, in order, each at most once; gaps are counted"

EQUAL = "equal to those of an undisturbed run"
ONE = "those of one complete execution"

_NOTHING_LOST = "every edge on the way is lossless, and no join leaves anything out"
_DETERMINISTIC = "contents are equal where every step, and every source, does the same each time"
_DEATH = "if a process dies, the graph fails and says so: what was on its way is not sent again"


class Guarantee(NamedTuple):
    """The guarantees of one sink.

    Attributes:
        delivery: of the chunks that cause its steps: EXACTLY_ONCE, AT_MOST_ONCE or LATEST.
        contents: what those chunks hold: EQUAL or ONE.
        because: sentences that name the edges and nodes which make it so.
    """

    delivery: str
    contents: str
    because: tuple[str, ...]


class _Reason(NamedTuple):
    """Something that weakens a guarantee."""

    delivery: str
    contents: str
    sentence: str


def guarantees(graph: Graph) -> dict[str, Guarantee]:
    """The guarantees of each sink, by its name.

    Raises:
        GraphError: as `Graph.check`.
    """
    specs = graph.specs()
    above: dict[str, list[_Reason]] = {}
    for name in specs.names:
        edges = [edge for edge in specs.edges if edge.target == name]
        driving = [edge for edge in edges if edge.follow][: 1 if specs.joins[name].kind == "align" else None]
        reasons = [reason for edge in driving for reason in above[edge.source]]
        reasons += _reasons(graph, name, driving)
        if len(edges) > 1:
            reasons += _join_reasons(name, specs.joins[name].kind, edges)
        above[name] = list(dict.fromkeys(reasons))
    return {name: _guarantee(above[name]) for name, kind in specs.kinds.items() if kind == "sink"}


def _guarantee(reasons: list[_Reason]) -> Guarantee:
    deliveries = {reason.delivery for reason in reasons}
    delivery = LATEST if LATEST in deliveries else AT_MOST_ONCE if AT_MOST_ONCE in deliveries else EXACTLY_ONCE
    contents = ONE if any(reason.contents == ONE for reason in reasons) else EQUAL
    because = [reason.sentence for reason in reasons]
    because += [_NOTHING_LOST] if delivery == EXACTLY_ONCE else []
    because += [_DETERMINISTIC] if contents == EQUAL else []
    return Guarantee(delivery, contents, (*because, _DEATH))


def _reasons(graph: Graph, name: str, driving: list[EdgeSpec]) -> Iterator[_Reason]:
    """The reasons by which a node, and the edges whose chunks cause its steps, weaken the guarantees downstream."""
    node = graph.nodes[name]["node"]
    if node.live:
        yield _Reason(EXACTLY_ONCE, ONE, f"{name} is live: what it gives is there once")
    for edge in driving:
        if edge.policy != "lossless":
            because = f", as {edge.source} is live" if graph.edges[edge.source, name]["policy"] is None else ""
            kept = "the newest chunk" if edge.depth == 1 else f"the newest {edge.depth} chunks"
            yield _Reason(LATEST, ONE, f"{edge.source} -> {name} keeps {kept} (policy={edge.policy!r}{because})")
    if node.on_error == "skip" and driving:
        yield _Reason(
            AT_MOST_ONCE, EQUAL, f"{name} skips a chunk at which its step raises: that is counted in its errors"
        )


def _join_reasons(name: str, kind: str, edges: list[EdgeSpec]) -> Iterator[_Reason]:
    senders = ", ".join(edge.source for edge in edges)
    sampled = ", ".join(edge.source for edge in edges if not edge.follow)
    if kind == "zip":
        yield _Reason(AT_MOST_ONCE, EQUAL, f"{name} pairs {senders} by number: what has no partner is left out")
    elif kind == "align":
        yield _Reason(AT_MOST_ONCE, ONE, f"{name} pairs {senders} by time: what has no partner near enough is left out")
    elif sampled:
        yield _Reason(
            AT_MOST_ONCE, ONE, f"{name} sees the newest of {sampled}, and may leave out what comes before the first"
        )
    else:
        yield _Reason(
            EXACTLY_ONCE, ONE, f"{name} takes {senders} as they come: between them the order is nobody's promise"
        )
