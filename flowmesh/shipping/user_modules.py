"""The user's own modules: those below a root (for example the script's directory) that are not installed there.

Modules are found as Python finds them, by the import path, but none is imported here.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from typing import NamedTuple

_INSTALLED = ("site-packages", "dist-packages")


class FoundModule(NamedTuple):
    """Where a module lies: its file ("" for a namespace package) and, of a package, the folders of its submodules."""

    path: str
    folders: tuple[str, ...] | None

    @property
    def is_package(self) -> bool:
        return self.folders is not None


class UserModules:
    """The folders whose modules travel as source.

    Attributes:
        home: the script's own folders; in a notebook the working directory.
        roots: those, and where the import of each node's class, or of each function, starts from.
    """

    def __init__(self, things: Iterable[object]) -> None:
        self.home = tuple(dict.fromkeys(_home(sys.modules["__main__"])))
        self.roots = tuple(dict.fromkeys([*self.home, *_roots_of_classes(things)]))

    def loaded_at_home(self) -> list[str]:
        """The names of the imported modules that lie below the script's folders."""
        return [
            name for name, module in list(sys.modules.items()) if _travels(name) and _below(_file(module), self.home)
        ]

    def find(self, name: str) -> FoundModule | None:
        """The user's own module of that dotted name; None if there is none, or it is not the user's."""
        found = _find(name) if _travels(name) else None
        if found is None or not any(_below(place, self.roots) for place in (found.path, *(found.folders or ()))):
            return None
        return found


def _find(name: str) -> FoundModule | None:
    module = sys.modules.get(name)
    if module is not None:
        folders = getattr(module, "__path__", None)
        return FoundModule(_file(module), None if folders is None else tuple(folders))
    parent = name.rpartition(".")[0]
    above = _find(parent) if parent else None
    if parent and (above is None or above.folders is None):
        return None
    spec = PathFinder.find_spec(name, list(above.folders) if above and above.folders else None)
    if spec is None:
        return None
    folders = spec.submodule_search_locations
    return FoundModule(spec.origin or "", None if folders is None else tuple(folders))


def _travels(name: str) -> bool:
    return name.partition(".")[0] not in ("__main__", "__mp_main__", "flowmesh")


def _file(module: object) -> str:
    path = getattr(module, "__dict__", {}).get("__file__")
    return path if isinstance(path, str) else ""


def _home(main: types.ModuleType) -> Iterator[str]:
    path = _file(main)
    if not path:
        yield os.getcwd()
        return
    package = getattr(main, "__package__", None) or ""
    yield _above(os.path.dirname(os.path.abspath(path)), package)
    # a script that was started through a link imports from where the link leads
    yield _above(os.path.dirname(os.path.realpath(path)), package)


def _roots_of_classes(things: Iterable[object]) -> Iterator[str]:
    plain = (types.FunctionType, type)
    for kind in {kind for thing in things for kind in ([thing] if isinstance(thing, plain) else type(thing).__mro__)}:
        module = sys.modules.get(kind.__module__)
        path = _file(module)
        if path and _travels(kind.__module__) and not _installed(path):
            yield _above(os.path.dirname(os.path.abspath(path)), getattr(module, "__package__", None) or "")


def _above(folder: str, package: str) -> str:
    for _ in package.split(".") if package else ():
        folder = os.path.dirname(folder)
    return folder


def _below(path: str, roots: Iterable[str]) -> bool:
    for root in roots:
        if path.startswith(os.path.join(root, "")) and not _installed(path):
            return not _in_virtual_environment(os.path.dirname(path), root)
    return False


def _installed(path: str) -> bool:
    if any(part in _INSTALLED for part in path.split(os.sep)):
        return True
    return any(path.startswith(folder + os.sep) for folder in _library())


@functools.cache
def _library() -> tuple[str, ...]:
    named = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    return (os.path.dirname(os.__file__), *named)


def _in_virtual_environment(folder: str, root: str) -> bool:
    while len(folder) > len(root):
        if os.path.exists(os.path.join(folder, "pyvenv.cfg")):
            return True
        folder = os.path.dirname(folder)
    return False
