"""flowmesh.nodes itself: the names are there, and importing it loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flowmesh.nodes


def test_every_name_resolves() -> None:
    for name in flowmesh.nodes.__all__:
        assert getattr(flowmesh.nodes, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Camcorder"):
        _ = flowmesh.nodes.Camcorder


def test_importing_it_loads_neither_cv2_nor_pyav() -> None:
    code = "import sys, flowmesh.nodes; print(*{'cv2', 'av'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert ended.stdout.strip() == ""
