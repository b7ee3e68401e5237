"""The Manager's side: nodes and folders in, their code and the pickled nodes out. Nothing is sent here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..node import Node
from ..wire.plan_specs import Code
from .imports import imports_of_code
from .pickle_errors import can_travel, explain
from .pickling import Reached, pickled, pickled_definitions
from .requirements import requirements
from .source_texts import file_text, source_text
from .sources import SourceFiles, check_size
from .user_modules import UserModules


def pack_code(nodes: Iterable[Node], packages: Iterable[str | Path] = ()) -> tuple[Code, dict[str, bytes]]:
    """The code that `nodes` need beside what is installed, and each node, pickled, by its name.

    Args:
        nodes: the graph's nodes.
        packages: folders (or single Python files) that are shipped whole, as packages of their names.

    Raises:
        ShippingError: something can't be pickled (it is named), a folder is missing, or there is too much of it.
    """
    nodes = list(nodes)
    reached = Reached()
    instances = {node.name: _instance(node, reached) for node in nodes}
    return _pack(_definitions(nodes, reached), nodes, packages, reached), instances


def pack_definitions(things: Iterable[object], packages: Iterable[str | Path], reached: Reached) -> Code:
    """The code that pickling has `reached`, beside what is installed.

    Args:
        things: functions or objects; their own modules' folders are searched, too.
        packages: as of `pack_code`.

    Raises:
        ShippingError: a folder of `packages` is missing, or there is too much of it.
        Exception: any exception of pickling.
    """
    return _pack(pickled_definitions(reached), things, packages, reached)


def _pack(definitions: bytes, things: Iterable[object], packages: Iterable[str | Path], reached: Reached) -> Code:
    sources = _sources(things, packages, reached)
    tops = {name.partition(".")[0] for name in sources.imported}
    path = _script()
    return Code(
        definitions=definitions,
        modules=tuple(sources.modules.values()),
        main_path=path,
        sources=_texts(path, reached),
        requirements=requirements(tops - {module.partition(".")[0] for module in sources.modules}),
        imports_cv2="cv2" in tops,
    )


def _instance(node: Node, reached: Reached) -> bytes:
    try:
        return pickled(node, reached)
    except Exception as error:  # pickling runs the __reduce__ of anything: it raises anything
        raise explain(node, error) from error


def _definitions(nodes: list[Node], reached: Reached) -> bytes:
    try:
        return pickled_definitions(reached)
    except Exception as error:
        guilty = next((node for node in nodes if not can_travel(node)), nodes[0])
        raise explain(guilty, error) from error


def _sources(things: Iterable[object], packages: Iterable[str | Path], reached: Reached) -> SourceFiles:
    territory = UserModules(things)
    sources = SourceFiles(territory)
    for place in packages:
        sources.add_package(place)
    package = getattr(sys.modules["__main__"], "__package__", None) or ""
    names = {name for code in reached.codes for name in imports_of_code(code, package)}
    sources.follow(names | reached.modules | set(territory.loaded_at_home()))
    check_size(sources.modules.values())
    return sources


def _script() -> str:
    """The script's path; empty for a notebook."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.abspath(path) if path else ""


def _texts(script: str, reached: Reached) -> dict[str, str]:
    texts = {path: source_text(code) for path, code in reached.files.items()}
    if script:
        texts.setdefault(script, file_text(script))  # where `inspect` looks for classes
    return texts
