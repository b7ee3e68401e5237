"""Requests of the Manager to workers: calls, gathers, metrics. Each ends by its answers or its deadline. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

from ...errors import DeadlineError, FlowmeshError
from ...failures import listed
from ..manager.effects import AnswerCall, FailCall, ManagerEffect


class PendingRequest:
    """One verb that waits. `parts` maps each node or worker that was asked to its answer, once it is there."""

    def __init__(self, call_id: int, what: str, deadline: float, partial: bool) -> None:
        self.call_id = call_id
        self.what = what
        self.deadline = deadline
        self.partial = partial  # whether what is missing at the deadline is left out, or fails the verb
        self.parts: dict[str, object] = {}
        self.missing: dict[int, str] = {}


class PendingRequests:
    """All requests in progress. The number sent with each part is distinct from the verbs' own call ids."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[int, PendingRequest] = {}

    def ask(
        self,
        call_id: int,
        what: str,
        parts: Iterable[str],
        deadline: float,
        message: Callable[[str, int], ManagerEffect],
        *,
        partial: bool = False,
    ) -> list[ManagerEffect]:
        """Begin a request: `message(part, number)` makes the message that asks for one part."""
        request = PendingRequest(call_id, what, deadline, partial)
        effects: list[ManagerEffect] = []
        for part in parts:
            number = next(self._numbers)
            request.missing[number] = part
            self._waiting[number] = request
            effects.append(message(part, number))
        return effects if effects else [AnswerCall(call_id, {})]

    def part(self, number: int) -> str | None:
        """The node or worker that this part was asked of; None once it is answered or given up."""
        request = self._waiting.get(number)
        return None if request is None else request.missing[number]

    def part_answered(self, number: int, value: object) -> list[ManagerEffect]:
        """Record the answer to a part."""
        request = self._waiting.pop(number, None)
        if request is None:
            return []
        request.parts[request.missing.pop(number)] = value
        return [] if request.missing else [AnswerCall(request.call_id, request.parts)]

    def part_failed(self, number: int, error: FlowmeshError) -> list[ManagerEffect]:
        """Record that a part has failed."""
        request = self._waiting.get(number)
        if request is None:
            return []
        self._forget(request)
        return [FailCall(request.call_id, error)]

    def parts_lost(self, parts: Iterable[str], error: FlowmeshError) -> list[ManagerEffect]:
        """Fail the parts of nodes or workers that will not answer any more."""
        gone = set(parts)
        effects: list[ManagerEffect] = []
        for number, request in list(self._waiting.items()):
            if number in self._waiting and request.missing[number] in gone:
                effects += self._give_up(request, error)
        return effects

    def tick(self, now: float) -> list[ManagerEffect]:
        """End the requests whose deadline has passed."""
        effects: list[ManagerEffect] = []
        for request in {request.call_id: request for request in self._waiting.values()}.values():
            if now >= request.deadline:
                silent = listed(request.missing.values())
                effects += self._give_up(request, DeadlineError(f"{request.what}: no answer in time from {silent}"))
        return effects

    def _give_up(self, request: PendingRequest, error: FlowmeshError) -> list[ManagerEffect]:
        self._forget(request)
        return [AnswerCall(request.call_id, request.parts) if request.partial else FailCall(request.call_id, error)]

    def _forget(self, request: PendingRequest) -> None:
        for number in request.missing:
            self._waiting.pop(number, None)
