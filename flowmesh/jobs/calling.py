"""Calls and values as pickles. A Task in an argument, or in what a call returns, goes as its number.

The code of functions goes as a graph's does: definitions of `__main__` once, by value, and the modules beside the script as
source. It is packed anew when a call reaches something that was not packed before, or that was defined anew.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ShippingError, TaskError
from ..shipping.bundle import pack_definitions
from ..shipping.pickle_errors import find_culprit
from ..shipping.pickling import Reached, ShippingPickler
from ..wire.job_messages import INLINE_LIMIT, TaskValue
from ..wire.plan_specs import encode_code
from .future import Task, TaskCall


class _Local(threading.local):
    """What this thread is pickling or unpickling.

    Attributes:
        refer: called with each Task that is pickled; gives the number that stands for it.
        resolve: called with each number; gives the value that it stands for.
    """

    refer: Callable[[Task], int] | None = None
    resolve: Callable[[int], Any] | None = None


_local = _Local()


def refer_to(task: Task) -> tuple[Any, ...]:
    """How a Task is pickled inside of a call or a result."""
    if _local.refer is None:
        raise TypeError(f"{task!r} can't be pickled: give it to submit() as an argument, or return it from a task")
    return value_of, (_local.refer(task),)


def value_of(number: int) -> Any:
    """What a Task's number is unpickled as: the task's value."""
    if _local.resolve is None:
        raise TypeError("a task's value is known only where a call or a result is unpickled")
    return _local.resolve(number)


def pickle_with_tasks(value: Any, refer: Callable[[Task], int], reached: Reached) -> bytes:
    """A pickle in which each Task is a number, with the definitions of `__main__` by name."""
    before, _local.refer = _local.refer, refer
    try:
        with io.BytesIO() as file:
            ShippingPickler(file, reached, by_name=True).dump(value)
            return file.getvalue()
    finally:
        _local.refer = before


def unpickle_with_values(data: bytes, values: Mapping[int, TaskValue]) -> Any:
    """What `pickle_with_tasks` has pickled, with the values of the tasks in their places."""

    def resolve(number: int) -> Any:
        return unpickle_value(values[number])

    before, _local.resolve = _local.resolve, resolve
    try:
        return pickle.loads(data)
    finally:
        _local.resolve = before


def unpickle_value(value: TaskValue) -> Any:
    """The value of a task that is done."""
    return unpickle_with_values(value.data, value.parts)


class CallPacker:
    """Packs the calls of one submitter, and the code that they need.

    Args:
        packages: folders (or single Python files) that are shipped whole, as packages of their names.
    """

    def __init__(self, packages: Iterable[str | Path] = ()) -> None:
        self._packages = tuple(packages)
        self._reached = Reached()
        self._codes_seen: set[int] = set()
        self._things: dict[int, Any] = {}

    def pack(self, call: TaskCall, own: Callable[[Task], bool]) -> tuple[bytes, tuple[int, ...], bytes | None]:
        """The call, the numbers of the tasks that it needs, and new code if it needs any that was not packed before.

        Args:
            own: whether a Task is one of this submitter's.

        Raises:
            ShippingError: something can't be pickled; the text leads to it.
            TaskError: a Task is of another Manager, or the call is too large.
        """
        needs: dict[int, None] = {}

        def refer(task: Task) -> int:
            if not own(task):
                raise TaskError(f"{task!r} belongs to another Manager or program: use its result() as the argument")
            needs[task.number] = None
            return task.number

        reached = Reached()
        function = None if call.options.get("function") else call.function
        parts = (function, call.args, call.kwargs, call.options.get("validate"), call.unpack)
        try:
            data = pickle_with_tasks(parts, refer, reached)
        except TaskError:
            raise
        except Exception as error:  # pickling runs the __reduce__ of anything: it raises anything
            raise _explained(call, error) from error
        if len(data) > INLINE_LIMIT:
            raise TaskError(
                f"a call must have at most {INLINE_LIMIT} bytes with its arguments, got {len(data)}: "
                "put large data into a file that the workers can read"
            )
        return data, tuple(needs), self._new_code(call, reached)

    def _new_code(self, call: TaskCall, reached: Reached) -> bytes | None:
        """The code of all calls so far, if this one has reached something new."""
        known = self._reached
        is_new = bool(reached.modules - known.modules) or not self._things
        known.modules |= reached.modules
        for name, thing in reached.definitions.items():
            if known.definitions.get(name, known) is not thing:
                known.definitions[name], is_new = thing, True
        for code in reached.codes:
            if id(code) not in self._codes_seen:
                self._codes_seen.add(id(code))
                known.codes.append(code)  # it lives as long as its number counts
                is_new = True
        for path, code in reached.files.items():
            if path not in known.files:
                known.files[path], is_new = code, True
        if not is_new:
            return None
        self._things[len(self._things)] = call.function
        try:
            packed = encode_code(pack_definitions(list(self._things.values()), self._packages, known))
        except ShippingError:
            raise
        except Exception as error:
            raise _explained(call, error) from error
        if len(packed) > INLINE_LIMIT:
            raise TaskError(
                f"the code of an executor's functions must have at most {INLINE_LIMIT} bytes, got {len(packed)}"
            )
        return packed


def _explained(call: TaskCall, error: Exception) -> ShippingError:
    from .future import name_of

    name = name_of(call.function)
    things = {name: call.function} | {f"argument {place} of {name}": arg for place, arg in enumerate(call.args, 1)}
    things |= {f"argument {key!r} of {name}": value for key, value in call.kwargs.items()}
    for path, thing in things.items():
        if culprit := find_culprit(thing, path):
            return ShippingError(f"the call of {name!r} can't be shipped: {culprit}; make it inside of the function")
    return ShippingError(f"the call of {name!r} can't be shipped: {type(error).__name__}: {error}")
