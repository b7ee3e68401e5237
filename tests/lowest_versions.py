"""The lowest release of each dependency that pyproject.toml allows, as constraints for pip: `make test-oldest` installs them.

Each `>=` must name a release that exists, so that what is tested is what is promised.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:(?P<sign>>=|==)(?P<version>[0-9.]+))?")


def lowest(requirements: Iterable[str], own_name: str) -> list[str]:
    """`name==version` for each requirement; without the project's own extras.

    Raises:
        ValueError: a requirement has no lower bound.
    """
    constraints = []
    for requirement in requirements:
        found = REQUIREMENT.fullmatch(requirement)
        if found is None or (found["version"] is None and found["name"] != own_name):
            raise ValueError(f"{requirement!r} must be NAME>=VERSION or NAME==VERSION")
        if found["version"] is not None:
            constraints.append(f"{found['name']}=={found['version']}")
    return constraints


def of_project(project: dict[str, Any]) -> list[str]:
    """The constraints of a `[project]` table: what it requires, and all extras but those of the documentation."""
    extras = project.get("optional-dependencies", {})
    listed = [*project["dependencies"], *(each for name, extra in extras.items() if name != "docs" for each in extra)]
    return lowest(listed, project["name"])


if __name__ == "__main__":
    sys.stdout.write("\n".join(of_project(tomllib.loads(PYPROJECT.read_text())["project"])) + "\n")
