"""Pickling of `__main__`: classes and functions by value, once per graph; in the nodes' instances by name.

Nothing here chooses what to ship; `Reached` only records what was met on the way.
"""

from __future__ import annotations

import functools
import io
import operator
import pickle
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from ..wire.code_objects import CodePickler
from . import reconstructors

MAIN = "__main__"


class Reached:
    """The parts of `__main__` and the modules that pickling has met.

    Attributes:
        definitions: what `__main__` holds at top level, by its name.
        codes: the code of every function of `__main__`, by name or by value.
        files: what goes by value, one code object of each file or notebook cell.
        modules: the names of the modules that hold all the rest.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self.codes: list[types.CodeType] = []
        self.files: dict[str, types.CodeType] = {}
        self.modules: set[str] = set()


class ShippingPickler(CodePickler):
    """Pickles what `__main__` defines by name or by value; functions get the loading `__main__`'s globals."""

    def __init__(
        self,
        file: Any,
        reached: Reached,
        *,
        by_name: bool,
        buffer_callback: Callable[[pickle.PickleBuffer], None] | None = None,
    ) -> None:
        super().__init__(file, buffer_callback=buffer_callback)
        self._reached = reached
        self._by_name = by_name
        self.globals_ref[id(sys.modules[MAIN].__dict__)] = _MainGlobals()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.CodeType):
            self._reached.files.setdefault(obj.co_filename, obj)
        elif isinstance(obj, types.ModuleType):
            self._reached.modules.add(obj.__name__)
        elif isinstance(obj, type | types.FunctionType | types.BuiltinFunctionType):
            if self._meets(obj):
                return NotImplemented
            if is_single_dispatch(obj) and obj.__module__ == MAIN:
                return _rebuild_single_dispatch(obj)
        elif type(obj) in _REBUILT and obj.__module__ == MAIN:
            return NotImplemented if self._meets(obj) else _REBUILT[type(obj)](obj)
        elif type(obj) is functools.cached_property:
            return reconstructors.cached_property, (obj.func, obj.attrname)
        return super().reducer_override(obj)

    def _meets(self, obj: Any) -> bool:
        """Record `obj`; whether it goes by its name in `__main__`."""
        module = getattr(obj, "__module__", None)
        if module != MAIN:
            self._reached.modules.add(module or "builtins")
            return False
        if isinstance(obj, types.FunctionType):
            self._reached.codes.append(obj.__code__)
        name = _name_in_main(obj)
        if name is None:
            return False
        top = name.partition(".")[0]
        self._reached.definitions[top] = getattr(sys.modules[MAIN], top)
        return self._by_name


def pickled(value: Any, reached: Reached) -> bytes:
    """`value` with the definitions of `__main__` by name, which `reached` then holds."""
    with io.BytesIO() as file:
        ShippingPickler(file, reached, by_name=True).dump(value)
        return file.getvalue()


def pickled_definitions(reached: Reached) -> bytes:
    """All of `reached.definitions` by value, with what they lead to in `__main__`; in one pickle, shared."""
    while True:
        names = dict(reached.definitions)
        with io.BytesIO() as file:
            ShippingPickler(file, reached, by_name=False).dump(names | _package())
            if len(names) == len(reached.definitions):
                return file.getvalue()


class DiscardStream:
    """A file that keeps nothing: to pickle only to see what happens."""

    def write(self, data: Any) -> int:
        return len(data)


def try_pickle(value: Any) -> None:
    """Raise what pickling `value` with all its code raises. Large buffers are not copied."""
    ShippingPickler(DiscardStream(), Reached(), by_name=False, buffer_callback=lambda buffer: None).dump(value)


class _MainGlobals(dict[str, Any]):
    """Stands for the globals of `__main__` in a pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reconstructors.main_globals, ()


def _package() -> dict[str, str]:
    # a script run with -m: its functions import relatively to this
    package = getattr(sys.modules[MAIN], "__package__", None)
    return {"__package__": package} if package else {}


def _name_in_main(obj: Any) -> str | None:
    """The (dotted) name under which `__main__` holds this very object, if it does."""
    name = getattr(obj, "__qualname__", obj.__name__)
    try:
        return name if operator.attrgetter(name)(sys.modules[MAIN]) is obj else None
    except AttributeError:
        return None


def _rebuild_cached(function: Any) -> tuple[Any, ...]:
    options = function.cache_parameters()
    return reconstructors.cached, (function.__wrapped__, options["maxsize"], options["typed"])


def is_single_dispatch(obj: Any) -> bool:
    """Whether `functools.singledispatch` made this function."""
    return getattr(obj, "__code__", None) is _DISPATCHES


def _rebuild_single_dispatch(function: Any) -> tuple[Any, ...]:
    attributes = {name: value for name, value in vars(function).items() if name not in _OF_DISPATCH}
    state = function.__doc__, function.__qualname__, attributes, tuple(function.registry.items())
    return reconstructors.single_dispatch, (function.__name__,), state, None, None, reconstructors.fill_single_dispatch


_dispatching: Any = functools.singledispatch(lambda _: None)
_DISPATCHES = _dispatching.__code__  # all functions that singledispatch makes share this one
_OF_DISPATCH = frozenset(vars(_dispatching)) - {"__wrapped__"}

# Their own way of pickling is a bare name, which the child's `__main__` does not have while it loads.
_REBUILT: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    functools._lru_cache_wrapper: _rebuild_cached,
    typing.NewType: lambda obj: (reconstructors.new_type, (obj.__name__, obj.__supertype__)),
    typing.ParamSpec: lambda obj: (reconstructors.parameter_specification, (obj.__name__,)),
}
