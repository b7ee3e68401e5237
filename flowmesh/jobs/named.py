"""Functions that live on a worker, in a file of its owner: one of them by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import TaskError


def named_function(path: str, name: str) -> Callable[..., Any]:
    """The function of that name, from the file, which runs once in this process.

    Raises:
        TaskError: there is no such file or function.
    """
    if not path:
        raise TaskError(f"this worker has no functions by name, and was asked for {name!r}")
    function = getattr(_module(path), name, None)
    if not callable(function):
        raise TaskError(f"the file of functions {path!r} has no function {name!r}")
    return function  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"the file of functions {path!r} must be a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
