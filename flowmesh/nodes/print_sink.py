"""Print: a line of text for each chunk. Arrays are shown by their shape; lines have a limited length."""

from __future__ import annotations

import reprlib
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..chunk import DataChunk
from ..errors import GraphError
from .base import BaseNode, is_whole


class Print(BaseNode):
    """A sink that prints a line for each chunk: who sent it, its number, and its records; of arrays the dtype and
    shape.

    `film 3: frame uint8[480, 640, 3], index 2`. It is printed where the node runs: in that worker's terminal.

    >>> graph.add_edge(film, Print("print", every=30))         # doctest: +SKIP

    Args:
        name: the node's name.
        every: print the first chunk of each sender, and then one in this many.
        options: options of Node: `join`, ...

    Raises:
        GraphError: a value that can't be.
    """

    def __init__(self, name: str | None = None, *, every: int = 1, **options: Any) -> None:
        super().__init__(name, **options)
        if not is_whole(every, 1):
            raise GraphError(f"{self.name}: every is a whole number of chunks from 1, not {every!r}")
        self.every = every

    def setup(self) -> None:
        self._seen: Counter[str] = Counter()

    def step(self, data: Mapping[str, DataChunk]) -> None:
        for sender, chunk in data.items():
            if self._seen[sender] % self.every == 0:
                # One write: lines of several nodes do not mix.
                sys.stdout.write(f"{sender} {chunk.number}: {described(chunk)}\n")
                sys.stdout.flush()
            self._seen[sender] += 1


def described(chunk: DataChunk) -> str:
    """The chunk's records in a line: the dtype and shape of arrays, the beginning of what is long."""
    return ", ".join(f"{name} {_BRIEF.brief(value)}" for name, value, _ in chunk.records()) or "empty"


class _Brief(reprlib.Repr):
    """reprlib's short texts, on one line; of arrays and bytes only how large they are."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxdict = self.maxlist = self.maxtuple = 6

    def brief(self, value: object) -> str:
        return " ".join(self.repr(value).split())

    def repr_ndarray(self, array: np.ndarray, level: int) -> str:
        return f"{array.dtype}{list(array.shape)}"

    def repr_bytes(self, value: bytes, level: int) -> str:
        return f"{type(value).__name__}[{len(value)}]"

    repr_bytearray = repr_bytes

    def repr_memoryview(self, value: memoryview, level: int) -> str:
        return f"memoryview[{value.nbytes}]"


_BRIEF = _Brief()
