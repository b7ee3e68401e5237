"""Tests in a process of their own: what they open and map goes with it, and an exception that nobody can catch is told."""

from __future__ import annotations

import functools
import gc
import os
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn, ParamSpec

import pytest

from .conftest import SCALE

WITHIN = 100 * SCALE  # seconds: pytest ends what takes 120
Arguments = ParamSpec("Arguments")


def alone(test: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Run the test in a forked process; it fails here when it fails there, or does not end in time."""

    @functools.wraps(test)
    def run(*args: Arguments.args, **options: Arguments.kwargs) -> None:
        ours, theirs = os.pipe()
        with warnings.catch_warnings():  # of threads, as numpy's: the child uses none of them
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os.close(ours)
            _run(lambda: test(*args, **options), theirs)
        os.close(theirs)
        try:
            told = os.read(ours, 60_000) if select.select([ours], [], [], WITHIN)[0] else b"the test did not end"
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(ours)
        if told != b"passed":
            pytest.fail(told.decode(errors="replace") or "the test's process died", pytrace=False)

    return run


def _run(test: Callable[[], None], report: int) -> NoReturn:
    unraised: list[str] = []
    sys.unraisablehook = lambda error: unraised.append(f"in {error.object!r}: {error.exc_value!r}")
    threading.excepthook = lambda failed: unraised.append(f"in {failed.thread}: {failed.exc_value!r}")
    told = "passed"
    warnings.simplefilter("ignore", ResourceWarning)  # what is open closes with the process
    try:
        test()
        gc.collect()
        assert not unraised, f"raised where nobody could catch it: {unraised[:5]}"
    except BaseException:
        told = "\n".join([traceback.format_exc(), *unraised[:5]])
    os.write(report, told.encode(errors="replace")[-60_000:])
    os._exit(0)
