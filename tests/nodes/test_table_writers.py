"""CsvWriter and JsonLinesWriter: a line for each chunk, with its number and time; in a real file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowmesh.chunk import DataChunk, Nanoseconds, Stamp
from flowmesh.errors import ChunkError, FlowmeshError, GraphError
from flowmesh.nodes import CsvWriter, JsonLinesWriter

TIME = 1_780_000_000_000_000_000


def chunk_of(number: int, **records: Any) -> DataChunk:
    stamp = Stamp(number=number, ns=Nanoseconds(TIME + number, 1000, 0))
    return DataChunk({name: (value, "other") for name, value in records.items()}, stamp)


def write(node: CsvWriter | JsonLinesWriter, chunks: list[DataChunk]) -> None:
    node.setup()
    try:
        for chunk in chunks:
            node.step({"meter": chunk})
    finally:
        node.teardown()


def test_a_csv_file_has_a_column_for_each_plain_value(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    chunks = [chunk_of(n, score=n / 4, box={"x": n, "y": [1, "a,b"]}, mask=np.zeros(3), none=None) for n in range(1, 4)]
    write(CsvWriter("csv", path), chunks)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == ["node", "number", "time", "score", "box.x", "box.y.0", "box.y.1", "none"]
    assert [(row["node"], row["number"], row["score"], row["box.y.1"]) for row in rows] == [
        ("meter", "1", "0.25", "a,b"),
        ("meter", "2", "0.5", "a,b"),
        ("meter", "3", "0.75", "a,b"),
    ]
    assert float(rows[0]["time"]) == pytest.approx((TIME + 1001) / 1e9, abs=1e-6)


def test_a_value_without_a_column_is_an_error_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    with pytest.raises(ChunkError, match=r"no extra.*JsonLinesWriter"):
        write(CsvWriter("csv", path), [chunk_of(1, a=1, b=2), chunk_of(2, a=1), chunk_of(3, extra=1)])
    assert [row["b"] for row in csv.DictReader(path.read_text().splitlines())] == ["2", ""]


def test_json_lines_hold_each_record_that_json_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    write(JsonLinesWriter("jsonl", path), [chunk_of(1, a={"b": [1, None]}, blob=b"x"), chunk_of(2, text="größe")])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"node": "meter", "number": 1, "time_ns": TIME + 1001, "a": {"b": [1, None]}},
        {"node": "meter", "number": 2, "time_ns": TIME + 1002, "text": "größe"},
    ]


@pytest.mark.parametrize("kind", [CsvWriter, JsonLinesWriter])
def test_a_wrong_path_is_refused(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="path must end in"):
        kind("writer", tmp_path / "values.txt")
    ending = ".csv" if kind is CsvWriter else ".jsonl"
    with pytest.raises(FlowmeshError, match="can't be written"):
        kind("writer", tmp_path / "nowhere" / f"values{ending}").setup()
