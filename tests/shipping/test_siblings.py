"""Modules beside the script travel as source, under their own names."""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path

import msgspec
import pytest

from flowmesh.node import Node
from flowmesh.shipping.bundle import pack_code
from flowmesh.wire.plan_specs import Code

from .harness import Travel

FILES: dict[str, str | bytes] = {
    "flat.py": "import deep.inner.leaf\nVALUE = deep.inner.leaf.VALUE",
    "deep/__init__.py": "from . import cousin\n",
    "deep/cousin.py": "VALUE = 'cousin'",
    "deep/inner/leaf.py": "from ..cousin import VALUE\nfrom .twin import TWIN",  # deep.inner has no __init__
    "deep/inner/twin.py": "TWIN = 'twin'",
    "space/part.py": "def call():\n    from space.other import X\n    return X",
    "space/other.py": "X = 'other'",
    "late.py": "import later\nX = later.X",
    "later.py": "X = 'later'",
    "shapes.py": """
import pickle
from dataclasses import dataclass
from enum import Enum
from flowmesh.node import Node
class Kind(Enum):
    ROUND = 1
@dataclass
class Shape:
    kind: Kind
def total(shapes): return len(shapes)
class Shaped(Node):
    def step(self):
        again = pickle.loads(pickle.dumps(self.shape))
        return [again == self.shape, again.kind is Kind.ROUND, type(self).__module__, self.count([1, 2])]
""",
    "unused.py": "raise RuntimeError('nobody imports this')",
    "conditional.py": "try:\n    import fallback as chosen\nexcept ImportError:\n    chosen = None\nX = chosen.X",
    "fallback.py": "X = 'fallback'",
    "café.py": "# -*- coding: latin-1 -*-\nX = 'é'".encode("latin-1"),
    "broken.py": "this is no Python",
}

SCRIPT = """
import flat
import shapes
from deep import cousin
from space import part
import café
from flowmesh.node import Node

class Imports(Node):
    def step(self):
        import late
        from deep.inner import leaf
        import conditional
        return [flat.VALUE, cousin.VALUE, leaf.TWIN, part.call(), late.X, conditional.X, café.X]

class Files(Node):
    def step(self):
        import inspect, deep, deep.inner
        return [
            flat.__file__.endswith("/app/flat.py"),
            deep.__path__[0].endswith("/app/deep"),
            deep.inner.__file__ is None,
            inspect.getsource(part.call).splitlines()[1].strip(),
        ]

class Broken(Node):
    def step(self):
        try:
            import broken
        except SyntaxError as error:
            return [error.lineno, error.text]

nodes = [
    Imports(), Files(), Broken(),
    shapes.Shaped(shape=shapes.Shape(shapes.Kind.ROUND), count=shapes.total),
]
"""


def code_of(packed: Path) -> Code:
    return msgspec.msgpack.decode(packed.read_bytes(), type=tuple[Code, dict[str, bytes]])[0]


def test_every_kind_of_import(travel: Travel) -> None:
    travel.write(FILES)
    assert travel(SCRIPT) == {
        "Imports": ["cousin", "cousin", "twin", "other", "later", "fallback", "é"],
        "Files": [True, True, True, "from space.other import X"],
        "Broken": [1, "this is no Python\n"],
        "Shaped": [True, True, "shapes", 2],
    }


def test_only_what_is_imported_travels(travel: Travel) -> None:
    travel.write(FILES)
    names = {module.name for module in code_of(travel.pack(SCRIPT)).modules}
    assert not names & {"unused", "numpy", "deep.inner", "space"}
    assert not any(name.startswith("flowmesh") for name in names)
    assert {"flat", "deep", "deep.inner.leaf", "deep.inner.twin", "later", "fallback"} <= names


def test_a_namespace_keeps_what_is_installed_in_it(travel: Travel) -> None:
    travel.write({"space/part.py": "X = 'shipped'"})
    (travel.elsewhere / "space").mkdir()
    (travel.elsewhere / "space" / "extra.py").write_text("X = 'installed'")
    script = """
from space import part
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        from space import extra
        return [part.X, extra.X]
nodes = [Uses()]
"""
    assert travel(script) == {"Uses": ["shipped", "installed"]}


def test_what_was_imported_by_a_computed_name_travels(travel: Travel) -> None:
    travel.write({"plugins/__init__.py": "", "plugins/blur.py": "X = 'blur'"})
    script = """
import importlib
from flowmesh.node import Node
for name in ["blur"]:
    importlib.import_module("plugins." + name)
class Plugged(Node):
    def step(self):
        return importlib.import_module("plugins." + self.plugin).X
nodes = [Plugged(plugin="blur")]
"""
    assert travel(script) == {"Plugged": "blur"}


def test_a_virtual_environment_beside_the_script_stays(travel: Travel) -> None:
    travel.write({"env/pyvenv.cfg": "", "env/lib/tool.py": "X = 1", "env/lib/site-packages/wheel_like.py": "Y = 2"})
    travel.write({"mine.py": "Z = 3"})
    script = """
import sys
from pathlib import Path
sys.path += [str(Path(__file__).parent / "env/lib"), str(Path(__file__).parent / "env/lib/site-packages")]
import tool, wheel_like, mine
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        return [tool.X, wheel_like.Y, mine.Z]
nodes = [Uses()]
"""
    packed = travel.pack(script)
    assert [module.name for module in code_of(packed).modules] == ["mine"]
    assert "ship it with packages=" in travel.run(packed)["error"]


def test_a_script_started_through_a_link(travel: Travel) -> None:
    travel.write({"real/script.py": "", "real/beside.py": "X = 1"})
    script = """
import beside
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        return beside.X
nodes = [Uses()]
"""
    packed = travel.pack(script, name="real/script.py")
    (travel.app / "link.py").symlink_to("real/script.py")
    assert travel.run(packed) == travel.run(travel.packed([str(travel.app / "link.py")])) == {"Uses": 1}


def test_a_shipped_module_shadows_an_installed_one(travel: Travel) -> None:
    travel.write({"tomlkit.py": "X = 'mine'"})
    script = """
import tomlkit
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        import tomlkit.items as missing
nodes = [Uses()]
"""
    assert "'tomlkit' is not a package" in travel(script)["error"]


def test_a_second_graph_replaces_the_first(travel: Travel) -> None:
    script = """
import beside
from flowmesh.node import Node
word = {word!r}
class Uses(Node):
    def step(self):
        return [beside.X, word]
nodes = [Uses(name={word!r})]
"""
    travel.write({"beside.py": "X = 1"})
    first = travel.pack(script.format(word="first"))
    travel.write({"beside.py": "X = 2"})
    second = travel.pack(script.format(word="second"))
    assert travel.run(first, second) == {"first": [1, "first"], "second": [2, "second"]}


def test_what_the_first_graph_brought_is_gone_in_the_second(travel: Travel) -> None:
    travel.write({"beside.py": "X = 1"})
    header = "from flowmesh.node import Node\n"
    first = travel.pack(header + "import beside\nclass A(Node):\n    def step(self): return beside.X\nnodes = [A()]\n")
    dynamic = (
        "class B(Node):\n    def step(self): return [__import__('be' + 'side').X, 'A' in globals()]\nnodes = [B()]\n"
    )
    second = travel.pack(header + dynamic)
    stepped = travel.run(first, second)
    assert stepped["A"] == 1
    assert "No module named 'beside'" in stepped["error"]


class Mine(Node):
    """A node in a module that is neither `__main__` nor below the folder of pytest's own script."""


def test_the_module_of_a_nodes_class_travels_wherever_it_lies() -> None:
    code, _ = pack_code([Mine()])
    names = {module.name for module in code.modules}
    package = __name__.rpartition(".")[0]
    assert {__name__, f"{package}.harness"} <= names
    assert not any(name.startswith(("pytest", "_pytest", "flowmesh", "msgspec")) for name in names)


def test_bytecode_without_source_stays(travel: Travel, tmp_path: Path) -> None:
    (tmp_path / "only.py").write_text("X = 1")
    py_compile.compile(str(tmp_path / "only.py"), cfile=str(travel.app / "only.pyc"))
    script = """
import only
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        return only.X
nodes = [Uses()]
"""
    assert "the code imports 'only', which is not installed on this worker" in travel(script)["error"]


@pytest.mark.parametrize("where", ["module", "function"])
def test_cv2_is_noticed(travel: Travel, where: str) -> None:
    inside = "import cv2" if where == "function" else ""
    script = f"""
{"import cv2" if where == "module" else ""}
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        {inside}
        return cv2.COLOR_BGR2GRAY
nodes = [Uses()]
"""
    code = code_of(travel.pack(script))
    assert code.imports_cv2
    assert "opencv-python-headless" in code.requirements
    assert not code_of(travel.pack(script.replace("cv2", "msgspec").replace("COLOR_BGR2GRAY", "__name__"))).imports_cv2


def test_requirements_are_what_nodes_need(travel: Travel) -> None:
    travel.write({"beside.py": "import msgspec\nimport os"})
    script = """
import networkx, numpy as np, beside
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        return [np.pi, beside]
if __name__ == "__main__":
    import tomlkit
nodes = [Uses()]
"""
    assert code_of(travel.pack(script)).requirements == {
        "msgspec": msgspec.__version__,
        "numpy": sys.modules["numpy"].__version__,
    }
