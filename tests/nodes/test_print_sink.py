"""Print: what stands in the lines, how many there are, and that they appear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowmesh.chunk import DataChunk
from flowmesh.errors import GraphError
from flowmesh.nodes import Print
from flowmesh.nodes.print_sink import described

from ..conftest import Script
from .conftest import chunk_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((4, 6, 3), np.uint8), "uint8[4, 6, 3]"),
        (np.float32(1.5), "np.float32(1.5)"),
        ([np.zeros((2, 3)), np.zeros(5)], "[float64[2, 3], float64[5]]"),
        ({"boxes": np.zeros((7, 4), np.int32)}, "{'boxes': int32[7, 4]}"),
        (b"a" * 1000, "bytes[1000]"),
        (memoryview(b"abc"), "memoryview[3]"),
        (None, "None"),
        (0.25, "0.25"),
        ("one\ntwo", r"'one\ntwo'"),
    ],
)
def test_values_are_told_in_short(value: Any, text: str) -> None:
    assert described(chunk_of(it=value)) == f"it {text}"


@pytest.mark.parametrize("value", ["a" * 10_000, list(range(10_000)), {n: n for n in range(10_000)}, object()])
def test_nothing_is_longer_than_a_line(value: Any) -> None:
    text = described(chunk_of(it=value))
    assert len(text) < 100
    assert "\n" not in text


def test_a_value_that_can_not_even_be_shown_stops_nothing() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "Broken" in described(chunk_of(it=Broken()))


def test_records_are_in_their_order_and_none_is_empty() -> None:
    assert described(chunk_of(b=1, a=2)) == "b 1, a 2"
    assert described(DataChunk()) == "empty"


def test_each_nth_of_each_sender(capsys: pytest.CaptureFixture[str]) -> None:
    node = Print("print", every=3)
    node.setup()
    for number in range(5):
        node.step({"left": chunk_of(n=number), "right": chunk_of(n=-number)})
    assert capsys.readouterr().out == "left 0: n 0\nright 0: n 0\nleft 0: n 3\nright 0: n -3\n"


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2"])
def test_every_is_a_whole_number(every: Any) -> None:
    with pytest.raises(GraphError, match="every is a whole number"):
        Print("print", every=every)


PROGRAM = """
import flowmesh as fm
from flowmesh.nodes import Print, TestPattern

graph = fm.Graph()
graph.add_edge(TestPattern("film", width=320, height=240, frames=4), Print("print", every=2))

if __name__ == "__main__":
    fm.run(graph{options})
"""


@pytest.mark.parametrize("options", ["", ", inline=True"], ids=["worker", "inline"])
def test_the_lines_appear(script: Script, options: str) -> None:
    ended = script(PROGRAM.format(options=options))
    assert ended.stdout == "film 1: frame uint8[240, 320, 3], index 0\nfilm 3: frame uint8[240, 320, 3], index 2\n"
