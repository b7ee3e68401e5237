"""Code that was pickled by value keeps its file names and lines, whatever cloudpickle does with them."""

from __future__ import annotations

import pickle
import traceback
import types
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

from flowmesh.wire import code_objects

SOURCE = '''
def outer(x, /, y=2, *rest, z, **more):
    """Says so."""
    held = x + y
    def inner():
        nonlocal held
        held += 1
        return [held + item for item in rest], {"z": z} | more
    return inner

def fails(divisor):
    try:
        return 1 / divisor
    except ZeroDivisionError as error:
        raise ValueError("no divisor") from error

async def waits():
    yield 1
'''


@pytest.fixture
def namespace() -> dict[str, Any]:
    defined: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SOURCE, "<cell 3>", "exec"), defined)
    return defined


@pytest.fixture(autouse=True)
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """cloudpickle as it is in some releases, on any."""
    original = cloudpickle.Pickler.dispatch_table[types.CodeType]

    def reduce(code: types.CodeType) -> Any:
        return original(code.replace(co_filename="<dynamic-code>", co_firstlineno=1))

    monkeypatch.setitem(cloudpickle.Pickler.dispatch_table, types.CodeType, reduce)


def through(function: Callable[..., Any]) -> Callable[..., Any]:
    copy = pickle.loads(code_objects.dumps(function))
    assert copy is not function
    return copy  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["outer", "fails", "waits"])
def test_the_code_is_equal(namespace: dict[str, Any], name: str) -> None:
    before, after = namespace[name].__code__, through(namespace[name]).__code__
    assert after == before  # bytecode, names, constants and lines
    assert after.co_filename == "<cell 3>"
    assert list(after.co_positions()) == list(before.co_positions())
    for inner, copy in zip(before.co_consts, after.co_consts, strict=True):
        if isinstance(inner, types.CodeType):
            assert (copy.co_filename, copy.co_firstlineno) == ("<cell 3>", inner.co_firstlineno)


def test_the_copy_works(namespace: dict[str, Any]) -> None:
    inner = through(namespace["outer"])(1, 4, 10, 20, z=3, w=5)
    assert inner() == ([16, 26], {"z": 3, "w": 5})
    assert inner() == ([17, 27], {"z": 3, "w": 5})
    assert through(namespace["outer"]).__doc__ == "Says so."


def test_a_traceback_of_the_copy(namespace: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no divisor") as raised:
        through(namespace["fails"])(0)
    assert '  File "<cell 3>", line 15, in fails' in "".join(traceback.format_exception(raised.value))


def test_large_buffers_stay_out() -> None:
    np = pytest.importorskip("numpy")
    buffers: list[pickle.PickleBuffer] = []
    array = np.arange(100_000)
    stream = code_objects.dumps((array, lambda: 1), buffer_callback=buffers.append)
    assert len(stream) < 5_000
    copy, function = pickle.loads(stream, buffers=buffers)
    assert (copy == array).all()
    assert function() == 1
