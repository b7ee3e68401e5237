"""Requirements: the installed distributions of imported names, and a worker's differences.

`importlib.metadata.packages_distributions` reads every file list there is (50 ms and more): here only the names that
are imported are looked up, and each once per process.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Mapping

# flowmesh's version is compared when a worker registers; what pickles the code is its own affair
_OURS = {"__main__", "flowmesh", "cloudpickle"}


def requirements(names: Iterable[str]) -> dict[str, str]:
    """{distribution: version} of those of the top-level import names that belong to an installed distribution."""
    found = {}
    for name in sorted(set(names) - sys.stdlib_module_names - _OURS):
        distribution = _distribution_of(name)
        if distribution is not None:
            found[distribution] = importlib.metadata.version(distribution)
    return found


def differing(required: Mapping[str, str]) -> list[str]:
    """A sentence for each distribution whose version here is not the Manager's, or that is missing here."""
    sentences = []
    for name, version in sorted(required.items()):
        here = _version(name)
        if here is None:
            sentences.append(f"{name} {version} is not installed on this worker: pip install {name}=={version} there")
        elif here != version:
            sentences.append(f"{name} is {version} at the Manager and {here} on this worker")
    return sentences


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _distribution_of(name: str) -> str | None:
    """The distribution that installed the top-level module `name`: of that very name, or that lists its file."""
    if _version(name) is not None:
        return name
    listed = re.compile(rf"^{re.escape(name)}(/__init__\.py|\.py|\.[^/,]*\.so),", re.MULTILINE)
    for distribution in importlib.metadata.distributions():
        if listed.search(distribution.read_text("RECORD") or ""):
            return distribution.name
    return None
