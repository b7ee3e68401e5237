"""Two OpenCV distributions in one environment are found, and the repair is a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowmesh.cli import diagnostics
from flowmesh.nodes import opencv

BOTH = {"opencv-python": "4.10.0.84", "opencv-python-headless": "5.0.0.93"}


def test_what_is_installed_here() -> None:
    assert list(opencv.installed()) == ["opencv-python-headless"]


def test_one_or_none_is_no_conflict() -> None:
    assert opencv.conflict({}) == opencv.conflict({"opencv-python": "4.10.0.84"}) == ("", "")


def test_the_repair_keeps_the_one_with_windows() -> None:
    text, repair = opencv.conflict(BOTH)
    assert text.startswith("opencv-python 4.10.0.84 and opencv-python-headless 5.0.0.93 are installed together")
    assert repair == (
        "keep one of them: pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python==4.10.0.84"
    )


def test_doctor_calls_it_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "installed", lambda: BOTH)
    found = {finding.what: finding for finding in diagnostics.examine()}
    assert (found["opencv"].state, found["opencv"].fix) == ("problem", opencv.conflict(BOTH)[1])


def test_the_first_import_warns_once(tmp_path: Path) -> None:
    for name, version in (("opencv_python", "4.10.0.84"),):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    program = f"""
import sys
sys.path.append({str(tmp_path)!r})
from flowmesh.nodes import Throttle
print("cv2" in sys.modules, flush=True)
from flowmesh.nodes import Resize
from flowmesh.nodes import VideoFile
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
    assert done.stderr.count("RuntimeWarning: opencv-python 4.10.0.84 and opencv-python-headless") == 1
    assert done.stderr.count("pip uninstall -y opencv-python opencv-python-headless") == 1
