"""The child's side: shipped modules become importable, the script's definitions this process's `__main__`.

Everything that fails here is a ShippingError whose cause is what the user's code, or pickle, raised.
"""

from __future__ import annotations

import pickle
import sys
import types
from typing import Any

from ..errors import ShippingError
from ..node import Node
from ..wire.plan_specs import Code
from .memory_importer import MemoryFinder
from .requirements import differing
from .source_texts import remember_source

__all__ = ["differing", "install", "load_node", "missing_import"]


def install(code: Code) -> None:
    """Serve the modules of `code` and set its definitions into a new `__main__`; earlier shipped code is forgotten.

    The `__main__` is a new module, so that names of the script never meet those of the program that runs this.

    Raises:
        ShippingError: the bytes are damaged, or an import fails.
    """
    _forget()
    finder = MemoryFinder(code.modules)
    _unload(finder)
    sys.meta_path.insert(0, finder)
    main = types.ModuleType("__main__")
    if code.main_path:
        main.__file__ = code.main_path
    sys.modules["__main__"] = main
    for path, source in code.sources.items():
        remember_source(path, source)
    definitions = _load(code.definitions, "the code")
    if not isinstance(definitions, dict):
        raise ShippingError(f"the code that was shipped is damaged: it holds a {type(definitions).__name__}")
    vars(main).update(definitions)


def load_node(instance: bytes) -> Node:
    """The node that `pack_code` pickled; its code must be installed.

    Raises:
        ShippingError: the bytes are damaged, or an import fails.
    """
    node = _load(instance, "the node")
    if not isinstance(node, Node):
        raise ShippingError(f"the node that was shipped is damaged: it is a {type(node).__name__}")
    return node


def missing_import(error: ModuleNotFoundError) -> str:
    """The advice for an import that failed in a node process, while loading or later."""
    top = (error.name or "?").partition(".")[0]
    return (
        f"the code imports {error.name!r}, which is not installed on this worker: "
        f"pip install {top} there, or ship it with packages="
    )


def _load(data: bytes, what: str) -> Any:
    try:
        return pickle.loads(data)
    except ModuleNotFoundError as error:
        raise ShippingError(missing_import(error)) from error
    except Exception as error:  # user code runs here, and damaged bytes raise anything
        raise ShippingError(f"{what} that was shipped can't be loaded: {type(error).__name__}: {error}") from error


def _forget() -> None:
    for finder in [finder for finder in sys.meta_path if isinstance(finder, MemoryFinder)]:
        sys.meta_path.remove(finder)
        _unload(finder)


def _unload(finder: MemoryFinder) -> None:
    """Drop the modules that have the names of shipped ones, with all their submodules, wherever they came from."""
    names = finder.names()
    if not any(name in sys.modules for name in names):
        return  # also because to go through all modules' names dirties a page for nearly each: memory that nodes share
    for loaded in list(sys.modules):
        parts = loaded.split(".")
        if any(".".join(parts[:count]) in names for count in range(1, len(parts) + 1)):
            del sys.modules[loaded]
