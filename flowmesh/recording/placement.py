"""Recorders, added to a graph that was resolved and placed: a sink on each worker that runs a recorded stream.

Names and plain values in, recorders and edges out: kinds, joins, policies and guarantees of the graph stay what they are
without them. A recorder's edge is lossless where no live source is above its stream, so that nothing is lost, and else drops
the oldest, so that a slow disk never slows a camera; `keeps_alive=False` leaves it out of all rules of ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import GraphError
from ..node import RECORDER_PREFIX, is_number, is_recorder
from ..wire.plan_specs import EdgeSpec
from .options import Option, check_options
from .recorder import ON_FULL, Recorder, byte_count

DEPTH = 8  # chunks on the edge of a recorder
POLICIES = ("lossless", "drop_oldest", "latest")


class RecordRequest(NamedTuple):
    """What `Graph.record` was asked for.

    Attributes:
        nodes: whose streams; () is every node that sends to another.
        to: the folder of all sessions.
        name: what the session's folder is called, before its time.
        how: {"NODE/RECORD" or "NODE": option}.
        start: whether recording begins with the graph.
        policy: of the recorders' edges; None: see the module.
        on_full, reserve, segment, only, duration: as those of Recorder.
    """

    nodes: tuple[str, ...]
    to: Path
    name: str
    how: dict[str, Option]
    start: bool
    policy: str | None
    on_full: str
    reserve: int
    segment: int
    only: tuple[str, ...] | None
    duration: float | None


class PlacedRecorder(NamedTuple):
    """A recorder, the worker that runs it, and the edges that lead to it."""

    node: Recorder
    worker: str
    edges: tuple[EdgeSpec, ...]


def record_request(
    nodes: Sequence[str],
    to: str | os.PathLike[str],
    name: str,
    how: Mapping[str, Option] | None,
    start: bool,
    policy: str | None,
    on_full: str,
    reserve: int | str,
    segment: int | str,
    only: Sequence[str] | None,
    duration: float | None,
) -> RecordRequest:
    """The request, checked as far as that needs no graph.

    Raises:
        GraphError: a value is out of range.
    """
    if policy not in (None, *POLICIES):
        raise GraphError(f"record(): policy must be one of {', '.join(map(repr, POLICIES))}, got {policy!r}")
    if on_full not in ON_FULL:
        raise GraphError(f"record(): on_full must be 'end' or 'fail', got {on_full!r}")
    if not isinstance(name, str) or not name:
        raise GraphError(f"record(): name must be a text, got {name!r}")
    if isinstance(only, str):
        raise GraphError(f"record(): only must be a list of records' names, got {only!r}")
    if duration is not None and not (is_number(duration) and duration > 0):
        raise GraphError(f"record(): duration must be a number of seconds above 0, got {duration!r}")
    return RecordRequest(
        tuple(nodes), Path(to).expanduser().absolute(), name, check_options(how or {}), bool(start), policy, on_full,
        byte_count("record()", "reserve", reserve), byte_count("record()", "segment", segment),
        None if only is None else tuple(only), duration,
    )  # fmt: skip


def request_errors(request: RecordRequest, senders: Iterable[str], names: Iterable[str]) -> list[str]:
    """What of a request does not fit the graph: `senders` are the nodes that send to another, `names` all nodes."""
    known, there = set(names), ", ".join(names)
    errors = [
        f"record(): no node {node!r} is in the graph; there are: {there}" for node in request.nodes if node not in known
    ]
    recorded = set(request.nodes or senders)
    if not recorded:
        errors.append("record(): no node sends anything: name the nodes to record")
    for place in request.how:
        node = place.partition("/")[0]
        if node not in recorded:
            errors.append(
                f"record(): how[{place!r}]: {node!r} is not recorded; recorded: {', '.join(sorted(recorded))}"
            )
    errors += [
        f"node {name!r}: names that begin with {RECORDER_PREFIX!r} are those of recorders"
        for name in known
        if is_recorder(name)
    ]
    return errors


def place_recorders(
    request: RecordRequest,
    names: Sequence[str],
    edges: Sequence[EdgeSpec],
    live: Iterable[str],
    assignment: Mapping[str, str],
    session: Path,
) -> list[PlacedRecorder]:
    """The recorders of a request.

    Args:
        names: all nodes, in topological order.
        edges: of the graph without recorders.
        live: the sources that can't wait.
        assignment: {node: its worker}.
        session: the session's folder on the Manager's host.
    """
    above_live = set(live)
    for edge in sorted(edges, key=lambda edge: names.index(edge.target)):
        if edge.source in above_live:
            above_live.add(edge.target)
    senders = {edge.source for edge in edges}
    recorded = [name for name in names if (name in request.nodes if request.nodes else name in senders)]
    placed: list[PlacedRecorder] = []
    index = len(edges)
    for worker in dict.fromkeys(assignment[name] for name in recorded):
        streams = [name for name in recorded if assignment[name] == worker]
        recorder = Recorder(
            f"{RECORDER_PREFIX}{worker}", how=request.how, only=request.only, start=request.start, duration=request.duration,
            on_full=request.on_full, reserve=request.reserve, segment=request.segment, folder=session,
            part=worker,
        )  # fmt: skip
        leading = []
        for stream in streams:
            policy = request.policy or ("drop_oldest" if stream in above_live else "lossless")
            depth = 1 if policy == "latest" else DEPTH
            leading.append(
                EdgeSpec(
                    index,
                    stream,
                    recorder.name,
                    policy,
                    depth,
                    depth,
                    follow=True,
                    max_waiting=0 if policy == "lossless" else depth,
                    keeps_alive=False,
                )
            )
            index += 1
        placed.append(PlacedRecorder(recorder, worker, tuple(leading)))
    return placed
