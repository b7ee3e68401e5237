"""The modules that travel as source: the script's siblings, as far as imports lead, and the folders of `packages=`.

Files are read here, nothing is imported.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ShippingError
from ..wire.plan_specs import Module
from .imports import imports_of_source
from .user_modules import UserModules

# A graph's code is sent to every worker and held by every node process: data sets go another way.
LIMIT = 64 * 2**20


class SourceFiles:
    """Collects modules and what they import.

    Attributes:
        modules: what travels, by dotted name.
        imported: every name that a module of these imports.
    """

    def __init__(self, territory: UserModules) -> None:
        self.modules: dict[str, Module] = {}
        self.imported: set[str] = set()
        self._territory = territory
        self._seen: set[str] = set()

    def add_package(self, place: str | Path) -> None:
        """Add a folder as a package of its name, with all its files; or a single module.

        Raises:
            ShippingError: there is no such folder or Python file, or its name can't be imported.
        """
        path = Path(os.path.abspath(place))
        if not path.is_dir() and not (path.is_file() and path.suffix == ".py"):
            raise ShippingError(f"packages: there is no folder or Python file {str(path)!r}")
        if not path.stem.isidentifier() or (path.is_dir() and path.suffix):
            raise ShippingError(f"packages: {path.name!r} can't be imported: rename it to letters, digits and '_'")
        for module in _folder(path) if path.is_dir() else [_read(path.stem, str(path), False)]:
            self._add(module)

    def follow(self, names: Iterable[str]) -> None:
        """Add the user's own modules among `names`, their parent packages and their imports."""
        self.imported.update(names)
        todo = list(self.imported)
        while todo:
            for name in _with_parents(todo.pop()):
                if name not in self._seen:
                    self._seen.add(name)
                    todo += self._add_found(name)

    def _add_found(self, name: str) -> set[str]:
        found = None if name in self.modules else self._territory.find(name)
        if found is None or not found.path.endswith(".py"):
            return set()
        return self._add(_read(name, found.path, found.is_package))

    def _add(self, module: Module) -> set[str]:
        self.modules[module.name] = module
        package = module.name if module.is_package else module.name.rpartition(".")[0]
        names = imports_of_source(module.source, package)
        self.imported |= names
        return names


def check_size(modules: Iterable[Module]) -> None:
    """Raise ShippingError, which names the largest files, if these are too much to be sent."""
    _check(
        [(len(m.source), m.path) for m in modules]
        + [(len(d), f"{m.name}/{p}") for m in modules for p, d in m.resources.items()]
    )


def _check(sizes: list[tuple[int, str]]) -> None:
    total = sum(size for size, _ in sizes)
    if total > LIMIT:
        largest = ", ".join(f"{path} ({size / 2**20:.1f} MiB)" for size, path in sorted(sizes, reverse=True)[:3])
        raise ShippingError(
            f"the code to ship has {total / 2**20:.1f} MiB, {LIMIT // 2**20} MiB are possible; "
            f"the largest files: {largest}; leave data out of packages= and read it in setup()"
        )


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[: count + 1]) for count in range(len(parts)))


def _read(name: str, path: str, is_package: bool, resources: dict[str, bytes] | None = None) -> Module:
    try:
        source = importlib.util.decode_source(Path(path).read_bytes())
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise ShippingError(f"{path} can't be read as Python source: {error}") from error
    return Module(name, path, source, is_package, resources or {})


def _folder(top: Path) -> list[Module]:
    """All modules below `top`; each other file is a resource of the nearest package above it, `top` at the last."""
    files = [path for path in _files(top) if path.suffix != ".pyc"]
    _check([(path.stat().st_size, str(path)) for path in files])
    names = {path: name for path in files if (name := _dotted(top, path))}
    packages = {path.parent: name for path, name in names.items() if path.name == "__init__.py"} | {top: top.name}
    resources: dict[str, dict[str, bytes]] = {name: {} for name in packages.values()}
    for path in files:
        if path not in names:
            home = next(folder for folder in path.parents if folder in packages)
            resources[packages[home]][path.relative_to(home).as_posix()] = path.read_bytes()
    modules = [_read(name, str(path), path.name == "__init__.py", resources.get(name)) for path, name in names.items()]
    if top / "__init__.py" not in names:
        modules.append(Module(top.name, str(top / "__init__.py"), "", True, resources[top.name]))
    return modules


def _files(top: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _dotted(top: Path, path: Path) -> str:
    """The dotted name of a Python file; "" for what can't be imported."""
    parts = [top.name, *path.relative_to(top).with_suffix("").parts]
    if path.suffix != ".py" or not all(part.isidentifier() for part in parts):
        return ""
    return ".".join(parts[:-1] if path.name == "__init__.py" else parts)
