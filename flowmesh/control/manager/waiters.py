"""Verbs that wait until the graph has reached a state. Each is answered or failed once. No I/O."""

from __future__ import annotations

from ...errors import FlowmeshError
from ..manager.effects import AnswerCall, FailCall, ManagerEffect

_VERBS = ("commit", "start", "stop", "wait", "halt", "reset")


class Waiters:
    """The call ids that wait, by verb; a step waits as a stop does."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[int]] = {verb: set() for verb in _VERBS}

    def __contains__(self, verb: str) -> bool:
        """Whether a call of this verb waits."""
        return bool(self._waiting[verb])

    def add(self, verb: str, call_id: int) -> None:
        """Add a call that waits."""
        self._waiting[verb].add(call_id)

    def discard(self, verb: str, call_id: int) -> None:
        """One of them waits no longer."""
        self._waiting[verb].discard(call_id)

    def answer(self, verb: str, value: object = None) -> list[ManagerEffect]:
        """Answer all calls of this verb."""
        return [AnswerCall(call_id, value) for call_id in self._take(verb)]

    def fail(self, *verbs: str, error: FlowmeshError) -> list[ManagerEffect]:
        """Fail all calls of these verbs."""
        return [FailCall(call_id, error) for verb in verbs for call_id in self._take(verb)]

    def _take(self, verb: str) -> list[int]:
        call_ids, self._waiting[verb] = self._waiting[verb], set()
        return sorted(call_ids)
