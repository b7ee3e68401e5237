"""Find the 168 primes below 1,000 by drawing numbers at random, on two workers, until all are found."""

from __future__ import annotations

import random

import flowmesh as fm

WANTED = 168


def primes(count: int = 200) -> list[int]:
    """The primes among so many random numbers below 1,000."""
    numbers = (random.randint(2, 999) for _ in range(count))
    return [number for number in numbers if all(number % divisor for divisor in range(2, int(number**0.5) + 1))]


def main() -> None:
    with fm.Executor(timeout=60) as executor:
        found: set[int] = set()
        for batch in executor.repeat(primes, at_once=2):
            found.update(batch)
            if len(found) == WANTED:
                break
        print(f"found {len(found)} primes; the largest is {max(found)}")


if __name__ == "__main__":
    main()
