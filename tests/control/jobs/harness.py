"""A jobs Machine with clients and workers, without sessions: tests say what happens and look at what is sent."""

from __future__ import annotations

from typing import TypeVar

from flowmesh.control.jobs.machine import JobsMachine
from flowmesh.control.jobs.queue import SendJobMessage
from flowmesh.wire.capacity import Capacity
from flowmesh.wire.job_messages import (
    AttemptOutcome,
    JobMessage,
    OpenExecutor,
    RunTask,
    SubmitTask,
    TaskEnded,
    TaskFailure,
    TaskOptions,
)

Kind = TypeVar("Kind", bound=JobMessage)


class Jobs:
    """The Machine, a clock that the test sets, and all that was sent."""

    def __init__(self) -> None:
        self.machine = JobsMachine()
        self.now = 1000.0
        self.lasts = 0.05  # seconds of a call: longer than what is worth to be sent ahead
        self.sent: list[SendJobMessage] = []

    def worker(self, name: str, slots: int = 1, **capacity: object) -> None:
        given = Capacity(slots=slots, **capacity)  # type: ignore[arg-type]
        self.sent += self.machine.worker_joined(name, f"key-{name}", given, self.now)

    def lose(self, name: str) -> None:
        self.sent += self.machine.worker_left(f"key-{name}", self.now)

    def open(self, client: str = "c", executor: int = 1, **limits: object) -> None:
        self.client(client, OpenExecutor(executor, **limits))  # type: ignore[arg-type]

    def client(self, client: str, message: JobMessage) -> None:
        self.sent += self.machine.client_said(client, message, self.now)  # type: ignore[arg-type]

    def submit(
        self, task: int, client: str = "c", executor: int = 1, needs: tuple[int, ...] = (), **options: object
    ) -> None:
        given = TaskOptions(**options)  # type: ignore[arg-type]
        self.client(client, SubmitTask(executor, task, b"call", 0, f"t{task}", given, needs))

    def says(self, worker: str, message: JobMessage) -> None:
        self.sent += self.machine.worker_said(f"key-{worker}", message, self.now)  # type: ignore[arg-type]

    def finish(self, run: RunTask, outcome: str = "done", seconds: float | None = None) -> None:
        self.now += self.lasts
        failure = None if outcome == "done" else TaskFailure(outcome, f"it {outcome}")
        lasted = self.lasts if seconds is None else seconds
        self.says(
            run.worker,
            AttemptOutcome(run.task, run.attempt, outcome, lasted, b"value", failure=failure),
        )

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.sent += self.machine.tick(self.now)

    def take(self, kind: type[Kind]) -> list[Kind]:
        """The messages of this kind that were sent since they were last taken."""
        found = [effect.message for effect in self.sent if isinstance(effect.message, kind)]
        self.sent = [effect for effect in self.sent if not isinstance(effect.message, kind)]
        return found

    def runs(self) -> list[str]:
        """The names of the tasks that were started since."""
        return [run.name for run in self.take(RunTask)]

    def ends(self) -> dict[int, str]:
        """How tasks ended since, by the submitter's numbers."""
        return {
            ended.task: "done" if ended.value else ended.failure.reason if ended.failure else "cancelled"
            for ended in self.take(TaskEnded)
        }
