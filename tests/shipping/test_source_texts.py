"""Tracebacks, debuggers and `inspect` show the source of shipped code in a process that has no such file."""

from __future__ import annotations

import linecache
from pathlib import Path

import pytest

from flowmesh.shipping.source_texts import file_text, remember_source, source_text

from .harness import PACK, Travel

# Each node gives what one of Python's tools shows of the code that it is asked for.
TOOLS = """
import inspect, io, pdb, traceback
from flowmesh.node import Node

def halve(x):
    y = x / 2  # halve's own line
    return y

double = lambda x: 2 * x  # the lambda's line

class Gets(Node):
    def step(self):
        return [inspect.getsource(halve), inspect.getsource(double), inspect.getsource(type(self).step)]

class Debugs(Node):
    def step(self):
        out = io.StringIO()
        debugger = pdb.Pdb(stdin=io.StringIO("list\\nwhere\\ncontinue\\n"), stdout=out, nosigint=True, readrc=False)
        debugger.set_trace()
        x = halve(3)  # the debugger stops here
        return out.getvalue()

class Given(Node):
    def step(self):
        try:
            return self.function()
        except ZeroDivisionError:
            return traceback.format_exc()

nodes = [Gets(), Debugs(), Given(function=lambda: 1 / 0)]  # the guilty line
"""
HALVE = "def halve(x):\n    y = x / 2  # halve's own line\n    return y\n"


def check(stepped: dict[str, object], file: str) -> None:
    function, function_of_a_line, method = stepped["Gets"]  # type: ignore[misc]
    assert function == HALVE
    assert function_of_a_line == "double = lambda x: 2 * x  # the lambda's line\n"
    assert method.startswith("    def step(self):\n        return [inspect.getsource(halve)")
    debugged = str(stepped["Debugs"])
    assert f"{file}(" in debugged
    assert "->" in debugged
    assert "x = halve(3)  # the debugger stops here" in debugged
    assert "debugger.set_trace()" in debugged  # a line before, which only `list` shows
    given = str(stepped["Given"])
    assert f'File "{file}", line ' in given
    assert "nodes = [Gets(), Debugs(), Given(function=lambda: 1 / 0)]  # the guilty line" in given


def test_a_script(travel: Travel) -> None:
    check(travel(TOOLS), str(travel.app / "script.py"))


def test_a_class_of_a_script(travel: Travel) -> None:
    script = """
import inspect
from flowmesh.node import Node
class Shown(Node):
    def step(self):
        return inspect.getsource(Shown)
nodes = [Shown()]
"""
    assert travel(script)["Shown"] == script.partition("Node\n")[2].partition("nodes")[0]


def test_a_notebook(travel: Travel) -> None:
    """Its cells are known to `linecache` only."""
    notebook = f"""
import linecache, sys
def run(cell, name):
    linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
    exec(compile(cell, name, "exec"), sys.modules["__main__"].__dict__)
run({TOOLS!r}, "<cell 7>")
run({PACK!r}, "<cell 8>")
"""
    check(travel.run(travel.packed(["-c", notebook])), "<cell 7>")


def test_cells_of_one_notebook_are_told_apart(travel: Travel) -> None:
    cells = [
        "import inspect\nfrom flowmesh.node import Node\n",
        "def first(): return 1\n",
        "def second(): return 2\n",
        "class Shown(Node):\n    def step(self): return [inspect.getsource(first), inspect.getsource(second)]\n",
        "nodes = [Shown()]\n",
        PACK,
    ]
    notebook = f"""
import linecache, sys
for number, cell in enumerate({cells!r}):
    name = f"/tmp/kernel_17/{{number}}.py"
    linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
    exec(compile(cell, name, "exec"), sys.modules["__main__"].__dict__)
"""
    assert travel.run(travel.packed(["-c", notebook]))["Shown"] == [cells[1], cells[2]]


def test_a_function_of_a_sibling_that_is_never_imported_there(travel: Travel) -> None:
    travel.write({"beside.py": "def maker(x):\n    return lambda: x / 0  # beside\n"})
    script = """
import beside
from flowmesh.node import Node
class Given(Node):
    def step(self):
        return self.function()
nodes = [Given(function=beside.maker(1))]
"""
    error = travel(script)["error"]
    assert "return lambda: x / 0  # beside" in error
    assert str(travel.app / "beside.py") in error


def test_code_whose_source_nobody_knows_travels_without(travel: Travel) -> None:
    script = """
from flowmesh.node import Node
exec(compile('''
def fails():
    return 1 / 0
class Given(Node):
    def step(self):
        return fails()
''', "<made up>", "exec"))
nodes = [Given()]
"""
    error = travel(script)["error"]
    assert '  File "<made up>", line 3, in fails\nZeroDivisionError' in error


def test_texts_are_those_of_the_file_today(tmp_path: Path) -> None:
    path = tmp_path / "grows.py"
    path.write_text("x = 1\n")
    code = compile(path.read_text(), str(path), "exec")
    assert (source_text(code), file_text(str(path))) == ("x = 1\n", "x = 1\n")
    path.write_text("x = 1\ny = 2\n")
    assert (source_text(code), file_text(str(path))) == ("x = 1\ny = 2\n", "x = 1\ny = 2\n")
    path.write_bytes(b"\xff\xfe")
    assert (source_text(code), file_text(str(path))) == ("", "")
    assert file_text(str(path.with_name("missing.py"))) == ""


def test_a_remembered_text_hides_the_file_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "other.py"
    path.write_text("what is here\n")
    remember_source(str(path), "what was there\n")
    try:
        linecache.checkcache(str(path))
        assert linecache.getline(str(path), 1) == "what was there\n"
    finally:
        del linecache.cache[str(path)]


@pytest.mark.parametrize("text", ["", "no end of line", "a\r\nb\n"])
def test_any_text_is_remembered(text: str) -> None:
    remember_source("<any>", text)
    assert "".join(linecache.cache.pop("<any>")[2]) == text  # type: ignore[misc]
