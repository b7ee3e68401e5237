"""A graph across hosts: Manager, workers and links joined by lists."""

from __future__ import annotations

import logging

import pytest

from flowmesh.control.manager.machine import ManagerMachine
from flowmesh.errors import DeadlineError, WorkerError
from flowmesh.wire.plan_specs import Plan
from flowmesh.wire.states import GraphState

from .fakes import Behaviour
from .harness import VERSIONS, World, plan
from .scenarios import CHAIN, TWO, nothing_lives, shown

HOSTS = {"other": "host 2"}


def across(**behaviours: Behaviour) -> tuple[World, Plan]:
    """film and show on one host, edges on another: two transfers."""
    return World("local", "other", hosts=HOSTS, **behaviours), plan(CHAIN, TWO, hosts=HOSTS)


def flowing(**behaviours: Behaviour) -> World:
    world, graph = across(**behaviours)
    world.result(world.commit(graph))
    world.result(world.start())
    world.pass_time(2)
    assert world.manager.state is not GraphState.COMMITTING
    return world


def warnings(world: World) -> list[str]:
    return [note.text for note in world.notes if note.level >= logging.WARNING]


def test_a_graph_across_hosts_runs_to_its_end_and_its_links_end_with_it() -> None:
    world = flowing(film=Behaviour(chunks=5))
    assert world.result(world.wait()) is True
    assert shown(world) == [1, 2, 3, 4, 5]
    world.settle()
    assert [(worker.link, worker.links) for worker in world.workers.values()] == [(None, 1), (None, 1)]
    world.result(world.start())
    assert world.result(world.wait()) is True
    assert [worker.links for worker in world.workers.values()] == [2, 2]
    assert warnings(world) == []


def test_no_link_runs_where_nothing_crosses_hosts() -> None:
    world = World("local", "other", hosts=HOSTS)
    world.result(world.commit(plan(CHAIN, dict.fromkeys(TWO, "local"))))
    assert [worker.links for worker in world.workers.values()] == [0, 0]


def test_a_graph_is_ready_only_when_its_links_are_up() -> None:
    world, graph = across()
    world.workers["other"].walled = True
    commit = world.commit(graph, timeout=20)
    world.pass_time(4)
    assert (world.manager.state, world.answers[commit], warnings(world)) == (GraphState.COMMITTING, [], [])
    world.pass_time(4)
    (warning,) = warnings(world)
    assert "is a firewall between them?" in warning
    world.workers["other"].walled = False
    world.reconnect()
    world.result(commit, within=1)


def test_links_that_never_reach_each_other_fail_the_commit_and_are_named() -> None:
    world, graph = across()
    world.workers["other"].walled = True
    with pytest.raises(DeadlineError) as caught:
        world.result(world.commit(graph, timeout=20))
    assert str(caught.value) == (
        "after 20 s the links of the workers 'local' (at local:1) and 'other' (at other:1) do not reach each other: "
        "is a firewall between them?"
    )
    world.until_state(GraphState.FAILED)
    assert nothing_lives(world)


def test_nodes_that_are_late_are_named_beside_links_that_are_not_up() -> None:
    world, graph = across(edges=Behaviour(setup="hangs"))
    world.workers["other"].walled = True
    with pytest.raises(DeadlineError) as caught:
        world.result(world.commit(graph, timeout=20))
    first, second = str(caught.value).splitlines()
    assert first == "setup did not end within 20 s in: 'edges' on worker 'other'"
    assert "is a firewall between them?" in second


@pytest.mark.parametrize("lost", ["local", "other"])
def test_a_link_that_dies_is_started_again_and_its_nodes_are_given_new_ends(lost: str) -> None:
    world = flowing()
    world.pass_time(6)
    world.kill_link(lost)
    world.pass_time(1)
    assert world.links_are_up
    ends = {"local": [("film", 0, "out"), ("show", 1, "in")], "other": [("edges", 0, "in"), ("edges", 1, "out")]}
    assert sorted(world.workers[lost].rewired) == ends[lost]
    assert world.workers[lost].links == 2
    assert warnings(world) == [
        f"the link's process of worker {lost!r} was ended by SIGKILL (by somebody, or by the kernel because memory ran "
        "out: see its log); it is started again",
        "the link between the workers 'local' and 'other' is lost, and is dialled again",
    ]
    assert world.notes[-1].text == "the link between the workers 'local' and 'other' is up"
    world.result(world.stop())


def test_a_link_that_dies_while_nodes_are_set_up_hurts_nobody() -> None:
    world, graph = across(edges=Behaviour(setup="hangs"))
    commit = world.commit(graph, timeout=20)
    world.pass_time(2)
    world.kill_link("local")
    world.kill_link("other")
    world.pass_time(3)
    assert world.links_are_up
    with pytest.raises(DeadlineError, match=r"in: 'edges' on worker 'other'$"):
        world.result(commit)


def test_a_worker_of_another_host_that_vanishes_fails_the_graph_in_time_and_nobody_waits_for_its_link() -> None:
    world = flowing()
    wait = world.wait()
    world.vanish("other")
    world.until_state(GraphState.FAILING, within=2)
    world.settle()
    assert world.workers["local"].link is None or world.workers["local"].link.peers == {}
    with pytest.raises(WorkerError, match=r"worker 'other' \(pid 7\) vanished.*; it ran 'edges'"):
        world.result(wait)
    assert world.workers["local"].link is None


def test_a_link_that_ends_by_itself_or_can_not_be_started_is_tried_again() -> None:
    world = flowing()
    worker = world.workers["local"]
    worker.link = None
    world.does(worker, worker.machine.gateway_exited(1, world.now))
    world.pass_time(2)
    worker.link = None
    world.does(worker, worker.machine.gateway_failed_to_start("no way leads to far", world.now))
    world.pass_time(2)
    assert worker.links == 3
    assert world.links_are_up
    how = [text for text in warnings(world) if "process" in text]
    assert "'local' ended with exit status 1; it is started again" in how[0]
    assert "'local' can't be started: no way leads to far; it is started again" in how[1]


def test_workers_are_told_where_other_machines_reach_the_managers() -> None:
    machine = ManagerMachine(VERSIONS, address="10.0.0.1")
    world = World("local", "other", hosts=HOSTS)
    machine.registry.workers.update(world.manager.registry.workers)
    sent = machine.commit(1, plan(CHAIN, TWO, hosts=HOSTS), 60.0, world.now)
    assert [effect.message.address for effect in sent] == ["10.0.0.1", "10.0.0.1"]  # type: ignore[union-attr]
