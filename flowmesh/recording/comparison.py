"""Two sessions, compared stream by stream: which numbers only one has, and which records differ. Times are not compared."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..chunk import DataChunk, same
from ..errors import FlowmeshError
from .assembly import RecordedChunk
from .reader import SessionReader

_MOST_LISTED = 20  # differences of a stream; all are counted


class StreamComparison(NamedTuple):
    """What two sessions have of a stream.

    Attributes:
        node: the node's name.
        equal: how many chunks are equal.
        different: how many have the same number and differ.
        only_a, only_b: how many numbers only one has.
        differences: the first of them, as sentences.
    """

    node: str
    equal: int
    different: int
    only_a: int
    only_b: int
    differences: list[str]

    @property
    def is_equal(self) -> bool:
        """Whether both have the same chunks."""
        return not (self.different or self.only_a or self.only_b)


def compare(
    a: str | os.PathLike[str] | SessionReader,
    b: str | os.PathLike[str] | SessionReader,
    nodes: Collection[str] | None = None,
    tolerance: float = 0.0,
) -> list[StreamComparison]:
    """Compare the streams of two sessions, by the chunks' numbers.

    Args:
        nodes: whose streams; None: all that either session has.
        tolerance: by how much numbers and the elements of arrays may differ.

    Raises:
        FlowmeshError: there is no such session, or neither has a stream that is asked for.
    """
    first, second = (one if isinstance(one, SessionReader) else SessionReader(one) for one in (a, b))
    there = sorted({one.node for reader in (first, second) for one in reader.totals()})
    if nodes is not None and (unknown := sorted(set(nodes) - set(there))):
        raise FlowmeshError(f"neither session has a stream of {', '.join(unknown)}; there are: {', '.join(there)}")
    return [
        _compare_stream(node, first, second, tolerance) for node in (there if nodes is None else sorted(set(nodes)))
    ]


def _compare_stream(node: str, a: SessionReader, b: SessionReader, tolerance: float) -> StreamComparison:
    equal = different = only_a = only_b = 0
    differences: list[str] = []

    def note(number: int, text: str) -> None:
        if len(differences) < _MOST_LISTED:
            differences.append(f"{node} {number}: {text}")

    for number, one, other in _paired(a.chunks([node]), b.chunks([node])):
        if other is None:
            only_a += 1
            note(number, "only the first session has it")
        elif one is None:
            only_b += 1
            note(number, "only the second session has it")
        elif difference := difference_of(one.chunk, other.chunk, tolerance):
            different += 1
            note(number, difference)
        else:
            equal += 1
    return StreamComparison(node, equal, different, only_a, only_b, differences)


def _paired(
    a: Iterator[RecordedChunk], b: Iterator[RecordedChunk]
) -> Iterator[tuple[int, RecordedChunk | None, RecordedChunk | None]]:
    """The chunks of two streams, side by side by run and number."""
    one, other = next(a, None), next(b, None)
    while one is not None or other is not None:
        at, where = _place(one), _place(other)
        if at < where:
            assert one is not None
            yield one.number, one, None
            one = next(a, None)
        elif where < at:
            assert other is not None
            yield other.number, None, other
            other = next(b, None)
        else:
            assert one is not None
            yield one.number, one, other
            one, other = next(a, None), next(b, None)


def _place(chunk: RecordedChunk | None) -> tuple[float, float]:
    return (float("inf"), 0) if chunk is None else (chunk.stamp.run, chunk.number)


def difference_of(a: DataChunk, b: DataChunk, tolerance: float = 0.0) -> str:
    """In what two chunks differ, as a sentence; "" if they do not."""
    if list(a) != list(b):
        return f"the records are {', '.join(a) or 'none'} and {', '.join(b) or 'none'}"
    for (name, value, kind), (_, other, other_kind) in zip(a.records(), b.records(), strict=True):
        if kind != other_kind:
            return f"{name} is {kind} and {other_kind}"
        if not (same(value, other) or (tolerance > 0 and _close(value, other, tolerance))):
            return f"{name} differs{_apart(value, other)}"
    return ""


def _close(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two values are the same but for numbers that are at most so far apart."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind not in "buifc":
            return same(a, b)
        return _largest_distance(a, b) <= tolerance
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_close(value, b[key], tolerance) for key, value in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_close(one, other, tolerance) for one, other in zip(a, b, strict=True))
    if isinstance(a, int | float) and not isinstance(a, bool):
        return same(a, b) or abs(a - b) <= tolerance
    return same(a, b)


def _largest_distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    kind = np.complex128 if a.dtype.kind == "c" else np.float64
    x, y = a.astype(kind), b.astype(kind)
    apart = np.abs(np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0, x - y))
    return float(apart.max(initial=0.0)) if not np.isnan(apart).any() else float("inf")


def _apart(a: Any, b: Any) -> str:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f": {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}"
        if a.dtype.kind in "buifc":
            return f" by at most {_largest_distance(a, b):g}"
    return f": {a!r:.60} and {b!r:.60}"
