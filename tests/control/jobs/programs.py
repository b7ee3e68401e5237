"""The calls that simulated tasks make, as plain data: how long, how they end, what they submit."""

from __future__ import annotations

import random

import msgspec


class Program(msgspec.Struct, frozen=True):
    """One call.

    Attributes:
        seconds: how long it computes.
        ends: one of done, raise, die, hang (until SIGTERM), stubborn (until SIGKILL), for each attempt; the last repeats.
        children: what it submits.
        joins: how it uses them: "wait" for all, "return" them, or "leave" them.
    """

    seconds: float = 0.01
    ends: tuple[str, ...] = ("done",)
    children: tuple[Program, ...] = ()
    joins: str = "return"
    retries: int = 0
    timeout: float | None = None

    def end_of(self, attempt: int) -> str:
        return self.ends[min(attempt, len(self.ends)) - 1]


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Program).decode


def draw(rng: random.Random, depth: int = 3) -> Program:
    """Any program; hanging ones have a timeout."""
    ends = tuple(rng.choices(["done", "raise", "die", "hang", "stubborn"], [20, 3, 2, 1, 1], k=rng.randint(1, 2)))
    children: tuple[Program, ...] = ()
    if depth and rng.random() < 0.35:
        children = tuple(draw(rng, depth - 1) for _ in range(rng.randint(1, 3)))
    stuck = bool({"hang", "stubborn"} & set(ends))
    return Program(
        seconds=rng.choice([0.001, 0.05, 0.5]),
        ends=ends,
        children=children,
        joins=rng.choice(["wait", "return", "leave"]),
        retries=rng.choice([0, 0, 1, 2]),
        timeout=rng.choice([2.0, 5.0]) if stuck else rng.choice([None, 60.0]),
    )


def reliable(seconds: float = 0.01, children: tuple[Program, ...] = (), joins: str = "return") -> Program:
    """A program that never fails by itself."""
    return Program(seconds=seconds, children=children, joins=joins)


def chain(depth: int, joins: str) -> Program:
    """Each submits the next and waits for it, or returns it."""
    program = reliable()
    for _ in range(depth):
        program = reliable(children=(program,), joins=joins)
    return program
