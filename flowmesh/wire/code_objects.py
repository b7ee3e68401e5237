"""Pickles of functions and classes by value, whose code keeps the names of its files and its line numbers.

cloudpickle selects what is pickled by value. Code objects are written here: some of its releases drop their file names,
without which tracebacks, debuggers and `inspect` find no source.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any

import cloudpickle

# All that `types.CodeType.replace` takes; both ends run the same minor version of Python.
_FIELDS = (
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_nlocals",
    "co_stacksize",
    "co_flags",
    "co_firstlineno",
    "co_code",
    "co_consts",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_filename",
    "co_name",
    "co_qualname",
    "co_linetable",
    "co_exceptiontable",
)
_template = (lambda: None).__code__


def code_object(*values: Any) -> types.CodeType:
    """The code object with these values of its fields. Named in pickles, so its name stays."""
    return _template.replace(**dict(zip(_FIELDS, values, strict=True)))


class CodePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is untyped
    """cloudpickle's pickler, except for code objects and open files."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.CodeType):
            return code_object, tuple(getattr(obj, field) for field in _FIELDS)
        if type(obj) is io.TextIOWrapper and obj is not sys.stdout and obj is not sys.stderr:
            # cloudpickle would read the file to its end and send a StringIO
            raise pickle.PicklingError(f"cannot pickle the open file {obj.name!r}")
        return super().reducer_override(obj)


def dumps(
    value: object, *, protocol: int = 5, buffer_callback: Callable[[PickleBuffer], object] | None = None
) -> bytes:
    """`value` pickled as `cloudpickle.dumps` does it, with the files and lines of its code.

    Raises:
        Exception: what the value's own `__reduce__` raises; PicklingError or TypeError for what can't be pickled.
    """
    with io.BytesIO() as file:
        CodePickler(file, protocol, buffer_callback).dump(value)
        return file.getvalue()
