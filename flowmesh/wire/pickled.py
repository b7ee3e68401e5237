"""Pickled values: all that are not plain, by pickle protocol 5, with large buffers as separate blobs.

A pickle can run any code of its sender. It is therefore read only from senders that may run code here anyway (the nodes
of a graph, the user's own files), and a worker can refuse all pickles: `refuse`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..errors import ChunkError, PickleRefused
from . import plain

_Dumps = Callable[..., bytes]


def dump(name: str, value: Any) -> tuple[bytes, list[memoryview]]:
    """Pickle the value; its buffers are contiguous bytes that are not copied. `name`: its record's name.

    Raises:
        ChunkError: neither pickle nor cloudpickle can write it.
    """
    try:
        return _dumped(pickle.dumps, value)
    except Exception:  # whatever the value's own __reduce__ raises
        return _dumped_by_value(name, value)


def load(stream: bytes | memoryview, buffers: Sequence[bytes | memoryview]) -> Any:
    """Unpickle a value; `buffers` are not copied.

    Raises:
        ChunkError: it can't be unpickled.
    """
    try:
        return pickle.loads(stream, buffers=buffers)
    except Exception as error:  # whatever the value's own code raises
        raise ChunkError(f"the value can't be unpickled: {type(error).__name__}: {error}") from error


def refuse(name: str, value: Any) -> NoReturn:
    """Raise PickleRefused for a record that can't be sent without pickle; the text names the part that prevents it."""
    raise PickleRefused(
        f"record {name!r}: {plain.obstacle(value)}, which goes only as a pickle, and a worker that it goes to refuses pickles:"
        " send arrays as records of their own, and else None, bool, int, float, str, bytes, and lists and dicts by str"
    )


def _dumped_by_value(name: str, value: Any) -> tuple[bytes, list[memoryview]]:
    from .code_objects import dumps  # on first use: few nodes send what pickle can't write

    try:
        return _dumped(dumps, value)
    except Exception as error:
        raise ChunkError(f"record {name!r}: {plain.described(value)} can't be sent: {error}") from error


def _dumped(dumps: _Dumps, value: Any) -> tuple[bytes, list[memoryview]]:
    buffers: list[pickle.PickleBuffer] = []
    stream = dumps(value, protocol=5, buffer_callback=buffers.append)
    return stream, [buffer.raw() for buffer in buffers]
