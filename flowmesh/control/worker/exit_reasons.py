"""Texts for the ends of processes. No I/O."""

from __future__ import annotations

import signal

from ...wire.states import NodeState


def cause(status: int, state: NodeState, killed: bool, stop_timeout: float) -> str:
    """The text for the end of a node process. `status` is as from `Popen.returncode`: negative is a signal."""
    if killed:
        doing = {NodeState.STARTING: "its setup", NodeState.RUNNING: "a step"}.get(state, "its teardown or a step")
        return f"did not end within {stop_timeout:g} s of being told to, and was killed: it was in {doing}"
    if status >= 0:
        return f"ended by itself with exit status {status} (something in it called os._exit?)"
    return ended_by(status)


def ended_by(status: int) -> str:
    """The text for the end of any process."""
    if status >= 0:
        return f"ended with exit status {status}"
    if status == -signal.SIGKILL:
        return "was ended by SIGKILL (by somebody, or by the kernel because memory ran out: see its log)"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
