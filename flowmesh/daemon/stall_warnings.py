"""Warnings about edges that stay full, once per edge, with the slow node."""

from __future__ import annotations

from collections.abc import Mapping

from .node_process import NodeProcess


class StallWarnings:
    """The stall warnings of the present graph."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def about(self, seat: NodeProcess, seats: Mapping[str, NodeProcess]) -> str:
        """The warning about the edge that blocks a node, if it has for long; empty if the user got it before."""
        edge = seat.full_edge()
        target = seats.get(edge.target) if edge else None
        while target is not None and (further := target.held_by()) is not None:  # the slow node is further downstream
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
        """Forget the warnings: another graph begins."""
        self._told.clear()
