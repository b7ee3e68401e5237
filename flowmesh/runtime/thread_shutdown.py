"""The end of a node's threads: as the interpreter ends a program, but in bounded time.

Executors are asked to end, non-daemon threads are joined, then what was registered with `atexit` runs. What has not ended
in time is named, and the process leaves without it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable


def shut_down_threads(within: float, overdue: Callable[[list[str]], None]) -> None:
    """Return when all have ended; after `within` seconds call `overdue` with the names of those that have not, and leave the
    process with status 1."""
    done = threading.Event()
    main = threading.current_thread()

    def watch() -> None:
        if done.wait(within):
            return
        try:
            overdue([thread.name for thread in threading.enumerate() if thread is not main and not thread.daemon])
        finally:
            os._exit(1)

    threading.Thread(target=watch, name="flowmesh-end", daemon=True).start()
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter calls; it has no public name
    atexit._run_exitfuncs()
    done.set()
