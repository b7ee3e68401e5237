"""The examples of tasks, run as a reader runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT, SCALE


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("primes.py", "found 168 primes; the largest is 997"),
        ("workflow.py", "map and reduce: 15"),
        ("frames.py", "6 done"),
    ],
)
def test_an_example(program: str, printed: str, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, str(ROOT / "examples" / program)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60 * SCALE,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert printed in told.stdout
    if program == "frames.py":
        assert len(list((tmp_path / "frames-output").glob("output_*.pgm"))) == 6
