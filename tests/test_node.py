from __future__ import annotations

import logging
import pickle
import re
from typing import Any

import numpy as np
import pytest

from flowmesh.errors import GraphError, StateError
from flowmesh.node import OPTIONS, Align, Node, check_options, register, registered_methods


class Camera(Node):
    live = True

    def step(self) -> int:
        return 1

    @register
    def zoom(self, factor: float) -> float:
        return factor

    @register
    async def focus(self) -> None: ...

    def plain(self) -> None: ...


class Recorder:
    """A NodeHost that keeps what was emitted."""

    def __init__(self) -> None:
        self.emitted: list[Any] = []

    def emit(self, value: Any) -> None:
        self.emitted.append(value)

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)


def test_a_node_is_called_as_asked_or_as_its_class() -> None:
    assert Camera(name="left").name == "left"
    assert Camera("right").name == "right"
    assert Camera().name == "Camera"
    assert repr(Camera(name="left")) == "<Camera 'left'>"


@pytest.mark.parametrize("name", ["", "a" * 201, 5, b"a", "a/b", "a,b", "a\nb", "a\0", "\ud800"])
def test_a_name_that_cannot_be_used_is_refused(name: Any) -> None:
    with pytest.raises(GraphError, match="name"):
        Node(name=name)


@pytest.mark.parametrize("name", ["a", "a" * 200, "links hinten", "カメラ", "a.b-c_d:e", "node"])
def test_a_name_may_be_any_other_text(name: str) -> None:
    assert Node(name=name).name == name


def test_parameters_become_attributes() -> None:
    node: Any = Camera(name="left", device=3, path=None)
    assert (node.device, node.path) == (3, None)


@pytest.mark.parametrize("parameter", ["step", "setup", "logger", "zoom", "_host", "emit"])
def test_a_parameter_may_not_hide_a_method(parameter: str) -> None:
    with pytest.raises(GraphError, match=f"parameter '{parameter}' would hide an attribute of Camera"):
        Camera("left", **{parameter: 1})


def test_options_are_class_attributes_or_keywords() -> None:
    node = Camera(rate=30, join=Align(0.1), on_error="skip", hold=0)
    assert [getattr(node, option) for option in OPTIONS] == [30, True, Align(0.1), "skip", 0]
    assert [getattr(Node(), option) for option in OPTIONS] == [None, False, None, "stop", 4]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("rate", value) for value in (0, -1, "30", True, float("inf"), float("nan"))),
        *(("live", value) for value in ("yes", 1, None)),
        *(("on_error", value) for value in ("", None, "restart")),
        *(("join", value) for value in ("", "merge", 0.1, ("follow",))),
        *(("join", Align(value)) for value in (-1, True)),
        *(("hold", value) for value in (-1, 1.5, None, True)),
    ],
)
def test_an_option_that_cannot_be_is_refused(option: str, value: Any) -> None:
    shown = value.tolerance if isinstance(value, Align) else value
    said = f"left: (Align takes a tolerance|{option} is) .*not {re.escape(repr(shown))}"
    with pytest.raises(GraphError, match=said):
        Node(name="left", **{option: value})
    node = Node(name="left")
    setattr(node, option, value)
    with pytest.raises(GraphError, match=said):
        check_options(node)


@pytest.mark.parametrize(
    ("misspelt", "option"),
    [
        *(("hodl", "hold"), ("holdd", "hold"), ("hol", "hold"), ("Hold", "hold"), ("old", "hold"), ("ohld", "hold")),
        *(("rat", "rate"), ("raet", "rate"), ("rates", "rate"), ("lvie", "live"), ("jion", "join"), ("jon", "join")),
        *(("onerror", "on_error"), ("on_erorr", "on_error"), ("on_errors", "on_error"), ("un_error", "on_error")),
    ],
)
def test_a_misspelt_option_is_no_parameter(misspelt: str, option: str) -> None:
    with pytest.raises(
        GraphError, match=f"left: there is no option '{misspelt}'; did you mean '{option}'.*{misspelt} = "
    ):
        Camera("left", **{misspelt: 8})


@pytest.mark.parametrize("name", ["ratio", "rotate", "holder", "hlod_", "error", "jo", "path", "r", "retta", "levi"])
def test_what_is_further_from_an_option_is_a_parameter(name: str) -> None:
    node: Any = Camera("left", **{name: 8})
    assert getattr(node, name) == 8


def test_a_parameter_that_the_class_declares_may_be_called_so() -> None:
    class Printer(Node):
        date, restart = "", False

    node: Any = Printer("it", date="today", restart=True)
    assert (node.date, node.restart) == ("today", True)


def test_what_is_not_there_yet_is_not_ignored() -> None:
    with pytest.raises(GraphError, match="restart= is not supported yet"):
        Camera("left", restart="on-failure")


def test_registered_methods_are_found_in_base_classes_too() -> None:
    class Better(Camera):
        @register
        def reset(self) -> None: ...

    assert registered_methods(Better()) == ("focus", "reset", "zoom")
    assert registered_methods(Node()) == ()
    assert Better().zoom(2.0) == 2.0


@pytest.mark.parametrize("call", [lambda node: node.emit(1), lambda node: node.allocate((2, 2))])
def test_emit_and_allocate_are_for_a_running_step(call: Any) -> None:
    with pytest.raises(StateError, match=r"left: \w+\(\) works only inside step\(\)"):
        call(Camera(name="left"))


def test_a_running_node_speaks_to_its_host() -> None:
    node, host = Camera(), Recorder()
    node._host = host
    node.emit(None)
    assert host.emitted == [None]
    frame = node.allocate((2, 3, 3))
    assert frame.shape == (2, 3, 3)
    assert frame.dtype == np.uint8


def test_a_node_without_step_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Node has no step"):
        Node().step()
    assert Node().setup() is None
    assert Node().teardown() is None


def test_a_node_travels_by_pickle() -> None:
    again = pickle.loads(pickle.dumps(Camera(name="left", device=3)))
    assert (type(again), again.name, again.device, again.live) == (Camera, "left", 3, True)


def test_log_lines_carry_the_nodes_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Camera(name="left").logger.info("ready")
    assert caplog.record_tuples == [("flowmesh.node.left", logging.INFO, "ready")]


def test_a_node_that_was_never_initialised_can_be_printed() -> None:
    assert repr(Camera.__new__(Camera)) == "<Camera '?'>"
