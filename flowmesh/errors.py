"""Every error that flowmesh raises on purpose, as one tree.

    FlowmeshError
    ├── GraphError        your graph is wrong: a cycle, an unknown node, a mapping that does not fit
    ├── ShippingError     your code can't be shipped to a worker: what can't be pickled is named
    ├── StateError        a verb that does not fit the present state (start before commit, ...)
    ├── NodeError         your node's code raised; the text holds its own frames of the traceback
    │   └── NodeDied      the node's process ended by itself: a signal, os._exit, kill -9
    ├── WorkerError       a worker is unknown, refused, or went away
    ├── LinkError         the other side can't be reached, or is not who it should be
    ├── ChunkError        a chunk or packet that can't be read or used as asked
    │   └── PickleRefused a value that would have to be pickled, for a worker that takes no pickles
    ├── TaskError         a task failed otherwise than by an exception of its own, or can't be submitted as asked
    │   ├── TaskDied      its process or its worker ended
    │   └── BudgetError   what is left of the budget does not pay for an attempt
    └── DeadlineError     something did not end in its time (also a TimeoutError)

A foreign exception never reaches the user bare: it is translated where it arises, with `from`.
"""

from __future__ import annotations

from collections.abc import Mapping


class FlowmeshError(Exception):
    """The base of all errors of flowmesh: catch it to catch them all."""


class GraphError(FlowmeshError):
    """The graph, or its mapping to workers, contradicts itself; the text says where and what to change."""


class ShippingError(FlowmeshError):
    """A node's code or parameters can't be sent to a worker; the text names the attribute."""


class StateError(FlowmeshError):
    """The verb does not fit the graph's present state; the text says which verb comes first."""


class NodeError(FlowmeshError):
    """A node's code raised an exception.

    Attributes:
        node: the node's name.
        worker: the name of the worker that ran it.
        phase: "load", "setup", "step", "teardown" or the registered method's name.
        number: the number of the step's trigger or, in a source, of the step; 0 outside a step.
        inputs: the number of each chunk that the step had, by its sender's name; the trigger first.
    """

    def __init__(
        self,
        text: str,
        *,
        node: str = "",
        worker: str = "",
        phase: str = "",
        number: int = 0,
        inputs: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(text)
        self.node = node
        self.worker = worker
        self.phase = phase
        self.number = number
        self.inputs = dict(inputs or {})


class NodeDied(NodeError):
    """A node's process ended by itself, by a signal or an exit of its own."""


class WorkerError(FlowmeshError):
    """A worker is unknown, was refused, or went away."""


class LinkError(FlowmeshError):
    """The other side can't be reached, has another version, or is not who it should be."""


class ChunkError(FlowmeshError):
    """A chunk can't be read, or can't be used as asked."""


class PickleRefused(ChunkError):
    """A value would have to be pickled, and a worker that it goes to refuses pickles; the text leads to what in it."""


class TaskError(FlowmeshError):
    """A task failed otherwise than by an exception that can be raised here, or it can't be submitted as asked.

    It is also the cause of an exception that a task raised; its text holds the task's own lines of the traceback.

    Attributes:
        worker: the name of the worker that ran the attempt; "" where none did.
        attempt: the number of the attempt, from 1; 0 where none was started.
    """

    def __init__(self, text: str, *, worker: str = "", attempt: int = 0) -> None:
        super().__init__(text)
        self.worker = worker
        self.attempt = attempt


class TaskDied(TaskError):
    """The task's process ended by itself, by a signal or an exit of its own, or its worker went away."""


class BudgetError(TaskError):
    """The rest of the executor's budget does not pay for an attempt."""


class DeadlineError(FlowmeshError, TimeoutError):
    """Something did not end in its time; the text says what was waited for."""


class EndOfStream(Exception):
    """Raised by the `step` of a source that has nothing more to give: its stream ends, the graph drains and finishes."""
