"""What is installed under which name, and that texts and pyproject.toml agree on it."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXTS = [
    *(path for folder in ("flowmesh", "worker_entry", "examples") for path in (ROOT / folder).rglob("*.py")),
    *(ROOT / "docs").rglob("*.md"),
    *ROOT.glob("*.md"),
    *(ROOT / "examples").glob("*.md"),
]


def test_no_text_tells_to_install_flowmesh_from_the_index() -> None:
    """That name belongs to another project there."""
    wrong = re.compile(r"pip install[^\n`]*[\s\"'](flowmesh|flowmesh-dataflow)(\[|[\s\"'`.,;)]|$)")
    assert [path.name for path in TEXTS if wrong.search(path.read_text())] == []


def test_an_optional_package_is_named_with_the_bound_of_its_extra() -> None:
    bounds = dict(
        each.split(">=", 1)
        for name, extra in PROJECT["optional-dependencies"].items()
        if name not in ("dev", "docs")
        for each in extra
    )
    lists = [
        found
        for path in TEXTS
        for found in re.findall(r'pip install((?:[\s\']+"[a-z-]+>=[0-9.]+")+)', path.read_text())
    ]
    named = {found for each in lists for found in re.findall(r'"([a-z-]+)>=([0-9.]+)"', each)}
    assert named == set(bounds.items())


@pytest.mark.long
def test_the_wheel(tmp_path: Path) -> None:
    subprocess.run(["make", "wheel"], cwd=ROOT, check=True, timeout=300)
    (wheel,) = (ROOT / "dist").glob("flowmesh_dataflow-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"flowmesh/__init__.py", "flowmesh/py.typed", "worker_entry/main.py"} <= set(names)
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"flowmesh", "worker_entry"}
