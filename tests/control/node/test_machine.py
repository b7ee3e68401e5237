"""The Machine of a node: what every event does in every state, and the orders in which things end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flowmesh.control.node.effects import CloseInputs, ExitProcess, NodeEffect, RunTearDown, SendMarker, SendToWorker
from flowmesh.control.node.machine import NodeMachine
from flowmesh.errors import StateError
from flowmesh.wire.messages import NodeNews
from flowmesh.wire.packets import END, PAUSE
from flowmesh.wire.states import NodeState

S = NodeState
TURN = 3


def node(state: NodeState = S.STARTING, inputs: int = 0, steps: int | None = None) -> NodeMachine:
    """A node that has come to that state in its third turn."""
    machine = NodeMachine("graph.1", "film", inputs)
    if state not in (S.STARTING, S.CLOSED):
        machine.set_up()
    if state in (S.RUNNING, S.ENDED, S.FAILED):
        machine.start(TURN, steps)
    for last, event in ((S.ENDED, machine.node_ended), (S.FAILED, machine.step_failed), (S.CLOSED, machine.tear_down)):
        if state is last:
            event()
    assert machine.state is state
    return machine


def news(state: NodeState, turn: int = TURN) -> SendToWorker:
    return SendToWorker(NodeNews("graph.1", "film", state, turn))


ENDING: list[NodeEffect] = [CloseInputs("after_end"), SendMarker(END, 0), news(S.ENDED)]
FAILING: list[NodeEffect] = [CloseInputs("failed"), SendMarker(END, 0), news(S.FAILED)]
PAUSING: list[NodeEffect] = [SendMarker(PAUSE, TURN), news(S.READY)]
EVENTS: dict[str, tuple[Callable[[NodeMachine], list[NodeEffect]], dict[NodeState, list[NodeEffect]]]] = {
    "start": (lambda machine: machine.start(7, None), {S.READY: [news(S.RUNNING, 7)]}),
    "stop": (lambda machine: machine.stop(TURN, False), {S.RUNNING: PAUSING}),
    "stop of another turn": (lambda machine: machine.stop(TURN - 1, True), {}),
    "stepped": (lambda machine: machine.step_done(), {}),
    "dry": (lambda machine: machine.on_inputs_idle(), {}),
    "ended": (lambda machine: machine.node_ended(), {S.RUNNING: ENDING}),
    "failed": (
        lambda machine: machine.step_failed(),
        {
            S.STARTING: [*FAILING[:2], news(S.FAILED, 0)],
            S.READY: [*FAILING[:2], news(S.FAILED, 0)],
            S.RUNNING: FAILING,
            S.ENDED: FAILING,
        },
    ),
    "tear down": (
        lambda machine: machine.tear_down(),
        {
            state: [
                RunTearDown(),
                news(S.CLOSED, TURN if state in (S.RUNNING, S.ENDED, S.FAILED) else 0),
                ExitProcess(),
            ]
            for state in (S.STARTING, S.READY, S.RUNNING, S.ENDED, S.FAILED)
        },
    ),
}


@pytest.mark.parametrize("state", [state for state in S if state is not S.DEAD])
@pytest.mark.parametrize("name", EVENTS)
def test_every_event_in_every_state_of_a_source(name: str, state: NodeState) -> None:
    event, effects = EVENTS[name]
    machine = node(state)
    assert event(machine) == effects.get(state, [])
    assert machine.may_step == (machine.state is S.RUNNING)
    if state not in effects:
        assert machine.state is state


def test_setup_comes_once() -> None:
    machine = node()
    assert machine.set_up() == [news(S.READY, 0)]
    with pytest.raises(StateError, match="'set up' is not possible while ready"):
        machine.set_up()


def test_a_source_pauses_after_the_steps_that_were_asked_for() -> None:
    machine = node(S.RUNNING, steps=2)
    assert machine.step_done() == []
    assert machine.step_done() == PAUSING
    assert machine.step_done() == []
    machine.start(TURN + 1, None)
    assert [machine.step_done() for _ in range(5)] == [[]] * 5


def test_a_source_that_ends_in_its_last_step_has_ended_and_does_not_pause() -> None:
    machine = node(S.RUNNING, steps=1)
    assert machine.node_ended() == ENDING
    assert machine.step_done() == []


def test_what_has_inputs_pauses_when_all_of_them_have_and_nothing_is_left() -> None:
    machine = node(S.RUNNING, inputs=2, steps=1)
    assert machine.step_done() == []
    assert machine.stop(TURN, False) == []
    assert machine.on_inputs_idle() == []
    machine.input_paused(0, TURN)
    assert machine.on_inputs_idle() == []
    machine.input_paused(1, TURN)
    assert machine.may_step
    assert machine.on_inputs_idle() == PAUSING
    assert machine.on_inputs_idle() == []


def test_an_input_that_has_ended_is_not_waited_for() -> None:
    machine = node(S.RUNNING, inputs=2)
    machine.input_ended(1)
    assert machine.on_inputs_idle() == []
    machine.input_paused(0, TURN)
    assert machine.on_inputs_idle() == PAUSING


def test_a_pause_of_an_earlier_turn_does_not_count_and_one_that_came_early_does() -> None:
    machine = node(S.RUNNING, inputs=1)
    machine.input_paused(0, TURN - 1)
    assert machine.on_inputs_idle() == []
    machine.input_paused(0, TURN)
    machine.on_inputs_idle()
    machine.input_paused(0, TURN + 1)
    machine.start(TURN + 1, None)
    assert machine.on_inputs_idle() == [SendMarker(PAUSE, TURN + 1), news(S.READY, TURN + 1)]


def test_once_one_has_paused_of_which_something_is_missing_nothing_else_is_waited_for() -> None:
    machine = node(S.RUNNING, inputs=3)
    machine.input_paused(1, TURN)
    assert machine.on_inputs_idle(missing=[0, 2]) == []
    assert machine.on_inputs_idle(missing=[1, 2]) == PAUSING


def test_who_has_no_room_before_a_node_that_has_paused_pauses_too() -> None:
    for inputs in (0, 1):
        machine = node(S.RUNNING, inputs=inputs)
        assert machine.on_blocked_by_paused() == PAUSING
        assert machine.on_blocked_by_paused() == []


def test_told_to_pause_now_a_node_leaves_what_waits() -> None:
    machine = node(S.RUNNING, inputs=1)
    assert machine.stop(TURN, True) == PAUSING
    assert not machine.may_step


def test_a_teardown_that_raises_is_no_second_failure() -> None:
    machine = node(S.RUNNING)
    machine.tear_down()
    assert machine.step_failed() == []
    assert machine.tear_down() == []
    assert machine.state is S.CLOSED
