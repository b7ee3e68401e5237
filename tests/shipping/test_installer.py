"""What goes wrong on the worker's side is said in words."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from flowmesh.errors import ShippingError
from flowmesh.node import Node
from flowmesh.shipping.installer import differing, load_node

from .harness import Travel


def test_a_missing_import_of_the_script(travel: Travel) -> None:
    travel.write({"gone/foo.py": "def call(): pass"})
    script = """
import sys
from pathlib import Path
sys.path.append(str(Path(__file__).parents[1] / "elsewhere"))
(Path(__file__).parents[1] / "elsewhere" / "foo.py").write_text("X = 1")
import foo
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        return foo.X
nodes = [Uses()]
"""
    packed = travel.pack(script)
    (travel.elsewhere / "foo.py").unlink()
    error = travel.run(packed)["error"]
    assert (
        "ShippingError: the code imports 'foo', which is not installed on this worker: "
        "pip install foo there, or ship it with packages=" in error
    )
    assert "The above exception was the direct cause" in error
    assert "ModuleNotFoundError" in error


def test_a_module_that_fails_while_it_is_imported(travel: Travel) -> None:
    travel.write({"beside.py": "import sys\nif 'script' not in sys.argv[0]:\n    raise OSError('no camera')"})
    script = """
import beside
from flowmesh.node import Node
class Uses(Node):
    def step(self):
        return beside
nodes = [Uses()]
"""
    error = travel(script)["error"]
    assert "ShippingError: the code that was shipped can't be loaded: OSError: no camera" in error


@pytest.mark.parametrize(
    "damage", [b"", b"\x80", b"nonsense", pickle.dumps(Node(name="a"))[:-3], pickle.dumps({"a": 1})]
)
def test_a_damaged_node(damage: bytes) -> None:
    with pytest.raises(ShippingError, match="the node that was shipped"):
        load_node(damage)


@pytest.mark.parametrize("damage", [b"", b"nonsense", pickle.dumps([1])])
def test_damaged_code(damage: bytes) -> None:
    # in a process of its own: install replaces __main__
    program = """
import sys
from flowmesh.shipping.installer import install
from flowmesh.wire.plan_specs import Code
install(Code(bytes.fromhex(sys.argv[1])))
"""
    done = subprocess.run([sys.executable, "-c", program, damage.hex()], capture_output=True, text=True, timeout=60)
    assert "flowmesh.errors.ShippingError: the code that was shipped" in done.stderr


def test_differing_versions() -> None:
    assert differing({"numpy": np.__version__}) == []
    assert differing({"no-such-thing": "1.0", "numpy": "0.1"}) == [
        "no-such-thing 1.0 is not installed on this worker: pip install no-such-thing==1.0 there",
        f"numpy is 0.1 at the Manager and {np.__version__} on this worker",
    ]
