"""Verbs at the wrong moment, twice, after the end, and by several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

import flowmesh as fm

from . import example_nodes as c
from .deadlines import AT_ONCE, LONG, SCALE, STALL, at_most, until
from .harness import STOP_TIMEOUT, Site, chain

Verb = Callable[[fm.Manager], object]
VERBS: dict[str, Verb] = {
    "start": lambda manager: manager.start(),
    "stop": lambda manager: manager.stop(),
    "step": lambda manager: manager.step(),
    "wait": lambda manager: manager.wait(LONG * SCALE),
    "gather": lambda manager: manager.gather(),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_before_a_commit(site: Site, verb: Verb) -> None:
    site.manager.reset()
    with at_most(AT_ONCE), pytest.raises(fm.StateError):
        verb(site.manager)
    assert site.manager.state == "empty"
    assert site.manager.status().nodes == {}


def test_a_request_before_a_commit_names_the_node(site: Site) -> None:
    site.manager.reset()
    with pytest.raises(fm.GraphError, match="no node 'end' is committed"):
        site.manager.request_registered_method("end", "all")


def test_a_commit_while_it_runs_is_refused_and_changes_nothing(site: Site) -> None:
    site.commit(c.Endless(name="src"))
    site.manager.start()
    with at_most(AT_ONCE), pytest.raises(fm.StateError, match=r"the graph is running: stop\(\) or reset\(\) it"):
        site.commit()
    assert site.manager.state == "running"
    assert site.manager.wait(0.05) is False
    site.manager.stop()
    edges = site.manager.status().edges
    assert edges["src", "mid"].sent == edges["mid", "end"].received > 0
    site.commit()
    assert site.manager.state == "ready"


def test_everything_twice(site: Site) -> None:
    site.commit(c.Endless(name="src"))
    for _ in range(2):
        site.manager.start()
    assert site.manager.state == "running"
    for _ in range(2):
        site.manager.stop()
    assert site.manager.state == "ready"
    for _ in range(2):
        site.manager.reset()
    assert site.manager.state == "empty"


def test_wait_before_start_ends_in_its_time(site: Site) -> None:
    site.commit()
    with at_most(0.2 + STALL):
        assert site.manager.wait(0.2) is False


def test_after_a_failure_verbs_raise_it_until_a_reset(site: Site) -> None:
    error = site.failure(c.WrongStep(name="mid"))
    for verb in ("start", "stop", "step", "wait"):
        with at_most(AT_ONCE), pytest.raises(fm.NodeError, match="seven is too much"):
            VERBS[verb](site.manager)
    with at_most(AT_ONCE), pytest.raises(fm.StateError):
        site.manager.gather()
    site.manager.reset()
    assert site.manager.state == "empty"
    assert error.node == "mid"


def test_after_shutdown(own_site: Site) -> None:
    own_site.commit()
    with at_most(5.0):
        own_site.manager.shutdown()
    with at_most(AT_ONCE):
        own_site.manager.shutdown()
    for verb in (*VERBS.values(), fm.Manager.reset, fm.Manager.status):
        with at_most(AT_ONCE), pytest.raises(fm.StateError, match="shut down"):
            verb(own_site.manager)
    with pytest.raises(fm.StateError, match="shut down"):
        own_site.commit()
    with pytest.raises(fm.StateError, match="shut down"):
        own_site.manager.request_registered_method("end", "all")
    for _ in range(2):
        own_site.worker.shutdown()
    with pytest.raises(fm.StateError, match="shut down"):
        own_site.worker.connect(host=own_site.manager.host, port=own_site.manager.port)


def test_a_worker_that_was_sent_home_is_no_error(own_site: Site) -> None:
    own_site.worker.shutdown()
    assert own_site.manager.workers == ()
    with pytest.raises(fm.GraphError, match="no worker"):
        own_site.commit()


def test_a_worker_leaves_while_its_graph_runs(own_site: Site) -> None:
    own_site.commit(c.Endless(name="src"))
    own_site.manager.start()
    with at_most(5.0):
        own_site.worker.shutdown()
    with at_most(AT_ONCE), pytest.raises(fm.WorkerError, match=r"worker 'local' \(pid \d+\) left; it ran 'src', 'mid'"):
        own_site.manager.wait(LONG * SCALE)


def test_a_reset_ends_another_thread_s_wait(site: Site) -> None:
    site.commit(c.Endless(name="src"))
    site.manager.start()
    told: list[BaseException] = []
    waiting = threading.Thread(target=_collect, args=(site.manager.wait, told))
    waiting.start()
    until(lambda: "wait" in site.manager._machine.run._waiters, LONG, "it waits")
    with at_most(STOP_TIMEOUT + STALL):
        site.manager.reset()
    waiting.join(LONG * SCALE)
    assert [type(error) for error in told] == [fm.StateError]
    assert "reset" in str(told[0])


def test_a_reset_ends_another_thread_s_commit(site: Site) -> None:
    told: list[BaseException] = []
    hangs = c.SetupHangs(name="mid")
    committing = threading.Thread(target=_collect, args=(lambda: site.commit(hangs), told))
    committing.start()
    until(lambda: site.manager.state == "committing", LONG)
    with at_most(STOP_TIMEOUT + STALL):
        site.manager.reset()
    committing.join(LONG * SCALE)
    assert [type(error) for error in told] == [fm.StateError]


def test_verbs_of_many_threads_at_once(site: Site) -> None:
    """Each returns or raises one of ours; none hangs; the Manager is as good as before."""
    site.commit(c.Endless(name="src"))
    site.manager.start()
    told: list[BaseException] = []
    order = ["stop", "start", "stop", "step", "start", "gather", "stop", "start"]

    def work(offset: int) -> None:
        for place in range(12):
            _collect(lambda: VERBS[order[(place + offset) % len(order)]](site.manager), told)  # noqa: B023
            site.manager.status()

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG * SCALE)
    assert not any(thread.is_alive() for thread in threads)
    assert [error for error in told if not isinstance(error, fm.StateError)] == []
    site.manager.stop()
    edges = site.manager.status().edges.values()
    assert [(edge.sent, edge.in_flight) for edge in edges] == [(edge.received, 0) for edge in edges]


def test_two_threads_commit_at_once(site: Site) -> None:
    site.manager.reset()
    told: list[BaseException] = []
    graphs = [chain(), chain()]
    mapping = {"local": ["src", "mid", "end"]}
    threads = [
        threading.Thread(target=_collect, args=(lambda g=graph: site.manager.commit_graph(g, mapping), told))
        for graph in graphs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG * SCALE)
    assert [type(error) for error in told] in ([], [fm.StateError])
    assert site.manager.state == "ready"


def _collect(code: Callable[[], object], errors: list[BaseException]) -> None:
    try:
        code()
    except BaseException as error:
        errors.append(error)
