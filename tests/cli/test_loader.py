"""Which graph is taken from a file, and what is told where there is none, or several, or the file can't be run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import COUNTING, Ended

Write = Callable[[str, str], Path]

NODES = """
import flowmesh as fm
from flowmesh import Graph
class Source(fm.Node):
    def step(self): raise fm.EndOfStream
class Sink(fm.Node):
    def step(self, data): pass
def joined(name):
    graph = fm.Graph()
    graph.add_edge(Source(name=name), Sink(name="sink"))
    return graph
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("graph = joined('one')", ""),
        ("graph = again = joined('one')", ""),
        ("def build() -> fm.Graph: return joined('one')", ""),
        ("def build() -> 'Graph': return joined('one')", ""),
        ("from __future__ import annotations\ndef build() -> Graph: return joined('one')", ""),
        ("graph = joined('one')\ndef build() -> fm.Graph: return joined('two')", ""),
        ("a, b = joined('one'), joined('two')", ":a"),
        ("def build(name='one'): return joined(name)", ":build"),
        ("graph = joined('one')\nif __name__ == '__main__': 1 / 0", ""),
        ("graph = joined('one')\nif '__main__' == __name__: 1 / 0", ""),
        ("graph = joined('one' if __name__ != '__main__' else 'two')", ""),
    ],
)
def test_the_graph_is_found(text: str, wanted: str, write: Write, flowmesh: Ended) -> None:
    head, future, rest = text.partition("from __future__ import annotations\n")
    write("file.py", f"{future}{NODES}{rest}" if future else f"{NODES}{head}")
    ended = flowmesh("graph", f"file.py{wanted}")
    assert ended.returncode == 0, ended.stderr
    assert 'n0["one"]' in ended.stdout


@pytest.mark.parametrize(
    ("text", "wanted", "told"),
    [
        ("", "", "file.py has no graph: write `graph = flowmesh.Graph()`"),
        (
            "a, b = joined('one'), joined('two')",
            "",
            "several graphs, say which one is meant: file.py:a, file.py:b",
        ),
        ("a = joined('one')", ":b", "file.py has no 'b'; its graphs are: a"),
        ("a = 5", ":a", "'a' of file.py gives no Graph, but something of type int; its graphs are: none"),
        ("def a() -> fm.Graph: ...\ndef b() -> fm.Graph: ...", "", "file.py:a, file.py:b"),
        ("def a(): ...", ":a", "something of type NoneType"),
    ],
)
def test_where_none_is_meant_it_is_told(text: str, wanted: str, told: str, write: Write, flowmesh: Ended) -> None:
    write("file.py", NODES + text)
    ended = flowmesh("check", f"file.py{wanted}")
    assert ended.returncode == 2
    assert told in ended.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import nowhere", "No module named 'nowhere'"),
        ("raise SystemExit('enough')", "ends itself by SystemExit('enough')"),
        ("def f(:", "can't be read as Python: File"),
        ("\0", "can't be read as Python"),
        ("import flowmesh as fm\nfm.Graph().add_node('film')", "no node 'film' is in the graph"),
        ("import flowmesh as fm\ndef build() -> fm.Graph: return 1 / 0", "build() of file.py raised ZeroDivisionError"),
        ("import flowmesh as fm\ndef build() -> fm.Graph: return fm.Graph().add_node('film')", "no node 'film'"),
    ],
)
def test_a_file_that_can_not_be_run_is_1_and_shows_its_own_lines(
    text: str, told: str, write: Write, flowmesh: Ended
) -> None:
    write("file.py", text)
    ended = flowmesh("check", "file.py")
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "file.py" in ended.stderr
    assert "flowmesh/" not in ended.stderr


def test_a_check_tells_what_each_sink_is_promised(write: Write, flowmesh: Ended) -> None:
    write("counting.py", COUNTING)
    ended = flowmesh("check", "counting.py")
    assert ended.returncode == 0
    assert ended.stdout.startswith(
        "nothing is wrong with 2 nodes and 1 edge\ntake: every chunk, in order, exactly once"
    )
    told = json.loads(flowmesh("check", "counting.py", "--json").stdout)
    assert (told["ok"], told["errors"]) == (True, [])
    assert told["guarantees"]["take"]["delivery"] == "every chunk, in order, exactly once"


def test_a_check_finds_all_errors_at_once(write: Write, flowmesh: Ended) -> None:
    wrong = """
import threading
class Odd(fm.Node):
    def step(self, one, two, three): pass
graph = joined('one')
graph.add_edge('sink', Odd(name='odd'))
graph.add_edge('odd', Odd(name='end', lock=threading.Lock()))
graph.add_edge('end', 'sink')
"""
    write("file.py", NODES + wrong)
    ended = flowmesh("check", "file.py")
    assert ended.returncode == 1
    assert "form a cycle" in ended.stdout
    assert ended.stdout.count("write step(self, data)") == 2
    assert "lock" in ended.stdout.splitlines()[-1]
    told = json.loads(flowmesh("check", "file.py", "--json").stdout)
    assert (told["ok"], len(told["errors"]), told["guarantees"]) == (False, len(ended.stdout.splitlines()), {})


def test_pictures_in_every_format(write: Write, flowmesh: Ended, tmp_path: Path) -> None:
    write("counting.py", COUNTING)
    assert flowmesh("graph", "counting.py").stdout.startswith("flowchart LR\n")
    assert flowmesh("graph", "counting.py", "--format", "svg").stdout.startswith("<svg")
    assert '"count" -> "take"' in flowmesh("graph", "counting.py", "--format", "dot").stdout
    for name, begins in (("a.png", b"\x89PNG"), ("a.svg", b"<svg"), ("a.dot", b"digraph"), ("a.md", b"flowchart")):
        assert flowmesh("graph", "counting.py", "-o", name).returncode == 0
        assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_that_can_not_be_written_is_1(kind: str, write: Write, flowmesh: Ended) -> None:
    write("counting.py", COUNTING)
    ended = flowmesh("graph", "counting.py", "--format", kind, "-o", "missing/picture")
    assert ended.returncode == 1
    assert "can't be written" in ended.stderr
