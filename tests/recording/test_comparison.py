"""Two sessions are equal, or it is said in what they differ."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowmesh import recording
from flowmesh.errors import FlowmeshError
from flowmesh.recording import compare

from .sessions import BEGIN, Sent, write_session


def session(to: Path, values: dict[int, Any], later: int = 0, node: str = "meter") -> Path:
    kind = "array" if any(isinstance(value, np.ndarray) for value in values.values()) else "other"
    return write_session(to, [Sent(node, n, BEGIN + n * 1000 + later, {"value": (v, kind)}) for n, v in values.items()])


def test_equal_sessions_are_equal_whenever_they_were_made(tmp_path: Path) -> None:
    values = {n: {"n": n, "list": [n / 3]} for n in range(1, 100)}
    [one] = compare(session(tmp_path, values), session(tmp_path, values, later=10**12))
    assert one.is_equal
    assert (one.node, one.equal) == ("meter", 99)


def test_differences_are_told_by_number(tmp_path: Path) -> None:
    [one] = compare(session(tmp_path, {1: 1, 2: 2, 3: 3, 5: 5}), session(tmp_path, {1: 1, 2: 0, 4: 4, 5: 5}))
    assert (one.equal, one.different, one.only_a, one.only_b) == (2, 1, 1, 1)
    assert one.differences == [
        "meter 2: value differs: 2 and 0",
        "meter 3: only the first session has it",
        "meter 4: only the second session has it",
    ]


def test_a_tolerance_is_for_numbers_alone(tmp_path: Path) -> None:
    a = session(tmp_path, {1: np.array([1.0, 2.0, np.nan]), 2: np.array([5.0])})
    b = session(tmp_path, {1: np.array([1.0, 2.05, np.nan]), 2: np.array([6.0])})
    [exact] = compare(a, b)
    assert exact.different == 2
    [near] = compare(a, b, tolerance=0.1)
    assert (near.equal, near.different) == (1, 1)
    assert near.differences == ["meter 2: value differs by at most 1"]


def test_records_and_types_count(tmp_path: Path) -> None:
    a = write_session(
        tmp_path, [Sent("a", 1, BEGIN, {"x": ("t", "text")}), Sent("a", 2, BEGIN + 1, {"x": ("t", "text")})]
    )
    b = write_session(
        tmp_path, [Sent("a", 1, BEGIN, {"x": ("t", "other")}), Sent("a", 2, BEGIN + 1, {"y": ("t", "text")})]
    )
    [one] = compare(a, b)
    assert one.differences == ["a 1: x is text and other", "a 2: the records are x and y"]


def test_only_the_streams_that_are_asked_for(tmp_path: Path) -> None:
    a, b = session(tmp_path, {1: 1}), session(tmp_path, {1: 1}, node="other")
    assert [one.node for one in compare(a, b)] == ["meter", "other"]
    assert [one.node for one in compare(a, b, ["meter"])] == ["meter"]
    with pytest.raises(FlowmeshError, match=r"stream of ghost; there are: meter, other"):
        compare(a, b, ["ghost"])


def test_the_functions_stay_functions_whatever_was_imported_before() -> None:
    importlib.import_module("flowmesh.cli.compare")
    importlib.import_module("flowmesh.cli.export")
    importlib.import_module("flowmesh.cli.recover")
    assert all(callable(getattr(recording, name)) for name in ("compare", "export", "recover"))
