"""What can't be pickled is named with its path, before anything is sent."""

from __future__ import annotations

import json
import threading
import time

import pytest

from flowmesh.errors import ShippingError
from flowmesh.node import Node
from flowmesh.shipping.bundle import pack_code
from flowmesh.shipping.pickle_errors import explain

from .harness import Travel

HEADER = """
import abc, functools, io, pickle, socket, threading, types
import cv2
import numpy as np
from flowmesh.node import Node

class Holder:
    def __init__(self, **parts):
        self.__dict__.update(parts)

class Slots:
    __slots__ = ("a", "b")

class Refuses:
    def __reduce__(self):
        raise RuntimeError("I stay here")

class OneSlot:
    __slots__ = "only"
    def __init__(self, only):
        self.only = only

class Locked(abc.ABC):
    lock = threading.Lock()

class Heir(Locked):
    pass

class Loop:
    def __init__(self, thing):
        self.me = self
        self.thing = thing

def holding(lock):
    return lambda: lock

def unbound(lock):
    def inner():
        return never, lock
    if lock is None:
        never = 1
    return inner

def slotted(thing):
    slots = Slots()
    slots.b = thing
    return slots

capture = cv2.VideoCapture()
config = Holder(lock=threading.Lock())

def read():
    return capture.read()

class Film(Node):
    def step(self):
        return 1
"""

PARAMETERS = {
    "x=threading.Lock()": "film.x is a _thread.lock",
    "x=open(__file__)": "film.x is a _io.TextIOWrapper",
    "x=open(__file__, 'rb')": "film.x is a _io.BufferedReader",
    "x=socket.socket()": "film.x is a socket.socket",
    "x=(i for i in [1])": "film.x is a generator",
    "x=cv2.VideoCapture()": "film.x is a cv2.VideoCapture",
    "x=threading.Thread()": "film.x is a threading.Thread",
    "x=Refuses()": "film.x is a Refuses",
    "x=np.array([threading.Lock()], dtype=object)": "film.x is a numpy.ndarray",
    "x=holding(threading.Lock())": "film.x uses the enclosing function's 'lock' (_thread.lock)",
    "x=unbound(threading.Lock())": "film.x uses the enclosing function's 'lock' (_thread.lock)",
    "x=OneSlot(threading.Lock())": "film.x.only is a _thread.lock",
    "x=Heir()": "Locked.lock is a _thread.lock",
    "x=lambda y=threading.Lock(): y": "a default of film.x is a _thread.lock",
    "x=functools.partial(print, file=threading.Lock())": "film.x['file'] is a _thread.lock",
    "options={'a': 1, 'lock': threading.Lock()}": "film.options['lock'] is a _thread.lock",
    "x=[1, {'deep': (0, Holder(lock=threading.Lock()))}]": "film.x[1]['deep'][1].lock is a _thread.lock",
    "x=slotted([threading.Lock()])": "film.x.b[0] is a _thread.lock",
    "x={threading.Lock(): 1}": "a key of film.x is a _thread.lock",
    "x={threading.Lock()}": "an item of film.x is a _thread.lock",
    "x=Loop(threading.Lock())": "film.x.thing is a _thread.lock",
    "x=types.SimpleNamespace(lock=threading.Lock())": "film.x.lock is a _thread.lock",
    "x=Holder(lock=threading.Lock()).__init__": "film.x.lock is a _thread.lock",
}

CODE = {
    "def step(self): return capture.read()": "Film.step uses the global 'capture' (cv2.VideoCapture)",
    "def step(self): return read()": "read uses the global 'capture' (cv2.VideoCapture)",
    "def step(self): return config.lock": "Film.step uses the global 'config', and config.lock is a _thread.lock",
    "def step(self): return (lambda: capture)()": "Film.step uses the global 'capture' (cv2.VideoCapture)",
    "lock = threading.Lock()": "Film.lock is a _thread.lock",
    "table = {'lock': threading.Lock()}": "Film.table['lock'] is a _thread.lock",
    "step = functools.cache(lambda self: capture)": "Film.step uses the global 'capture' (cv2.VideoCapture)",
    "area = property(lambda self: capture)": "Film.area uses the global 'capture' (cv2.VideoCapture)",
    "stamp = staticmethod(read)": "Film.stamp uses the global 'capture' (cv2.VideoCapture)",
    "def other(self): return Film.step(self), capture": "Film.other uses the global 'capture' (cv2.VideoCapture)",
    "class Inner:\n        lock = threading.Lock()": "Film.Inner.lock is a _thread.lock",
}

# One process tries them all: each would take a quarter of a second of its own.
TRY_ALL = """
if __name__ == "__main__":
    import json, sys
    from flowmesh.errors import ShippingError
    from flowmesh.shipping.bundle import pack_code
    texts = {}
    for parameters in PARAMETERS:
        try:
            pack_code([Film(name="good"), eval(f"Film(name='film', {parameters})")])
        except ShippingError as error:
            texts[parameters] = str(error)
    for body in CODE:
        exec(f"class Film(Node):\\n    {body}")
        try:
            pack_code([Node(name="good"), Film(name="film")])
        except ShippingError as error:
            texts[body] = str(error)
    with open(sys.argv[1], "w") as file:
        json.dump(texts, file)
"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    travel = Travel(tmp_path_factory.mktemp("explain"))
    travel.write({"script.py": f"{HEADER}\nPARAMETERS = {list(PARAMETERS)!r}\nCODE = {list(CODE)!r}\n{TRY_ALL}"})
    texts: dict[str, str] = json.loads(travel.packed([str(travel.app / "script.py")]).read_text())
    return texts


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_a_parameter(texts: dict[str, str], parameters: str) -> None:
    sentence = f"{PARAMETERS[parameters]}, which can't be pickled; make it in setup(), which runs in the node's process"
    assert texts[parameters].removeprefix("node 'film': ").partition(" can't be shipped: ")[2] == sentence


@pytest.mark.parametrize("body", CODE)
def test_code(texts: dict[str, str], body: str) -> None:
    assert texts[body] == (
        f"node 'film': code can't be shipped: {CODE[body]}, which can't be pickled; "
        "make it in setup(), which runs in the node's process"
    )


def test_nothing_is_packed(travel: Travel) -> None:
    text = travel.refused(HEADER + "nodes = [Film(name='a'), Film(name='film', options={'lock': threading.Lock()})]\n")
    assert text == (
        "node 'film': parameters can't be shipped: film.options['lock'] is a _thread.lock, which can't be pickled; "
        "make it in setup(), which runs in the node's process"
    )


def test_a_node_whose_own_pickling_fails() -> None:
    class Stubborn(Node):
        def __reduce__(self) -> str:
            raise RuntimeError("I stay here")

    with pytest.raises(ShippingError, match="node 'film' can't be shipped: RuntimeError: I stay here") as caught:
        pack_code([Stubborn(name="film")])
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_the_work_is_bounded() -> None:
    many = [[number] for number in range(200_000)]
    node = Node(name="film", many=[*many, threading.Lock()])
    began = time.monotonic()
    text = str(explain(node, TypeError("cannot pickle")))
    assert "film.many is a list, which can't be pickled" in text
    assert time.monotonic() - began < 10
