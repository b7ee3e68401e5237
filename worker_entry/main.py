"""`flowmesh-worker`: a worker that is no script's. It waits for its Manager, says what happens, and leaves on Ctrl+C.

For now it joins a Manager of the same user on the same machine.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Sequence

from flowmesh import __version__
from flowmesh.daemon.daemon import Daemon
from flowmesh.daemon.joining import raise_limits, register, serve
from flowmesh.errors import FlowmeshError, LinkError
from flowmesh.runtime.spawn import Spawner

_TRY = 2.0  # seconds that a Manager has to answer, before it is dialled anew


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    raise_limits()
    spawner = Spawner()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        daemon = _join(asked.name, asked.ip, asked.port, spawner)
    except KeyboardInterrupt:
        spawner.close()
        return 0
    except FlowmeshError as error:
        spawner.close()
        print(f"flowmesh-worker: {error}", file=sys.stderr)
        return 1
    print(f"registered as {asked.name!r} with the Manager at {asked.ip}:{asked.port}", flush=True)
    serve(daemon, signal.SIGINT, signal.SIGTERM)
    print("left", flush=True)
    return 0


def _join(name: str, host: str, port: int, spawner: Spawner) -> Daemon:
    """Dial until a Manager answers."""
    said = False
    while True:
        try:
            return register(name, host, port, _TRY, spawner, None)
        except LinkError:
            if not said:
                print(f"waiting for a Manager at {host}:{port} (Ctrl+C ends this)", flush=True)
            said = True


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flowmesh-worker",
        description="Run nodes of flowmesh graphs on this machine for the Manager at that address.",
    )
    parser.add_argument("--name", default=socket.gethostname(), help="the worker's name in mappings (%(default)s)")
    parser.add_argument(
        "--ip", default="127.0.0.1", help="the Manager's address; this machine's, for now (%(default)s)"
    )
    parser.add_argument("--port", type=int, default=9000, help="the Manager's port (%(default)s)")
    parser.add_argument("--version", action="version", version=f"flowmesh {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
