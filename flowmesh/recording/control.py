"""What a Manager's user does with the recording of a graph: start, stop, mark; and the session's end.

Start and stop are moments of the Manager's clock a little ahead, so that the recorders of all workers cut at the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .. import __version__
from ..errors import StateError
from ..node import Node
from .placement import RecordRequest
from .reader import SessionReader
from .session import EventLog, Manifest, SessionFolder, new_id

_AHEAD = 200_000_000  # ns in which a request reaches all recorders

Ask = Callable[..., Any]  # asks a recorder: (node, method, **parameters)
NO_RECORDING = "the committed graph is not recorded: call graph.record() before commit_graph()"


class RecordedGraph(Protocol):
    """What a session keeps of its graph."""

    @property
    def nodes(self) -> Mapping[str, Any]: ...

    def mermaid(self) -> str: ...


class RecordingControl:
    """The recording of the committed graph: `manager.recording`.

    Attributes:
        folder: the session's folder on this host; streams of workers elsewhere lie there, in the folder of their recordings.
    """

    def __init__(self, request: RecordRequest, ask: Ask) -> None:
        self._request, self._ask = request, ask
        self.folder: Path = request.to / new_id(request.name)
        self._recorders: tuple[str, ...] = ()
        self._events: EventLog | None = None

    def begin(self, recorders: Mapping[str, str], graph: RecordedGraph) -> None:
        """Make the session's folder. `recorders`: {recorder: its worker}.

        Raises:
            FlowmeshError: it can't be made.
        """
        manifest = Manifest(self.folder.name, time.time_ns(), flowmesh=__version__, graph=graph.mermaid())
        manifest.parameters = {name: _parameters(graph.nodes[name]["node"]) for name in graph.nodes}
        manifest.workers = {worker: worker for worker in recorders.values()}
        manifest.streams = {place: {"option": repr(option)} for place, option in self._request.how.items()}
        session = SessionFolder.create(self._request.to, self._request.name, manifest)
        self._recorders = tuple(recorders)
        self._events = EventLog(session)
        self._events.append("begun", start=self._request.start)

    def start(self) -> None:
        """Record what is created from 0.2 s from now on, on all workers.

        Raises:
            NodeError: a recorder is busy or runs no more.
        """
        self._tell("begin", at_ns=time.time_ns() + _AHEAD)

    def stop(self) -> None:
        """Record nothing that is created from 0.2 s from now on, on all workers.

        Raises:
            NodeError: a recorder is busy or runs no more.
        """
        self._tell("end", at_ns=time.time_ns() + _AHEAD)

    def mark(self, text: str) -> None:
        """Write a mark, with the present time, into all files and `events.jsonl`.

        Raises:
            NodeError: a recorder is busy or runs no more.
        """
        self._tell("mark", at_ns=time.time_ns(), text=text)

    def info(self) -> dict[str, dict[str, Any]]:
        """What each recorder says of itself: {recorder: {"totals": ..., "full": ..., ...}}; see `Recorder.info`."""
        return {name: self._ask(name, "info") for name in self._recorders}

    def finish(self, dropped: Mapping[str, Mapping[str, int]]) -> None:
        """The recorders are gone: sum up the session. `dropped`: {node: {reason: chunks}}, by the recorders' edges."""
        if self._events is None:
            return
        self._events.append("ended")
        self._events.close()
        self._events = None
        session, reader = SessionFolder(self.folder), SessionReader(self.folder)
        manifest = session.read_manifest()
        if manifest is None:
            return
        manifest.totals = reader.totals()
        for totals in manifest.totals:
            _add(totals.not_recorded, dropped.get(totals.node, {}))
        full = any("disk_full" in totals.not_recorded for totals in manifest.totals)
        there = {part.name for part in session.parts()}
        whole = reader.whole and not full and len(there) == len(self._recorders)
        manifest.state = "closed" if whole else "incomplete"
        session.write_manifest(manifest)

    def _tell(self, method: str, **parameters: Any) -> None:
        if self._events is None:
            raise StateError("the recording has ended")
        self._events.append(method, **parameters)
        for name in self._recorders:
            self._ask(name, method, **parameters)


def _parameters(node: Node) -> dict[str, str]:
    """What the node was made with, as texts."""
    return {
        name: f"{value!r:.200}" for name, value in vars(node).items() if not name.startswith("_") and name != "name"
    }


def _add(totals: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, count in more.items():
        totals[reason] = totals.get(reason, 0) + count
