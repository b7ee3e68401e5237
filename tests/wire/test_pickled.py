"""Pickles: what stays out of them, what they can't be made of or read from, and their refusal."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from flowmesh.errors import ChunkError, PickleRefused
from flowmesh.wire import pickled

FRAME = np.arange(60_000, dtype=np.uint8).reshape(100, 200, 3)


class Trap:
    """Can be pickled, but not read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("1 / 0",)


def test_large_buffers_stay_out_of_the_pickle_and_are_not_copied() -> None:
    stream, buffers = pickled.dump("x", {"a": FRAME, "b": [FRAME.T, bytearray(b"mutable")]})
    assert len(stream) < 1000
    assert [len(buffer) for buffer in buffers] == [FRAME.nbytes, FRAME.nbytes]
    assert all(np.shares_memory(np.frombuffer(buffer, np.uint8), FRAME) for buffer in buffers)
    value = pickled.load(stream, buffers)
    assert np.shares_memory(value["a"], FRAME)
    assert value["b"][1] == b"mutable"


def test_the_buffers_of_another_layout_are_copied_into_one_run() -> None:
    stream, buffers = pickled.dump("x", [FRAME[::2, ::2]])
    assert np.array_equal(pickled.load(memoryview(stream), buffers)[0], FRAME[::2, ::2])


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"", "EOFError"),
        (b"\x80\x05N", "EOFError|UnpicklingError"),
        (pickle.dumps(Trap()), "ZeroDivisionError: division by zero"),
        (pickle.dumps(Trap).replace(b"Trap", b"Trip"), "AttributeError: .*Trip"),
        (pickle.dumps(pickle.PickleBuffer(b"x"), 5, buffer_callback=lambda buffer: None), "UnpicklingError"),
    ],
)
def test_a_pickle_that_cannot_be_read_says_why(stream: bytes, text: str) -> None:
    with pytest.raises(ChunkError, match=f"the value can't be unpickled: ({text})") as caught:
        pickled.load(stream, [])
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {"a": [1, 2, 3, np.ones((2, 2)).view(np.matrix)]},
            "record 'x': ['a'][3]: a numpy.matrix, which goes only as a pickle",
        ),
        ([FRAME], "record 'x': [0]: a numpy.ndarray, which goes only as a pickle"),
        (2j, "record 'x': a complex, which goes only as a pickle"),
    ],
)
def test_a_refusal_leads_to_what_is_in_the_way(value: Any, text: str) -> None:
    with pytest.raises(PickleRefused) as caught:
        pickled.refuse("x", value)
    assert str(caught.value).startswith(text)
    assert "send arrays as records of their own" in str(caught.value)
    assert isinstance(caught.value, ChunkError)
