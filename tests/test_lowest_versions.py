"""The constraints of `make test-oldest` are the lower bounds of pyproject.toml."""

from __future__ import annotations

import tomllib

import pytest

from .lowest_versions import PYPROJECT, lowest, of_project


def test_each_lower_bound_becomes_a_constraint() -> None:
    assert lowest(["numpy>=1.26", "coverage[toml]>=7.10", "ruff==0.17.5"], "flowmesh") == [
        "numpy==1.26",
        "coverage==7.10",
        "ruff==0.17.5",
    ]


def test_the_project_s_own_extras_are_left_out() -> None:
    assert lowest(["flowmesh[video,plot]"], "flowmesh") == []


@pytest.mark.parametrize("requirement", ["numpy", "numpy<3", "numpy>=1,<3", "numpy~=1.2"])
def test_what_has_no_lower_bound_of_its_own_is_refused(requirement: str) -> None:
    with pytest.raises(ValueError, match="must be NAME>=VERSION or NAME==VERSION"):
        lowest([requirement], "flowmesh")


def test_the_documentation_s_tools_are_left_out() -> None:
    project = {
        "name": "flowmesh",
        "dependencies": ["numpy>=1.26"],
        "optional-dependencies": {"docs": ["zensical>=1"], "dev": ["flowmesh[plot]", "pytest>=8"]},
    }
    assert of_project(project) == ["numpy==1.26", "pytest==8"]


def test_all_of_this_project_is_constrained() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    names = {each.partition("==")[0] for each in of_project(project)}
    assert {"numpy", "msgspec", "pyzmq", "av", "matplotlib", "pytest"} <= names
