"""One wait for edges, messages and other file descriptors of a node process."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Sequence, Set

from ..channel.leases import fence
from ..edges.input_edge import InputEdge
from ..edges.output_edge import OutputEdge

Edge = InputEdge | OutputEdge
IN_A_RING = frozenset({-1})


def poller(edges: Iterable[Edge], *others: int) -> select.poll:
    """A poll object for these edges and file descriptors."""
    poll = select.poll()
    for descriptor in others:
        poll.register(descriptor, select.POLLIN)
    for edge in edges:
        if not edge.gone:
            poll.register(edge.end, select.POLLIN | (select.POLLOUT if edge.wants_room else 0))
    return poll


def wait(poll: select.poll, seconds: float | None, sleeping: Sequence[Edge]) -> Set[int]:
    """Wait until something has come or `seconds` have passed; returns the file descriptors that are ready, or
    IN_A_RING.

    The `sleeping` edges are checked beside the poll: what came into a ring before its writer knew that we sleep is seen
    now, what comes later rings a doorbell.
    """
    for edge in sleeping:
        edge.sleeps(True)
    fence()
    ready: Set[int] = IN_A_RING
    if not any(edge.has_news for edge in sleeping):
        ready = {descriptor for descriptor, _ in poll.poll(None if seconds is None else int(seconds * 1000))}
        if not ready and seconds is not None:
            time.sleep(max(0.0, min(seconds % 0.001, 0.001)))  # poll counts in whole milliseconds
    for edge in sleeping:
        edge.sleeps(False)
    return ready
