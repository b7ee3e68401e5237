"""flowmesh: real-time dataflow across processes and machines.

The public names, each resolved on first use: a node's process imports neither networkx nor ZeroMQ.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Align": "node",
    "ChunkError": "errors",
    "DataChunk": "chunk",
    "DeadlineError": "errors",
    "EndOfStream": "errors",
    "FlowmeshError": "errors",
    "Graph": "graph.graph",
    "GraphError": "errors",
    "LinkError": "errors",
    "Manager": "manager",
    "Node": "node",
    "NodeDied": "errors",
    "NodeError": "errors",
    "ShippingError": "errors",
    "StateError": "errors",
    "Worker": "worker",
    "WorkerError": "errors",
    "register": "node",
    "run": "runner",
    "BudgetError": "errors",
    "Executor": "jobs.executor",
    "File": "tasks",
    "TaskDied": "errors",
    "TaskError": "errors",
    "context": "tasks",
    "remote": "tasks",
    "task": "tasks",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604

if TYPE_CHECKING:
    from .chunk import DataChunk as DataChunk
    from .errors import BudgetError as BudgetError
    from .errors import ChunkError as ChunkError
    from .errors import DeadlineError as DeadlineError
    from .errors import EndOfStream as EndOfStream
    from .errors import FlowmeshError as FlowmeshError
    from .errors import GraphError as GraphError
    from .errors import LinkError as LinkError
    from .errors import NodeDied as NodeDied
    from .errors import NodeError as NodeError
    from .errors import ShippingError as ShippingError
    from .errors import StateError as StateError
    from .errors import TaskDied as TaskDied
    from .errors import TaskError as TaskError
    from .errors import WorkerError as WorkerError
    from .graph.graph import Graph as Graph
    from .jobs.executor import Executor as Executor
    from .manager import Manager as Manager
    from .node import Align as Align
    from .node import Node as Node
    from .node import register as register
    from .runner import run as run
    from .tasks import File as File
    from .tasks import context as context
    from .tasks import remote as remote
    from .tasks import task as task
    from .worker import Worker as Worker


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
