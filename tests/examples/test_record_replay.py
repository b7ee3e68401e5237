"""The example records itself, plays the recording, and finds both runs equal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..conftest import ROOT, SCALE


def test_both_runs_are_equal(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "record_replay.py"), "--output", str(tmp_path)],
        capture_output=True, text=True, timeout=60 * SCALE,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[-1].startswith("150 of 150 outlines are equal, 0 differ")
    measured = [line for line in lines if "measured" in line]
    assert len(measured) == 2
    assert measured[0] == measured[1]
