"""Any order of verbs, messages, crashes and time: it ends well."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from flowmesh.control.manager.effects import AnswerCall
from flowmesh.wire.plan_specs import Plan
from flowmesh.wire.states import GraphState

from .fakes import Behaviour
from .harness import BEAT, World, plan
from .scenarios import CHAIN, ONE, TWO

SHAPES = (
    (CHAIN, ONE),
    (CHAIN, TWO),
    (("a > c", "b > c", "c > d", "c > e"), {"a": "local", "b": "other", "c": "third", "d": "local", "e": "other"}),
)
MISHAPS = {
    "setup": ("raises", "hangs"),
    "teardown": ("raises", "hangs"),
    "raises_at": range(1, 30),
    "hangs_at": range(1, 30),
    "immortal": (False, True),
}


def behaviours(chance: random.Random, nodes: list[str]) -> dict[str, Behaviour]:
    """Nodes that mostly do well, and sources that mostly end."""
    made = {node: Behaviour(chunks=chance.choice((3, 20, 20, None))) for node in nodes}
    for _ in range(chance.choice((0, 0, 1, 2))):
        mishap = chance.choice(list(MISHAPS))
        setattr(made[chance.choice(nodes)], mishap, chance.choice(MISHAPS[mishap]))
    return made


def deeds(world: World, chance: random.Random, graph: Plan, calm: bool) -> list[Callable[[], object]]:
    """What may be done to the world next; what happens more often is there more often."""
    node, name = chance.choice(graph.names), chance.choice(list(world.workers))
    worker = world.workers[name]

    def commit() -> None:
        for lost in [name for name in world.workers if name not in world.manager.registry.workers]:
            if not world.workers[lost].alive:
                world.hire(lost)
        world.settle()
        world.commit(replace(graph, graph=f"graph{len(world.answers)}.1"), timeout=4.0)

    if world.manager.state is GraphState.EMPTY and chance.random() < 0.8:
        return [commit]

    def cut_or_mend() -> None:
        worker.cut = not worker.cut

    def crash() -> None:
        if node in {process.name for process in world.processes if process.alive}:
            world.crash(node)

    def lose() -> None:
        if worker.alive:
            chance.choice((world.vanish, world.interrupt))(name)

    pauses = [lambda: world.pass_time(chance.choice((BEAT, BEAT, 2.0, 7.0)))] * 6
    verbs = [
        *[world.start] * 4,
        world.stop,
        world.stop,
        world.step,
        world.wait,
        world.reset,
        world.gather,
        world.inspect,
    ]
    requests = [lambda: world.call(node), commit]
    accidents = [crash, crash, cut_or_mend, lose, lambda: world.jump(chance.choice((1.0, 3.0, 30.0)))]
    return [*pauses, *verbs, *requests, *([] if calm else accidents)]


def accounts_balance(world: World) -> None:
    """Every chunk that was sent was stepped, in order, or lies somewhere, or was dropped at an end; none of a whole run."""
    current = [process for worker in world.workers.values() for process in worker.processes.values()]
    for process in world.processes:
        sent = sum(edge.window.sent for edge in process.inputs)
        dropped, unread = sum(edge.dropped for edge in process.inputs), sum(edge.unread for edge in process.inputs)
        assert sent == len(process.took) + dropped + process.waiting + unread
        for index in range(len(process.inputs)):
            took = [number for where, number in process.took if where == index]
            assert took == list(range(1, len(took) + 1))
        if process in current and world.manager.state is GraphState.FINISHED:
            assert sent == len(process.took)


def schedule(seed: int) -> None:
    chance = random.Random(seed)
    edges, mapping = chance.choice(SHAPES)
    graph, calm = plan(edges, mapping), chance.random() < 0.4
    world = World(*dict.fromkeys(mapping.values()), seed=seed, **behaviours(chance, list(mapping)))
    world.pass_time(1)
    for _ in range(chance.randint(10, 40)):
        chance.choice(deeds(world, chance, graph, calm))()
        accounts_balance(world)
    for worker in world.workers.values():
        worker.cut = False
    world.pass_time(1)
    reset = world.reset()
    world.pass_time(20)
    assert not [token for token, answers in world.answers.items() if len(answers) != 1]
    assert isinstance(world.answers[reset][0], AnswerCall)
    assert world.manager.state is GraphState.EMPTY
    living = [process for process in world.processes if process.alive]
    assert all(process.behaviour.immortal for process in living)
    for worker in world.workers.values():
        left = {name for name, member in worker.machine.nodes.items() if worker.alive and not member.gone}
        assert left == {name for name in left if worker.processes[name] in living}


@pytest.mark.parametrize("hundred", range(6))
def test_any_order_of_events_ends_well(hundred: int) -> None:
    for seed in range(hundred * 100, hundred * 100 + 100):
        try:
            schedule(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
