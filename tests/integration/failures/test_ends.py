"""Every end that a script can have: each node is torn down once, and nothing is left."""

from __future__ import annotations

import os
import signal

import pytest

from . import process_table
from .deadlines import LONG, until
from .example_programs import Script, Scripts

SET_UP = {f"setup {name}" for name in ("source", "step", "sink")}
ONCE = {f"{what} {name}": 1 for what in ("setup", "teardown") for name in ("source", "step", "sink")}

RUN = """
manager, worker = site()
manager.commit_graph(graph({0}), {{"local": ["source", "step", "sink"]}})
manager.start()
"""
ENDLESS = RUN.format("")
FINITE = RUN.format("last=50")
WAIT = f"{ENDLESS}manager.wait()\nmanager.shutdown()"

BY_THEMSELVES = {
    "shutdown": (f"{FINITE}manager.wait()\nmanager.shutdown()\nworker.shutdown()", 0),
    "shutdown of the manager": (f"{FINITE}manager.wait()\nmanager.shutdown()", 0),
    "shutdown of the worker": (f"{FINITE}manager.wait()\nworker.shutdown()", 0),
    "no shutdown": (f"{FINITE}manager.wait()", 0),
    "end while it runs": (ENDLESS, 0),
    "end while it is ready": (ENDLESS.replace("manager.start()", ""), 0),
    "shutdown while it runs": (f"{ENDLESS}manager.shutdown()", 0),
    "sys.exit": (f"{ENDLESS}manager.wait(0.2)\nsys.exit(3)", 3),
    "exception": (
        f"{ENDLESS}while not manager.status().nodes['sink'].steps:\n    manager.wait(0.01)\nraise RuntimeError('the end')",
        1,
    ),
    "with": (
        "with fm.Manager() as manager, fm.Worker(name='local') as worker:\n"
        "    worker.connect(host=manager.host, port=manager.port)\n"
        "    manager.commit_graph(graph())\n"
        "    manager.start()\n"
        "    raise RuntimeError('the end')",
        1,
    ),
    "os._exit": (f"{ENDLESS}manager.wait(0.2)\nos._exit(4)", 4),
    "end while a thread waits": (
        f"{ENDLESS}def wait():\n"
        "    with contextlib.suppress(fm.StateError):\n"
        "        manager.wait()\n"
        "threading.Thread(target=wait, daemon=True).start()",
        0,
    ),
    "run": ("fm.run(graph(last=50))", 0),
    "run on two workers": ("fm.run(graph(last=50), workers=2)", 0),
}


@pytest.mark.parametrize(("body", "status"), BY_THEMSELVES.values(), ids=BY_THEMSELVES.keys())
def test_a_script_that_ends_by_itself(scripts: Scripts, body: str, status: int) -> None:
    script = scripts.start(body)
    assert script.ends(within=LONG) == status, script.output
    script.is_gone()
    assert script.trace() == ONCE, script.output
    if status == 1:
        assert script.output.rstrip().endswith("RuntimeError: the end")
    else:
        assert "Traceback" not in script.output, script.output


SIGNALS = {
    "ctrl+c": (signal.SIGINT, True),
    "SIGINT": (signal.SIGINT, False),
    "SIGTERM": (signal.SIGTERM, False),
    "SIGTERM to the group": (signal.SIGTERM, True),
    "SIGHUP": (signal.SIGHUP, True),
    "SIGKILL": (signal.SIGKILL, False),
}
FLOWING = {
    "wait": WAIT,
    "run": "fm.run(graph())",
    "blocked in an emission": RUN.format("sink=SlowSink, depth=1") + "manager.wait()",
    "setup": RUN.format("step=SlowSetup") + "manager.wait()",
}


ENDED = [
    pytest.param(
        *SIGNALS[by],
        FLOWING[while_],
        id=f"{by} in {while_}",
        marks=() if while_ == "wait" or by in ("ctrl+c", "SIGKILL") else pytest.mark.long,
    )
    for by in SIGNALS
    for while_ in FLOWING
]


@pytest.mark.parametrize(("number", "group", "body"), ENDED)
def test_a_script_that_is_ended(scripts: Scripts, number: signal.Signals, group: bool, body: str) -> None:
    script = scripts.start(body)
    script.until_says("FLOWING")
    until(lambda: script.trace().keys() >= SET_UP, LONG, "a node is set up while the others still begin")
    script.signal(number, group)
    assert script.ends(within=LONG) == -number, script.output
    script.is_gone()
    assert script.trace() == ONCE, script.output
    if number is signal.SIGINT:
        assert script.output.rstrip().endswith("KeyboardInterrupt")
        assert "Exception ignored" not in script.output


STUCK = RUN.format("sink=EndlessSink") + "manager.wait()"
PATIENT = f"import flowmesh.manager\nflowmesh.manager._STOP_TIMEOUT = 100.0  # what ends it sooner is the test\n{STUCK}"


def test_ctrl_c_twice(scripts: Scripts) -> None:
    """The first tears down, and waits for a step that does not return; the second kills."""
    script = scripts.start(PATIENT)
    script.until_says("FLOWING")
    script.signal(signal.SIGINT, group=True)
    script.until_says("KeyboardInterrupt")
    until(lambda: {"teardown source", "teardown step"} <= script.trace().keys(), LONG)
    script.signal(signal.SIGINT, group=True)
    assert script.ends(within=4.0) == -signal.SIGINT  # a fork server whose worker has gone waits for six seconds
    script.is_gone()
    _all_but_the_sink(script)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_step_that_does_not_return(scripts: Scripts, number: signal.Signals) -> None:
    script = scripts.start(STUCK)
    script.until_says("FLOWING")
    script.signal(number)
    assert script.ends(within=12.0) == -number
    script.is_gone(within=10.0)
    _all_but_the_sink(script)


def _all_but_the_sink(script: Script) -> None:
    assert script.trace() == {name: count for name, count in ONCE.items() if name != "teardown sink"}


def test_a_second_script_is_not_touched_by_the_end_of_the_first(scripts: Scripts) -> None:
    first, second = scripts.start(WAIT), scripts.start(WAIT)
    for script in (first, second):
        script.until_says("FLOWING")
    os.kill(first.process.pid, signal.SIGKILL)
    first.ends()
    first.is_gone()
    assert process_table.marked(second.mark) >= {second.process.pid}
    assert len(process_table.marked(second.mark)) == 6
    second.signal(signal.SIGINT, group=True)
    assert second.ends() == -signal.SIGINT
    second.is_gone()
    assert second.trace() == ONCE
