"""The public front: these names and no others, each where it says, and nothing heavy before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flowmesh

NAMES = {
    "Align",
    "BudgetError",
    "ChunkError",
    "DataChunk",
    "DeadlineError",
    "EndOfStream",
    "Executor",
    "File",
    "FlowmeshError",
    "Graph",
    "GraphError",
    "LinkError",
    "Manager",
    "Node",
    "NodeDied",
    "NodeError",
    "ShippingError",
    "StateError",
    "TaskDied",
    "TaskError",
    "Worker",
    "WorkerError",
    "__version__",
    "context",
    "register",
    "remote",
    "run",
    "task",
}


def test_the_front_is_frozen() -> None:
    assert set(flowmesh.__all__) == NAMES
    assert set(dir(flowmesh)) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__", "context", "register", "run", "task"}))
def test_a_name_is_a_class_of_its_own_name(name: str) -> None:
    assert getattr(flowmesh, name).__name__ == name


def test_functions_are_callable_whatever_was_imported_before() -> None:
    import flowmesh.runner

    assert callable(flowmesh.run)
    assert callable(flowmesh.register)
    assert flowmesh.runner.run is flowmesh.run


def test_a_strange_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Mesh'"):
        _ = flowmesh.Mesh


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after some code."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in told.stdout.split()}


@pytest.mark.parametrize(
    ("code", "spared"),
    [
        ("import flowmesh", {"numpy", "networkx", "zmq", "cloudpickle", "msgspec", "cv2"}),
        ("from flowmesh import Node, DataChunk, EndOfStream", {"networkx", "zmq", "cloudpickle", "cv2"}),
        ("import flowmesh.runtime.process", {"networkx", "zmq", "cv2", "av"}),
        ("import flowmesh.jobs.process", {"networkx", "zmq", "cv2", "av"}),
        ("import flowmesh.daemon.__main__", {"networkx", "numpy", "cloudpickle", "cv2"}),
        ("import flowmesh.manager, flowmesh.worker, flowmesh.runner", {"cv2", "av", "matplotlib", "blosc2"}),
    ],
)
def test_what_is_not_needed_is_not_imported(code: str, spared: set[str]) -> None:
    assert not loaded_by(code) & spared
