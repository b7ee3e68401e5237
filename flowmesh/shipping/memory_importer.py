"""Modules that are imported from memory: a finder, a loader, and their data files. No file is read here.

A shipped module keeps its name and the path that it had on the Manager's host, whether or not that exists on this one.
"""

from __future__ import annotations

import io
import os
import types
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.resources.abc import Traversable, TraversableResources
from importlib.util import spec_from_loader
from typing import IO, Any

from ..wire.plan_specs import Module
from .source_texts import remember_source


class MemoryFinder(MetaPathFinder):
    """Finds shipped modules by name, and packages without an `__init__` of which something was shipped."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self._modules = {module.name: module for module in modules}
        self._loader = MemoryLoader(self._modules)
        parents = {name[:end] for name in self._modules for end, letter in enumerate(name) if letter == "."}
        self._namespaces = parents - self._modules.keys()

    def names(self) -> frozenset[str]:
        """The names of all shipped modules."""
        return frozenset(self._modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        module = self._modules.get(fullname)
        if module is not None:
            return self._spec(module)
        return _namespace(fullname, path) if fullname in self._namespaces else None

    def _spec(self, module: Module) -> ModuleSpec | None:
        spec = spec_from_loader(module.name, self._loader, origin=module.path, is_package=module.is_package)
        if spec is not None:
            spec.has_location = True
            if module.is_package:
                # compiled modules beside the source can't be shipped: they are found where the path exists
                spec.submodule_search_locations = [os.path.dirname(module.path)]
        return spec


def _namespace(name: str, path: Sequence[str] | None) -> ModuleSpec:
    spec = ModuleSpec(name, None, is_package=True)
    installed = PathFinder.find_spec(name, path)
    if installed is not None and installed.loader is None:
        # a namespace is shared: what is installed in it stays importable
        spec.submodule_search_locations = list(installed.submodule_search_locations or ())
    return spec


class MemoryLoader(ExecutionLoader):
    """Loads shipped modules, and gives their source and data files."""

    def __init__(self, modules: dict[str, Module]) -> None:
        self._modules = modules
        self._data = {
            os.path.join(os.path.dirname(module.path), path): content
            for module in modules.values()
            for path, content in module.resources.items()
        }

    def is_package(self, fullname: str) -> bool:
        return self._module(fullname).is_package

    def get_source(self, fullname: str) -> str:
        return self._module(fullname).source

    def get_filename(self, fullname: str) -> str:
        return self._module(fullname).path

    def get_data(self, path: str) -> bytes:
        try:
            return self._data[os.path.normpath(path)]
        except KeyError:
            raise FileNotFoundError(f"{path} was not shipped") from None

    def get_resource_reader(self, fullname: str) -> MemoryResources | None:
        return MemoryResources(fullname, self._resources(fullname)) if self.is_package(fullname) else None

    def exec_module(self, module: types.ModuleType) -> None:
        shipped = self._module(module.__name__)
        remember_source(shipped.path, shipped.source)
        super().exec_module(module)

    def _module(self, fullname: str) -> Module:
        try:
            return self._modules[fullname]
        except KeyError:
            raise ImportError(f"{fullname!r} was not shipped", name=fullname) from None

    def _resources(self, package: str) -> dict[str, bytes]:
        """All data files below a package, also those of the packages in it."""
        found = {}
        for module in self._modules.values():
            if f"{module.name}.".startswith(f"{package}."):
                folder = module.name[len(package) + 1 :].replace(".", "/")
                found.update({f"{folder}/{path}".lstrip("/"): content for path, content in module.resources.items()})
        return found


class MemoryResources(TraversableResources):
    """The resources of a package, for `importlib.resources`."""

    def __init__(self, package: str, contents: dict[str, bytes]) -> None:
        self._top = MemoryPath(package.rpartition(".")[2], contents)

    def files(self) -> MemoryPath:
        return self._top


class MemoryPath(Traversable):
    """A file or folder in memory: `contents` are all files of the package, `path` is the way from there to this one."""

    def __init__(self, package: str, contents: dict[str, bytes], path: str = "") -> None:
        self._package = package
        self._contents = contents
        self._path = path

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2] or self._package

    def is_file(self) -> bool:
        return self._path in self._contents

    def is_dir(self) -> bool:
        return not self._path or any(path.startswith(f"{self._path}/") for path in self._contents)

    def iterdir(self) -> Iterator[MemoryPath]:
        start = f"{self._path}/" if self._path else ""
        names = {path[len(start) :].partition("/")[0] for path in self._contents if path.startswith(start)}
        return (self.joinpath(name) for name in sorted(names))

    def joinpath(self, *descendants: str | os.PathLike[str]) -> MemoryPath:
        path = os.path.normpath("/".join([self._path or ".", *(os.fspath(part) for part in descendants)]))
        return MemoryPath(self._package, self._contents, "" if path == "." else path)

    def __truediv__(self, child: str | os.PathLike[str]) -> MemoryPath:
        return self.joinpath(child)

    def read_bytes(self) -> bytes:
        try:
            return self._contents[self._path]
        except KeyError:
            raise FileNotFoundError(f"{self._path!r} was not shipped with the package {self._package!r}") from None

    def read_text(self, encoding: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8")

    def open(self, mode: str = "r", *arguments: Any, **options: Any) -> IO[Any]:
        data = io.BytesIO(self.read_bytes())
        return data if "b" in mode else io.TextIOWrapper(data, *arguments, **options)
