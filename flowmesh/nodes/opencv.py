"""OpenCV's distributions: all install the one package `cv2`, so an environment may hold only one of them.

pip does not know that: the one that was installed last has overwritten the files of the others.
"""

from __future__ import annotations

import functools
import warnings
from importlib import metadata

NAMES = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


def installed() -> dict[str, str]:
    """{distribution: version} of those that are installed here."""
    found = {}
    for name in NAMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


def conflict(found: dict[str, str]) -> tuple[str, str]:
    """The problem with these distributions in one environment, and its repair; empty if they are fewer than two."""
    if len(found) < 2:
        return "", ""
    listed = " and ".join(f"{name} {version}" for name, version in found.items())
    kept = next((name for name in found if not name.endswith("-headless")), next(iter(found)))
    return (
        f"{listed} are installed together, and each has overwritten files of the other: cv2 may lack windows or functions",
        f"keep one of them: pip uninstall -y {' '.join(found)} && pip install {kept}=={found[kept]}",
    )


@functools.cache
def warn_of_conflict() -> None:
    """Warn, once in a process, if two OpenCV distributions are installed."""
    text, repair = conflict(installed())
    if text:
        warnings.warn(f"{text}; {repair}", RuntimeWarning, stacklevel=3)
