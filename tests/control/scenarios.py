"""Simulated worlds in the state that a test begins with."""

from __future__ import annotations

from flowmesh.wire.plan_specs import Plan
from flowmesh.wire.states import GraphState

from .fakes import Behaviour
from .harness import BEAT, World, plan

CHAIN = ("film > edges", "edges > show")
ONE = {"film": "local", "edges": "local", "show": "local"}
FLOWING = (GraphState.COMMITTING, GraphState.READY, GraphState.RUNNING, GraphState.STOPPING)
TWO = {"film": "local", "edges": "other", "show": "local"}


def chain(*workers: str, **behaviours: Behaviour) -> tuple[World, Plan]:
    """A world and film > edges > show in it, on one worker or, if two are named, on both."""
    mapping = dict(zip(ONE, workers * 3, strict=False))
    return World(*workers, **behaviours), plan(CHAIN, mapping)


def running(*workers: str, **behaviours: Behaviour) -> World:
    """The chain, started and some seconds old."""
    world, graph = chain(*(workers or ("local",)), **behaviours)
    world.result(world.commit(graph))
    world.result(world.start())
    world.pass_time(2)
    return world


def reach(state: GraphState, *workers: str) -> World:
    """A world whose graph is in that state, and stays in it for a while if left alone."""
    hanging = Behaviour(hangs_at=3)
    match state:
        case GraphState.EMPTY:
            return World(*workers)
        case GraphState.COMMITTING:
            world, graph = chain(*workers, edges=Behaviour(setup="hangs"))
            world.commit(graph)
        case GraphState.READY:
            world, graph = chain(*workers)
            world.commit(graph)
        case GraphState.RUNNING:
            return running(*workers)
        case GraphState.STOPPING:
            world = running(*workers, edges=hanging)
            world.stop()
        case GraphState.ENDING:
            world = running(*workers, film=Behaviour(chunks=2), edges=Behaviour(teardown="hangs"))
        case GraphState.FINISHED:
            world = running(*workers, film=Behaviour(chunks=2))
        case GraphState.FAILING:
            world = running(*workers, film=Behaviour(raises_at=2), show=Behaviour(hangs_at=1))
        case GraphState.FAILED:
            world = running(*workers, film=Behaviour(raises_at=2))
        case GraphState.RESETTING:
            world = running(*workers, edges=hanging)
            world.reset()
    world.settle()
    world.pass_time(BEAT)
    assert world.manager.state is state
    return world


def shown(world: World) -> list[int]:
    """The numbers that the sink has stepped."""
    return [number for _, number in world.process("show").took]


def nothing_lives(world: World) -> bool:
    return not any(process.alive for process in world.processes)
