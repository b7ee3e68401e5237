"""The players of a session, by the nodes of a graph that they replace. Names in, players out: no graph is known here."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import GraphError
from .player import Player
from .reader import SessionReader


def players_of(
    session: str | os.PathLike[str],
    sources: Collection[str],
    names: Collection[str],
    *,
    only: Sequence[str] | None = None,
    speed: float = 1.0,
    loop: bool = False,
    begin: float | None = None,
    end: float | None = None,
    trust: bool = False,
) -> dict[str, Player]:
    """The players of a session by the names of the nodes that they replace.

    Args:
        sources: the graph's sources: without `only`, those that are recorded are replaced.
        names: all nodes of the graph.
        only: the nodes to replace.

    Raises:
        GraphError: a node is unknown, or a source of the graph is not recorded.
        FlowmeshError: there is no such session.
    """
    reader = SessionReader(session)
    recorded = {one.node for one in reader.totals()}
    if isinstance(only, str):
        raise GraphError(f"only must be a list of nodes' names, got {only!r}")
    wanted = sorted(sources) if only is None else list(dict.fromkeys(only))
    there = f"recorded: {', '.join(sorted(recorded)) or 'none'}; nodes of the graph: {', '.join(names)}"
    if unknown := [name for name in wanted if name not in names]:
        raise GraphError(f"no node {', '.join(map(repr, unknown))} is in the graph; {there}")
    if missing := [name for name in wanted if name not in recorded]:
        raise GraphError(
            f"{reader.path} has no stream of {', '.join(map(repr, missing))}: name the nodes to replace by only=; {there}"
        )
    first, _ = reader.span_ns()
    shift = time.time_ns() - first
    return {
        name: Player(
            name, Path(session).absolute(), speed=speed, loop=loop, begin=begin, end=end, shift_ns=shift, trust=trust
        )
        for name in wanted
    }
