"""What the tests here send: frames that tell whether they are whole, and the simplest rig to send them in."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowmesh.chunk import DataChunk
from flowmesh.edges.output_edge import OutputEdge

from .fakes import Actor, Rig, Stuck, Wire

FRAME = (128, 256)  # 32 kB: in a slot


def frame(number: int, shape: tuple[int, ...] = FRAME) -> np.ndarray:
    """No two alike, and a torn one is none of them."""
    return np.full(shape, number % 251, np.uint8) + np.arange(shape[-1], dtype=np.uint8) * np.uint8(number // 251 + 1)


def numbered(number: int, shape: tuple[int, ...] = FRAME) -> DataChunk:
    chunk = DataChunk()
    chunk.add("frame", frame(number, shape))
    chunk.add("number", number)
    return chunk


def verified(chunk: DataChunk) -> int:
    """The number of a chunk made by `numbered`; fails if its frame is not that of the number."""
    number: int = chunk.get("number")["value"]
    array = chunk.get("frame")["value"]
    assert np.array_equal(array, frame(number, array.shape)), f"frame {number} is damaged"
    return number


def never(edges: list[OutputEdge], bell: int) -> bool:
    raise Stuck("an emission waits, which it must not")


def two(wire: Wire | None = None, wait: Any = None, **options: Any) -> tuple[Rig, Actor, Actor]:
    rig = Rig("ab", wire or Wire("a", "b"), **options)
    return rig, rig.actor("a", wait), rig.actor("b")


def arenas_mapped() -> set[str]:
    with open("/proc/self/maps") as file:
        return {line.split()[4] for line in file if "memfd:flowmesh-arena" in line}
