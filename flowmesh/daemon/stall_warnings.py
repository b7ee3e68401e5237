"""Edges that stay full: what the user is told of them, once each, with the node that is slow."""

from __future__ import annotations

from collections.abc import Mapping

from .node_process import NodeProcess


class StallWarnings:
    """Of the present graph."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def about(self, seat: NodeProcess, seats: Mapping[str, NodeProcess]) -> str:
        """What to tell of the edge that holds a node back, if it has for long; nothing if that was told."""
        edge = seat.full_edge()
        target = seats.get(edge.target) if edge else None
        while target is not None and (further := target.held_by()) is not None:  # the slow node is further down
            edge, target = further, seats.get(further.target)
        if edge is None or edge.index in self._told:
            return ""
        self._told.add(edge.index)
        slow = f", whose step takes {target.page.percentile(0.5) * 1000:.3g} ms" if target else ""
        return (
            f"the edge {edge.source} -> {edge.target} has been full for 2 s: {edge.source!r} waits for {edge.target!r}{slow}; "
            "make that step faster, or give the edge policy='latest' or 'drop_oldest' if chunks may be dropped"
        )

    def forget(self) -> None:
        """Another graph begins."""
        self._told.clear()
