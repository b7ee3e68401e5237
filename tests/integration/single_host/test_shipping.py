"""A script's code goes to the workers with all that it needs, and what can't go is named before anything is sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ...conftest import Script
from .conftest import DEADLINE, Lines

# Stands before each script; `told` prints what the source returned, in the node's process.
HEAD = """
import flowmesh as fm
class Told(fm.Node):
    def step(self, data):
        print(*data["source"].get("default")["value"], flush=True)
class Once(fm.Node):
    def step(self):
        for value in self.values():
            self.emit(value)
        raise fm.EndOfStream
def go(source, **options):
    graph = fm.Graph()
    graph.add_edge(source, Told(name="told"))
    if __name__ == "__main__":
        fm.run(graph, progress=False, **options)
"""

MAIN = """
import collections, dataclasses, enum, functools, json, math
import numpy as np
from collections import Counter as Tally
LIMIT = 3
TABLE = {"a": [1, 2]}
class Mode(enum.Enum):
    FAST = 1
@dataclasses.dataclass
class Settings:
    mode: Mode = Mode.FAST
    names: list = dataclasses.field(default_factory=list)
def helper(x):
    return deeper(x) + LIMIT
def deeper(x):
    return math.floor(x) if x > 0 else helper(1.5)
@functools.lru_cache
def cached(x):
    return json.dumps([x, len(TABLE["a"])])
class Base(Once):
    factor = 10
    def scale(self, x):
        return self.factor * x
class Source(Base):
    def values(self):
        global LIMIT
        yield helper(2.5), helper(-1), cached(1), cached(1)
        yield self.scale(2), super().scale(3), self.function(4), self.partial(1)
        yield self.settings, self.settings.mode is Mode.FAST, isinstance(self.settings, Settings)
        yield Tally("aab")["a"], collections.OrderedDict(a=1)["a"], int(np.arange(3).sum()), Mode["FAST"].name
        LIMIT = 100
        yield helper(1.0), [c.__name__ for c in type(self).__mro__[:2]], type(self).__module__
limit = 5
go(Source(name="source", function=lambda x: x * limit, settings=Settings(names=["x"]), partial=functools.partial(max, 7)))
"""


def test_the_script_s_own_names(lines: Lines) -> None:
    assert lines(HEAD + MAIN) == [
        "5 7 [1, 2] [1, 2]",
        "20 30 20 7",
        "Settings(mode=<Mode.FAST: 1>, names=['x']) True True",
        "2 1 3 FAST",
        "101 ['Source', 'Base'] __main__",
    ]


SIBLINGS = """
import shapes
from tools.measure import length
from tools import *
class Source(Once):
    def values(self):
        import lazy
        from tools.deep import level
        yield shapes.Square(3).area(), length("four"), lazy.WORD, level.LEVEL, STARRED
        yield shapes.Square(2), isinstance(self.square, shapes.Square), self.square.area()
go(Source(name="source", square=shapes.Square(5)))
"""
SIBLING_FILES = {
    "shapes.py": """
import dataclasses
from tools import measure
@dataclasses.dataclass
class Square:
    side: int
    def area(self):
        return measure.times(self.side, self.side)
""",
    "lazy.py": "from lazier import WORD\n",
    "lazier.py": "WORD = 'lazily'\n",
    "tools/__init__.py": "STARRED = '*'\n",
    "tools/measure.py": "from .deep.level import LEVEL\nlength = len\ndef times(a, b):\n    return a * b * LEVEL\n",
    "tools/deep/__init__.py": "",
    "tools/deep/level.py": "LEVEL = 1\n",
}


def test_sibling_modules_also_those_imported_late(lines: Lines, tmp_path: Path) -> None:
    """The workers' directory is another one: they can only have them from the script's process."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    said = lines(HEAD + SIBLINGS, files=SIBLING_FILES, cwd=elsewhere)
    assert said == ["9 4 lazily 1 *", "Square(side=2) True 25"]


PACKAGES = """
import sys
from pathlib import Path
class Source(Once):
    def values(self):
        import gear
        from gear import wheels
        yield gear.resource(), gear.beside(), wheels.COUNT, gear.listed()
go(Source(name="source"), packages=[Path(__file__).parent / "elsewhere" / "gear"], workers=2)
"""
PACKAGE_FILES = {
    "elsewhere/gear/__init__.py": """
import importlib.resources, pkgutil
from pathlib import Path
def resource():
    return importlib.resources.files("gear").joinpath("data/model.txt").read_text()
def beside():
    return pkgutil.get_data("gear", "data/model.txt").decode() + str(Path(__file__).name)
def listed():
    return sorted(entry.name for entry in importlib.resources.files("gear").joinpath("data").iterdir())
""",
    "elsewhere/gear/wheels.py": "COUNT = 4\n",
    "elsewhere/gear/data/model.txt": "weights",
    "elsewhere/gear/data/other.bin": "x",
}


def test_packages_go_with_their_data(lines: Lines) -> None:
    assert lines(HEAD + PACKAGES, files=PACKAGE_FILES) == ["weights weights__init__.py 4 ['model.txt', 'other.bin']"]


UNPICKLABLE = """
import threading
class Camera:
    def __init__(self):
        self.lock = threading.Lock()
class Source(Once):
    def setup(self):
        print("it was sent")
go(Source(name="source", options={"camera": Camera()}))
"""


def test_what_can_t_be_pickled_is_named_before_anything_is_sent(script: Script) -> None:
    done = script(HEAD + UNPICKLABLE)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("flowmesh.errors.ShippingError: node 'source'")
    assert "source.options['camera'].lock is a _thread.lock" in last
    assert "setup()" in last
    assert done.stdout == ""


MISSING = """
import sys, types
only_here = types.ModuleType("only_here")
only_here.VALUE = 1
sys.modules["only_here"] = only_here
class Source(Once):
    def values(self):
        import only_here
        yield only_here.VALUE,
go(Source(name="source"))
"""


def test_an_import_that_a_worker_lacks_is_named(script: Script) -> None:
    done = script(HEAD + MISSING)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("the code imports 'only_here', which is not installed on this worker: pip install only_here")
    assert "'source' on worker 'local-1' failed in step" in done.stderr


def test_a_module_that_only_the_script_can_find_is_named(script: Script, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "site-packages").mkdir()
    (tmp_path / "hidden" / "site-packages" / "vendored.py").write_text("class Thing:\n    pass\n")
    source = """
import sys
sys.path.append(HERE)
import vendored
class Source(Once):
    def values(self):
        yield 1,
go(Source(name="source", thing=vendored.Thing()))
"""
    done = script(HEAD + source.replace("HERE", repr(str(tmp_path / "hidden" / "site-packages"))))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("the code imports 'vendored', which is not installed on this worker: pip install vendored")


def test_a_traceback_shows_the_script_s_lines(script: Script) -> None:
    done = script(
        HEAD + "class Source(Once):\n    def values(self):\n        yield 1 / 0  # here\ngo(Source(name='source'))\n"
    )
    assert done.returncode == 1
    assert "yield 1 / 0  # here" in done.stderr
    assert "script.py" in done.stderr
    assert "ZeroDivisionError" in done.stderr.strip().splitlines()[-1]


TOOLS = """
import inspect, io, pdb
def halve(x):
    return x / 2  # halve
class Source(Once):
    def values(self):
        yield inspect.getsource(halve), inspect.getsource(Source).partition(":")[0]
        out = io.StringIO()
        debugger = pdb.Pdb(stdin=io.StringIO("list\\ncontinue\\n"), stdout=out, nosigint=True, readrc=False)
        debugger.set_trace()
        listed = 1  # the line that pdb stops at
        yield out.getvalue(),
"""


def test_source_is_there_for_inspect_and_debuggers(lines: Lines, tmp_path: Path) -> None:
    said = "\n".join(lines(HEAD + TOOLS + "go(Source(name='source'))\n"))
    assert said.startswith("def halve(x):\n    return x / 2  # halve\n class Source(Once)")
    assert f"> {tmp_path}/script.py(" in said
    assert "->\t        listed = 1  # the line that pdb stops at" in said
    assert "debugger.set_trace()" in said


def test_source_is_there_for_a_notebook_s_cells(lines: Lines) -> None:
    cell = HEAD + TOOLS.replace(', inspect.getsource(Source).partition(":")[0]', ",") + "go(Source(name='source'))\n"
    notebook = f"""
import linecache, sys
del __file__
cell = {cell!r}
linecache.cache["<cell 4>"] = (len(cell), None, cell.splitlines(keepends=True), "<cell 4>")
exec(compile(cell, "<cell 4>", "exec"), vars(sys.modules["__main__"]))
"""
    said = "\n".join(lines(notebook))
    assert said.startswith("def halve(x):\n    return x / 2  # halve\n")
    assert "> <cell 4>(" in said
    assert "->\t        listed = 1  # the line that pdb stops at" in said


NOTEBOOK_CELLS = [
    "import flowmesh as fm\nfactor = 3\ndef times(x):\n    return factor * x\n",
    "class Source(fm.Node):\n    def setup(self):\n        self.n = 0\n    def step(self):\n        self.n += 1\n"
    "        if self.n > 3:\n            raise fm.EndOfStream\n        return times(self.n)\n",
    "class Sink(fm.Node):\n    def setup(self):\n        self.got = []\n    def step(self, data):\n"
    "        self.got.append(data['source'].get('default')['value'])\n    def teardown(self):\n"
    "        print(self.got, flush=True)\n",
    "graph = fm.Graph()\ngraph.add_edge(Source(name='source'), Sink(name='sink'))\nfm.run(graph, progress=False)\n",
    "factor = 10\nfm.run(graph, progress=False)\n",
]
# Each cell is compiled under a name of its own, in one `__main__` without a file, as notebooks do.
NOTEBOOK = """
import code, sys
del __file__
shell = code.InteractiveInterpreter(vars(sys.modules["__main__"]))
for number, cell in enumerate(CELLS):
    assert shell.runsource(cell, f"<cell {number}>", "exec") is False
"""


def test_a_notebook(lines: Lines) -> None:
    assert lines(NOTEBOOK.replace("CELLS", repr(NOTEBOOK_CELLS))) == ["[3, 6, 9]", "[10, 20, 30]"]


def test_a_program_from_standard_input(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        check=False, cwd=tmp_path, input="".join(NOTEBOOK_CELLS), capture_output=True, text=True, timeout=DEADLINE,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[3, 6, 9]\n[10, 20, 30]\n", "")


OTHER_VERSION = """
import sys, flowmesh as fm
if __name__ == "__main__":
    manager = fm.Manager()
    worker = fm.Worker(name="local")
    try:
        worker.connect(host=manager.host, port=manager.port)
    except fm.LinkError as error:
        print(error)
    print(manager.workers)
    manager.shutdown()
"""
# Python imports it at its start: the daemon believes to be another flowmesh, or to run on another Python.
FLOWMESH = """
import sys
if "flowmesh.daemon" in " ".join(sys.orig_argv):
    import flowmesh
    flowmesh.__version__ = "9.9.9"
"""
PYTHON = """
import sys, types
if "flowmesh.daemon" in " ".join(sys.orig_argv):
    import flowmesh.daemon.host_info
    flowmesh.daemon.host_info.sys = types.SimpleNamespace(version_info=types.SimpleNamespace(major=3, minor=99))
"""


def refused(script: Script, patch: str, tmp_path: Path) -> list[str]:
    source = f"import os; os.environ['PYTHONPATH'] += ':{tmp_path}'\n{OTHER_VERSION}"
    done = script(source, files={"sitecustomize.py": patch})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_another_flowmesh_is_refused(script: Script, tmp_path: Path) -> None:
    text, workers = refused(script, FLOWMESH, tmp_path)
    assert "it runs flowmesh 9.9.9, the Manager 0." in text
    assert "install the same version on both" in text
    assert workers == "()"


def test_another_python_is_refused(script: Script, tmp_path: Path) -> None:
    text, workers = refused(script, PYTHON, tmp_path)
    assert "it runs Python 3.99, the Manager 3." in text
    assert workers == "()"


OTHER_PACKAGE = """
import importlib.metadata, sys
if "flowmesh.forkserver.server" in " ".join(sys.orig_argv):
    true = importlib.metadata.version
    importlib.metadata.version = lambda name: "0.0.1" if name == "numpy" else true(name)
"""


def test_another_version_of_a_package_is_warned_of(script: Script, tmp_path: Path) -> None:
    source = f"import os; os.environ['PYTHONPATH'] += ':{tmp_path}'\nimport numpy as np\n{HEAD}"
    source += "class Source(Once):\n    def values(self):\n        yield int(np.int8(3)),\ngo(Source(name='source'))\n"
    done = script(source, files={"sitecustomize.py": OTHER_PACKAGE})
    assert (done.returncode, done.stdout) == (0, "3\n")
    assert "numpy is " in done.stderr
    assert "at the Manager and 0.0.1 on this worker" in done.stderr


WRONG = """
import flowmesh as fm
class Source(fm.Node):
    n = 0
    def step(self):
        self.n += 1
        return self.n
class Wrong(fm.Node):
    join = "zip"
    n = 0
    def step(self, data):
        self.n += 1
        return 1 // (3 - self.n)  # the guilty line
class Sink(fm.Node):
    def step(self, data):
        pass
graph = fm.Graph()
wrong = Wrong(name="wrong")
graph.add_edge(Source(name="left"), wrong)
graph.add_edge(Source(name="right"), wrong)
graph.add_edge(wrong, Sink(name="sink"))
"""


@pytest.mark.parametrize("inline", [False, True])
def test_an_error_is_told_once_with_the_user_s_lines_only(script: Script, inline: bool) -> None:
    done = script(f"{WRONG}if __name__ == '__main__':\n    fm.run(graph, inline={inline})  # the script's line\n")
    assert done.returncode == 1
    assert done.stderr.count("# the guilty line") == done.stderr.count("# the script's line") == 1
    assert "failed in step (chunk 3 of 'left', with chunk 3 of 'right')" in done.stderr
    frames = [line for line in done.stderr.splitlines() if line.startswith('  File "')]
    assert len(frames) == 3
    assert [frame for frame in frames if "script.py" not in frame] == [frames[2] if inline else frames[1]]


def test_an_option_shows_all_frames(script: Script) -> None:
    source = f"import os; os.environ['FLOWMESH_TRACEBACKS'] = 'all'\n{WRONG}\nif __name__ == '__main__':\n    fm.run(graph)\n"
    done = script(source)
    frames = [line for line in done.stderr.splitlines() if line.startswith('  File "')]
    assert any("/flowmesh/runtime/" in frame for frame in frames)
    assert any("/flowmesh/manager.py" in frame for frame in frames)


def test_an_error_that_no_verb_raises_is_logged_whole(script: Script) -> None:
    source = """
if __name__ == "__main__":
    import logging, threading
    logged = threading.Event()
    class Notice(logging.StreamHandler):
        def emit(self, record):
            super().emit(record)
            logged.set()
    logging.getLogger("flowmesh").addHandler(Notice())
    with fm.Worker(name="local") as worker, fm.Manager() as manager:
        worker.connect(host=manager.host, port=manager.port)
        manager.commit_graph(graph=graph)
        manager.start()
        assert logged.wait(30)
"""
    done = script(WRONG + source)
    assert done.returncode == 0
    assert done.stderr.startswith(
        "node 'wrong' on worker 'local' failed in step (chunk 3 of 'left', with chunk 3 of 'right')"
    )
    assert done.stderr.count("# the guilty line") == 1
