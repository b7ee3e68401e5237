"""What is defined in a script or notebook works in a process that has never seen it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .harness import PACK, Travel

SCRIPT = """
import abc
import collections
import functools
import math
import pickle
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntFlag, auto
from math import sqrt as root
from pathlib import Path

import numpy as np

from flowmesh.chunk import DataChunk
from flowmesh.node import Node, register

print("the script runs")
FACTOR = 3
counter = 0
cache = {}
state = {}
UserId = typing.NewType("UserId", int)
T = typing.TypeVar("T")
P = typing.ParamSpec("P")
Point = collections.namedtuple("Point", "x y")


class Colour(Enum):
    RED = 1
    BLUE = 2

    @property
    def other(self):
        return Colour.BLUE if self is Colour.RED else Colour.RED

    def word(self):
        return WORDS[self]


WORDS = {Colour.RED: "red", Colour.BLUE: "blue"}


class Flags(IntFlag):
    A = auto()
    B = auto()


@dataclass(frozen=True)
class Setting:
    colour: Colour
    size: int = 2
    names: tuple = field(default_factory=tuple)


@dataclass(slots=True)
class Slotted:
    value: UserId


class Stack(typing.Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item


SETTING = Setting(Colour.BLUE)


def traced(function: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        cache["calls"] = cache.get("calls", 0) + 1
        return function(*args, **kwargs)
    return call


@traced
def doubled(value: UserId) -> UserId:
    return UserId(2 * value)


@functools.cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def factorial(n):
    return 1 if n == 0 else n * factorial(n - 1)


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


class Helpers(Node):
    def step(self):
        return [factorial(5), even(10), odd(10), fibonacci(30), doubled(FACTOR), traced(factorial)(3), cache["calls"]]


class Imports(Node):
    def step(self):
        import json
        return [float(np.float64(4.0)), root(9), math.floor(2.5), json.loads("[1]"), Path("a/b").name]


class Values(Node):
    def step(self):
        again = pickle.loads(pickle.dumps([self.setting, Colour.RED, Flags.A | Flags.B, self.point, Slotted(4)]))
        return [
            self.setting == Setting(Colour.RED, 5),
            self.setting.colour is Colour.RED,
            self.setting.colour.other is Colour.BLUE,
            SETTING.colour is Colour.BLUE,
            [colour.word() for colour in Colour] == ["red", "blue"],
            again[0] == self.setting and type(again[0]) is Setting,
            again[1] is Colour.RED,
            again[2] == Flags.A | Flags.B,
            again[3] == Point(1, 2),
            again[4].value == 4,
            Stack[int](7).item == 7,
            type(self.nested["setting"][0]) is Setting,
            self.kind is Setting,
            self.function is factorial and self.function(3) == 6,
            self.mode is Values.Mode.FAST and pickle.loads(pickle.dumps(self.mode)) is Values.Mode.FAST,
            DataChunk.of(pickle.loads(pickle.dumps(DataChunk.of(SETTING)))).get("default")["value"] == SETTING,
        ]

    class Mode(Enum):
        FAST = 1


class Counting(Node):
    def setup(self):
        global counter
        counter = 10
        state["setup"] = True
        count()

    def step(self):
        count()
        import __main__
        return [counter, state, __main__.counter, self.peek()]


def count():
    global counter
    counter += 1


class Base(Node, abc.ABC):
    scale = FACTOR

    def setup(self):
        self.ready = 1

    def compute(self):
        return self.ready * self.scale


class Middle(Base):
    def setup(self):
        super().setup()
        self.ready += 1


class Derived(Middle):
    def setup(self):
        super(Derived, self).setup()
        self.ready += 1

    def compute(self):
        return super().compute() + 1

    def step(self):
        return [self.compute(), isinstance(self, Base), type(self) is Derived, type(self).__mro__[1] is Middle]


class Members(Node):
    @property
    def area(self):
        return self.side ** 2

    @functools.cached_property
    def lazy(self):
        return [self.side]

    @staticmethod
    def plus(a, b):
        return a + b

    @classmethod
    def build(cls):
        return cls.__name__

    @register
    def grow(self, by=1):
        return self.side + by

    def step(self):
        own = self.__class__ is Members and self.grow.__flowmesh_registered__
        return [self.area, self.lazy is self.lazy, self.plus(1, 2), self.build(), self.grow(), own]


def local_class(offset):
    class Local(Base):
        def step(self):
            return [offset, FACTOR, self.compute(), self.pair(2), super().scale]
    return Local


class Name(Node):
    def step(self):
        return [__name__, __file__.endswith("script.py"), sorted(set(globals()) & {"nodes", "PACKED"})]


if __name__ == "__main__":
    PACKED = True
    nodes = [
        Helpers(), Imports(), Counting(peek=lambda: counter), Derived(), Members(side=3), Name(),
        Values(setting=Setting(Colour.RED, 5), point=Point(1, 2), nested={"setting": [SETTING]}, kind=Setting,
               function=factorial, mode=Values.Mode.FAST),
        local_class(7)(name="Local", pair=lambda x: (x, FACTOR)),
    ]
"""

EXPECTED = {
    "Helpers": [120, True, False, 832040, 6, 6, 2],
    "Imports": [4.0, 3.0, 2, [1], "b"],
    "Values": [True] * 16,
    "Counting": [12, {"setup": True}, 12, 12],
    "Derived": [10, True, True, True],
    "Members": [9, True, 3, "Members", 4, True],
    "Local": [7, 3, 3, [2, 3], 3],
    "Name": ["__main__", True, []],
}


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return Travel(tmp_path_factory.mktemp("script"))(SCRIPT)


@pytest.mark.parametrize("node", EXPECTED)
def test_a_script(stepped: dict[str, Any], node: str) -> None:
    assert "error" not in stepped, stepped["error"]
    assert stepped[node] == EXPECTED[node]


def test_a_notebook(travel: Travel) -> None:
    cells = SCRIPT.replace('"__file__"', "").replace('__file__.endswith("script.py")', '"__file__" in globals()')
    cells += """
import helper
class Sibling(Node):
    def step(self):
        import lazy
        return [helper.X, lazy.Y]
nodes.append(Sibling())
"""
    travel.write({"helper.py": "X = 1", "lazy.py": "Y = 2", "cells.txt": cells + PACK})
    notebook = 'import __main__, sys; exec(compile(open("cells.txt").read(), "<cell 1>", "exec"), __main__.__dict__)'
    stepped = travel.run(travel.packed(["-c", notebook], cwd=travel.app))
    assert stepped == EXPECTED | {"Name": ["__main__", False, []], "Sibling": [1, 2]}


def test_a_class_that_was_defined_again_in_a_notebook(travel: Travel) -> None:
    script = """
from flowmesh.node import Node
class A(Node):
    def step(self): return "old"
old = A(name="old")
class A(Node):
    def step(self): return "new"
nodes = [old, A(name="new")]
"""
    assert travel(script) == {"old": "old", "new": "new"}


def test_a_traceback_shows_the_lines_of_a_script_that_is_not_there(travel: Travel) -> None:
    travel.write({"broken.py": "def fail():\n    raise ValueError('broken')  # in broken.py\n"})
    script = """
import broken
from flowmesh.node import Node
class Failing(Node):
    def step(self):
        return broken.fail()  # in the script
nodes = [Failing()]
"""
    error = travel(script)["error"]
    assert "return broken.fail()  # in the script" in error
    assert "raise ValueError('broken')  # in broken.py" in error
    assert str(travel.app / "script.py") in error
    assert str(travel.app / "broken.py") in error


def test_large_parameters_travel_once_and_only_with_their_node(travel: Travel) -> None:
    script = """
import numpy as np
from flowmesh.node import Node
class Sum(Node):
    def step(self):
        return int(self.table.sum())
nodes = [Sum(name="small", table=np.ones(1, np.uint8)), Sum(name="large", table=np.ones(5_000_000, np.uint8))]
"""
    packed = travel.pack(script)
    assert packed.stat().st_size < 5_100_000
    assert travel.run(packed) == {"small": 1, "large": 5_000_000}


def test_functions_of_singledispatch(travel: Travel) -> None:
    script = '''
import functools
from flowmesh.node import Node

class Box:
    def __init__(self, item):
        self.item = item

@functools.singledispatch
def describe(x, level=0):
    """Says what it is."""
    return f"{level} other"

@describe.register
def _(x: int, level=0):
    return f"{level} whole {NAME}"

@describe.register(Box)
@describe.register(list)
def _(x, level=0):
    inner = x.item if isinstance(x, Box) else x[0]
    return f"{level} holds " + describe(inner, level + 1)

NAME = "number"
describe.unit = "pixels"

class Uses(Node):
    @functools.singledispatchmethod
    def take(self, x):
        return "any"
    @take.register
    def _(self, x: str):
        return "text"
    def step(self):
        try:
            describe()
        except TypeError as error:
            told = str(error)
        return [describe(3), describe([Box(2.5)]), describe("x"), describe.__doc__, describe.unit, describe.__name__,
                self.take(1), self.take("a"), describe.dispatch(bool)(True), self.given(2), told]

def maker():
    @functools.singledispatch
    def local(x):
        return describe(x)
    return local

nodes = [Uses(name="a", given=describe), Uses(name="b", given=maker())]
'''
    expected = [
        "0 whole number", "0 holds 1 holds 2 other", "0 other", "Says what it is.", "pixels", "describe", "any", "text",
        "0 whole number", "0 whole number", "describe requires at least 1 positional argument",
    ]  # fmt: skip
    assert travel(script) == {"a": expected, "b": expected}


def test_what_can_t_travel_in_a_singledispatch_is_named(travel: Travel) -> None:
    script = """
import functools, threading
from flowmesh.node import Node
LOCK = threading.Lock()
@functools.singledispatch
def describe(x):
    with LOCK:
        return "other"
class Uses(Node):
    def step(self):
        return describe(1)
nodes = [Uses(name="uses")]
"""
    refused = travel.refused(script)
    assert "describe uses the global 'LOCK'" in refused
    assert "_thread.lock" in refused


def test_run_with_m(travel: Travel) -> None:
    script = """
from flowmesh.node import Node
from .parts import X
from . import more
class Mine(Node):
    def step(self):
        from .lazy import Y
        return [X, Y, more.Z, __package__]
nodes = [Mine()]
"""
    travel.write({"pkg/__init__.py": "", "pkg/parts.py": "X = 1", "pkg/lazy.py": "Y = 2", "pkg/more.py": "Z = 3"})
    travel.write({"pkg/go.py": script + PACK})
    packed = travel.packed(["-m", "pkg.go"], cwd=travel.app)
    assert travel.run(packed) == {"Mine": [1, 2, 3, "pkg"]}


def test_the_script_is_not_run_again(travel: Travel, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = f"""
with open({str(trace)!r}, "a") as file:
    file.write("run ")
from flowmesh.node import Node
class Mine(Node):
    def step(self):
        return 1
nodes = [Mine()]
"""
    assert travel(script) == {"Mine": 1}
    assert trace.read_text() == "run "
