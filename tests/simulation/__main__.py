"""Run one schedule again: `python -m tests.simulation SHAPE SEED [--calm]`, or many: `SHAPE FIRST LAST`."""

from __future__ import annotations

import sys
import time
import traceback

from .shapes import SHAPES, simulate


def main(shape: str, first: str, last: str = "") -> None:
    calm = "--calm" in sys.argv
    begun, failed, events, deaths = time.monotonic(), 0, 0, 0
    seeds = range(int(first), int(last or first) + 1)
    for name in SHAPES if shape == "all" else [shape]:
        for seed in seeds:
            try:
                simulation = simulate(name, seed, crashes=not calm)
                events += simulation.clock.events
                deaths += simulation.deaths
            except Exception as error:
                failed += 1
                print(name, seed, type(error).__name__, str(error)[:300])
                if not last:
                    traceback.print_exc()
    print(f"{failed} failed, {events} events, {deaths} deaths, {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main(*[argument for argument in sys.argv[1:] if not argument.startswith("--")])
