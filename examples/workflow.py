"""Tasks as arguments, a chain, and a task that makes as many tasks as its argument says."""

from __future__ import annotations

from functools import partial
from typing import Any

import flowmesh as fm


def gen() -> tuple[int, int]:
    return 1, 2


def total(*numbers: int) -> int:
    return sum(numbers)


def grow(count: int) -> list[Any]:
    executor = fm.context().executor
    return [executor.submit(gen) for _ in range(count)]


def reduce(pairs: list[tuple[int, int]]) -> int:
    return sum(map(sum, pairs))


def main() -> None:
    with fm.Executor(timeout=100, retries=3) as executor:
        print("a task as an argument:", executor.submit(sum, executor.submit(gen)).result())
        print("a chain:", (executor >> gen >> total).result())
        print("map and reduce:", (executor >> partial(grow, 5) >> reduce).result())


if __name__ == "__main__":
    main()
