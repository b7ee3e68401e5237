"""What is simulated: nodes and edges, what outlives a node's process, and what became of each chunk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from flowmesh.control.recovery.checkpoint import Checkpoint

from .world import Broken, Clock, Way

if TYPE_CHECKING:
    from .process import Process

Origins = dict[int, tuple[int, int]]


class Chunk(NamedTuple):
    """A chunk as it travels. `content` stands for all that it holds."""

    number: int
    content: int
    origin: Origins
    last: bool


@dataclass(eq=False)
class Node:
    """A node. What is below `page` outlives its process, as its worker's memory and its files do."""

    index: int
    name: str
    profile: str = "one"  # how many a step emits: "one", "filter", "several"
    join: str = "any"  # "follow" | "zip" | "any"
    chunks: int = 0  # of a source: how many before it ends; -1: it ends only when nobody listens
    speed: float = 1.0
    cap: int = 8
    ins: list[Edge] = field(default_factory=list)
    outs: list[Edge] = field(default_factory=list)
    pair_by: tuple[int, ...] = ()  # of a zip, for each input the output by whose numbers it is paired
    carries: dict[int, tuple[int, ...]] = field(default_factory=dict)
    forks: frozenset[int] = frozenset()

    page: Checkpoint = field(default_factory=lambda: Checkpoint(()))
    newest: tuple[int, Chunk | None] | None = None
    committed: list[tuple[int, int, int]] = field(default_factory=list)  # of a sink: (input, number, content)
    epoch: int = 0
    left: bool = False
    process: Process | None = None

    given: dict[int, Chunk] = field(default_factory=dict)  # what the world has seen it give, of whichever incarnation
    closed_early: bool = False  # it ended since nobody listened any more

    def gives(self, contents: tuple[int, ...]) -> list[int]:
        """What a step emits for these contents: the same in each incarnation."""
        mixed = hash((self.index, *contents))
        profiles = {"one": 1, "filter": int(mixed % 3 == 0), "several": mixed % 4, "rare": int(mixed % 40 == 0)}
        many = profiles[self.profile]
        return [hash((mixed, emission)) for emission in range(many)]

    def number(self, index: int, chunk: Chunk) -> int:
        """The number by which a zip pairs a chunk of an input."""
        by = self.pair_by[index]
        return chunk.origin[by][0] if by in chunk.origin else chunk.number

    def gave(self, chunk: Chunk) -> None:
        """Whatever dies: a number always means the same."""
        before = self.given.setdefault(chunk.number, chunk)
        if before[:3] != chunk[:3]:
            raise Broken(f"{self.name} gave number {chunk.number} twice: {before}, {chunk}")


class Edge:
    """An edge; `fates` says of each number what has become of it."""

    def __init__(self, index: int, clock: Clock, source: Node, target: Node, depth: int, latency: float) -> None:
        self.index = index
        self.source = source
        self.target = target
        self.lossless = True
        self.sampled = False
        self.depth = depth
        self.latency = latency
        self.serial = 0
        self.connection: tuple[int, int, int] | None = None
        self.fates: dict[int, str] = {}
        self.lost: set[int] = set()  # of a lossy edge: what went with a connection or a process
        self.down: Way
        self.up: Way

    def __str__(self) -> str:
        return f"{self.source.name}→{self.target.name}"

    def met(self, number: int, fate: str) -> None:
        """A chunk was received, or dropped for a reason. What is repeated has to meet the same fate."""
        before = self.fates.setdefault(number, fate)
        if before == fate or not self.lossless or self.target.closed_early:
            return
        if "after_end" not in (before, fate):
            raise Broken(f"{self}: chunk {number} was {before}, and then {fate}")
