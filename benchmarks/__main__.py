"""`python -m benchmarks`: measures, with lines of progress, and prints a table at the end."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

import flowmesh as fm
from tests.integration.multi_host.network import why_not

from . import chain, codecs, frames, hosts, latency, small
from .comparison import Benchmark, Outcome, add_round, outcomes
from .table import pair, table

_SUBJECTS = (small, frames, latency, chain, hosts, codecs)
_FAILURES = (fm.FlowmeshError, TimeoutError, ChildProcessError, AssertionError, OSError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, 1 if a gate was missed or something failed, 130 after Ctrl+C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    there = _all(options.quick)
    if unknown := [name for name in options.names if not _named(name, there)]:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(one.name for one in there)}")
    chosen = [one for name in options.names for one in _named(name, there)] or _possible(there)
    rounds = options.rounds or (2 if options.quick else 5)
    found: list[Outcome] = []
    interrupted = False
    try:
        for benchmark in chosen:
            _measure(benchmark, rounds, found)
    except KeyboardInterrupt:
        interrupted = True
        _say("interrupted: the table is of the rounds that were finished")
    print(f"\n{table(found)}\n\n{_machine()}; medians of {rounds} rounds{', --quick' if options.quick else ''}")
    if options.json:
        _write(options.json, found)
    return 130 if interrupted else int(any(outcome.reached is False for outcome in found))


def _measure(benchmark: Benchmark, rounds: int, found: list[Outcome]) -> None:
    """All rounds, floor and flowmesh in turns; what fails is said, and the rest goes on."""
    results = outcomes(benchmark)
    found += results.values()
    for turn in range(1, rounds + 1):
        try:
            floor = benchmark.floor() if benchmark.floor else {}
            add_round(results, floor, benchmark.flowmesh())
        except _FAILURES as error:
            _say(f"{benchmark.name} {turn}/{rounds}  failed: {error}")
            return
        _say(f"{benchmark.name} {turn}/{rounds}  " + "; ".join(pair(outcome).strip() for outcome in results.values()))


def _named(name: str, there: Iterable[Benchmark]) -> list[Benchmark]:
    """The one of that name, or all of a subject: `frames` is `frames-1`, `frames-4` and `frames-on`."""
    return [one for one in there if one.name == name or one.name.startswith(f"{name}-")]


def _possible(there: list[Benchmark]) -> list[Benchmark]:
    """All of them, but those between hosts where none can be made."""
    if not (reason := why_not()):
        return there
    _say(f"nothing is measured between hosts: {reason}")
    return [one for one in there if one not in _named("hosts", there)]


def _all(quick: bool) -> list[Benchmark]:
    return [benchmark for subject in _SUBJECTS for benchmark in subject.benchmarks(quick)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure flowmesh's speed beside its floor, in turns.",
        epilog="benchmarks:\n" + "\n".join(f"  {one.name:28}{one.about}" for one in _all(quick=False)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="which to run, or a subject (frames, hosts); all by default"
    )
    parser.add_argument("--rounds", type=_positive, metavar="N", help="pairs of each (default: 5; with --quick 2)")
    parser.add_argument("--quick", action="store_true", help="small counts: shows that all of it works, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures there")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return number


def _machine() -> str:
    return (
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, flowmesh {fm.__version__}"
    )


def _write(path: Path, found: Iterable[Outcome]) -> None:
    figures = [
        msgspec.structs.asdict(one) | {"gate": str(one.gate or ""), "ratios": one.ratios, "reached": one.reached}
        for one in found
    ]
    path.write_bytes(msgspec.json.format(msgspec.json.encode({"machine": _machine(), "figures": figures})))


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
